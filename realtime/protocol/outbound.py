"""Server → client frames (docs/protocol.md).

Event frames are built in `encoding`, from parts that are serialised once.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from realtime.protocol.errors import ErrorCode
from realtime.protocol.inbound import Ref, Severity, Topic

PROTOCOL = "compliance.v1"
EventType = Literal["engagement_update", "interaction_update", "alert"]


class Outbound(Struct, tag_field="type", kw_only=True, omit_defaults=True):
    """Any server frame; `ref` repeats the request's, where it had one."""

    ref: Ref | UnsetType = None


class Connection(Outbound, kw_only=True, tag="connection", omit_defaults=False):
    """The first frame of an accepted connection.

    `msp_id` and `client_id` are left out where they do not apply.
    """

    status: Literal["connected"] = "connected"
    message: str
    scope: Literal["msp", "client"]
    user_role: str
    msp_id: str | UnsetType | None = UNSET
    client_id: str | UnsetType | None = UNSET
    connection_id: str
    positions: dict[str, int]
    epoch: str
    token_expires_at: str | None
    heartbeat_seconds: int
    protocol: str
    timestamp: str
    ref: Ref | UnsetType = UNSET


class EngagementUpdate(Outbound, kw_only=True, tag="engagement_update"):
    """Changed (or, with `snapshot`, all) engagement figures of one client.

    Data {departments, applications, agents}. `folded`: how many events it stands for (`?rate=`).
    """

    client_id: str
    stream: str | None = None
    seq: int | None = None
    timestamp: str
    folded: int = 1
    data: dict[str, Any]
    snapshot: bool = False
    positions: dict[str, int] | None = None


class InteractionUpdate(Outbound, kw_only=True, tag="interaction_update"):
    """Uses of one application or agent.

    Data {app_id | agent_id, interaction_count, total_daily_interactions, …}. `folded`: how many events it stands for.
    """

    client_id: str
    stream: str
    seq: int
    timestamp: str
    folded: int = 1
    data: dict[str, Any]


class Alert(Outbound, kw_only=True, tag="alert"):
    """An alert raised, changed or deleted: data {id, severity, details, app, …}."""

    client_id: str
    stream: str
    seq: int
    timestamp: str
    data: dict[str, Any]


class Batch(Outbound, kw_only=True, tag="batch"):
    """Several event frames at once, in order; only to a client that asked with `?batch=1` or `?rate=`."""

    messages: list[EngagementUpdate | InteractionUpdate | Alert]


class Pong(Outbound, kw_only=True, tag="pong"):
    """The answer to `ping`.

    Its timestamp, the server's, and how far this connection's streams have been sent.
    """

    timestamp: str | float | None = None
    server_time: str
    positions: dict[str, int]


class Subscribed(Outbound, kw_only=True, tag="subscribed"):
    """A subscription as it now stands. `stream` and `seq`: from where on its events come."""

    client_id: str | None = None
    topics: list[Topic]
    min_severity: Severity | None = None
    stream: str
    seq: int


class Unsubscribed(Outbound, kw_only=True, tag="unsubscribed"):
    """A subscription ended, or lost some topics: what is left of it."""

    client_id: str | None = None
    topics: list[Topic]


class Resumed(Outbound, kw_only=True, tag="resumed", rename={"from_": "from"}):
    """All events after `from`, up to `to`, follow.

    `count` of them, less those the connection's topics leave out.
    """

    stream: str
    from_: int
    to: int
    count: int


class Resync(Outbound, kw_only=True, tag="resync"):
    """Events cannot be resumed: refetch over REST, then go on from `seq`.

    Reasons: epoch, retention, backlog, ahead, unknown.
    """

    stream: str
    reason: Literal["epoch", "retention", "backlog", "ahead", "unknown", "slow"]
    seq: int
    epoch: str


class Authenticated(Outbound, kw_only=True, tag="authenticated"):
    """The new token holds. Also sent with `expiring: true` ahead of a token's end, to ask for a new one."""

    token_expires_at: str | None
    expiring: bool = False


class Watcher(Struct, kw_only=True, omit_defaults=True):
    """Somebody who watches a client. Names only where the viewer may see them."""

    user: str
    role: str


class Presence(Outbound, kw_only=True, tag="presence"):
    """Who watches now: a client, or (`client_id` null) all clients of the MSP.

    Counts by side; names where they may be seen.
    """

    client_id: str | None
    msp_watchers: int
    client_watchers: int
    watchers: list[Watcher] | UnsetType = UNSET
    joined: list[Watcher] | UnsetType = UNSET
    left: list[Watcher] | UnsetType = UNSET
    timestamp: str


class Acknowledged(Outbound, kw_only=True, tag="acknowledged"):
    """The alert is marked as seen; the change itself comes as an `alert` event too."""

    alert_id: str
    acknowledged_by: str
    acknowledged_at: str


class Reconnect(Outbound, kw_only=True, tag="reconnect"):
    """This connection will be closed on purpose: come back after `after_ms`."""

    after_ms: int
    reason: str


class Error(Outbound, kw_only=True, tag="error"):
    """What was wrong, for machines (`code`) and people (`message`).

    `client_id`: the client it is about. `retry_after_ms`: when the same frame can be sent again (`rate_limited`).
    """

    code: ErrorCode
    message: str
    client_id: str | None = None
    retry_after_ms: int | None = None


Frame = (
    Connection
    | EngagementUpdate
    | InteractionUpdate
    | Alert
    | Batch
    | Pong
    | Subscribed
    | Unsubscribed
    | Resumed
    | Resync
    | Authenticated
    | Presence
    | Acknowledged
    | Reconnect
    | Error
)
