"""The connection of a watch: opened, kept alive, resumed after a break, its token renewed."""

from __future__ import annotations

import datetime
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from realtime.protocol.closing import CloseCode
from realtime.protocol.errors import ErrorCode
from realtime.protocol.inbound import EVENT_TOPICS, SEVERITIES
from realtime.protocol.outbound import PROTOCOL
from realtime.watching.errors import Unreachable, WatchError
from realtime.watching.following import Following

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime.watching.portal import Portal, Tokens

MAX_FRAME_BYTES = 16 * 1024 * 1024
SUBSCRIBE_REF = "subscribe"
AUTHENTICATE_REF = "authenticate"
RENEWABLE = frozenset({ErrorCode.TOKEN_EXPIRED})
"""Errors before a 1008 that a new token heals."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait for what, in seconds."""

    ping: float = 30.0
    """Between two pings; the server may ask for less with `heartbeat_seconds`."""
    pong: float = 10.0
    """Without an answer to a ping, the connection is dead."""
    opening: float = 10.0
    renew_ahead: float = 60.0
    """How long before its end a token is renewed; never more than half its life."""
    backoff: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    """Pauses before new attempts in a row; the last one holds."""
    jitter: float = 0.3
    """Share by which a pause is longer, at random: many watchers of one server do not come back at once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to watch: one client or all the user sees, narrowed by `topics` and `min_severity`; `count` None: no end."""

    client_id: str | None = None
    topics: Sequence[str] = ()
    min_severity: str | None = None
    count: int | None = None
    from_last: bool = False

    @property
    def path(self) -> str:
        """The route of the socket; events may come in batches."""
        where = f"client/{self.client_id}/engagement" if self.client_id else "engagement"
        return f"/api/v1/ws/{where}?batch=1"

    def admits(self, event: dict[str, Any]) -> bool:
        """Return whether the event is wanted. The server asks the same; but some come before it knows what we want."""
        if event["type"] not in (self.topics or EVENT_TOPICS):
            return False
        severity = (event.get("data") or {}).get("severity")
        if event["type"] != "alert" or self.min_severity is None or severity not in SEVERITIES:
            return True
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.min_severity)

    @property
    def subscription(self) -> dict[str, Any] | None:
        """The `subscribe` frame that narrows the connection, if it is narrowed."""
        narrowed = {"topics": list(self.topics) or None, "min_severity": self.min_severity}
        chosen = {name: value for name, value in narrowed.items() if value}
        return {"type": "subscribe", "ref": SUBSCRIBE_REF, **chosen} if chosen else None


class Output(Protocol):
    """Where a watch says things."""

    def event(self, event: dict[str, Any]) -> None:
        """Show an event."""

    def status(self, text: str) -> None:
        """Show how the connection is, in one line."""


class _Silent(Exception):
    """The server did not answer a ping."""


@dataclass(slots=True)
class Watcher:
    """Follows `wanted` at `portal` and hands events to `output`; raises WatchError where it cannot begin or go on."""

    portal: Portal
    tokens: Tokens
    wanted: Wanted
    output: Output
    timing: Timing = field(default_factory=Timing)
    sleep: Callable[[float], None] = time.sleep
    _following: Following = field(init=False)
    _shown: int = 0
    _failures: int = 0
    _was_connected: bool = False
    _pause: float | None = None
    _token_refused: bool = False
    _last_error: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._following = Following(from_last=self.wanted.from_last)

    def run(self) -> None:
        """Watch until `wanted.count` events were shown."""
        while not self._enough():
            socket = self._open()
            if socket is None:
                continue
            try:
                with socket:
                    self._follow(socket)
            except ConnectionClosed as closed:
                self._reconnect(self._why(closed))
            except _Silent:
                self._reconnect("The server does not answer")
            except Unreachable as error:  # when the token was to be renewed
                self._reconnect(str(error))

    def _open(self) -> ClientConnection | None:
        """Return an open connection; None after a pause, where it failed and another attempt makes sense."""
        try:
            if self._token_refused or self._expiring() <= 0:
                self.tokens = self.portal.renew(self.tokens)
            self._last_error, self._pause, self._token_refused = {}, None, False
            return connect(
                self.portal.socket_url + self.wanted.path,
                subprotocols=[Subprotocol(PROTOCOL), Subprotocol(f"bearer.{self.tokens.access}")],
                open_timeout=self.timing.opening,
                close_timeout=1,
                ping_interval=None,  # we ping in the protocol of the portal
                max_size=MAX_FRAME_BYTES,
            )
        except (OSError, InvalidHandshake, InvalidURI, Unreachable) as error:
            if not self._was_connected:
                raise WatchError(f"No WebSocket opens at {self.portal.url}: {_first_line(error)}") from error
            self._reconnect(f"No connection ({_first_line(error)})")
            return None

    def _follow(self, socket: ClientConnection) -> None:
        """Follow over one connection, until it ends with an exception or enough was shown."""
        heartbeat = _Heartbeat(self.timing)
        while not self._enough():
            self._chores(socket, heartbeat)
            try:
                text = socket.recv(timeout=max(0.0, min(heartbeat.due(), self._expiring())))
            except TimeoutError:
                continue
            heartbeat.heard()
            self._receive(json.loads(text), socket, heartbeat)

    def _chores(self, socket: ClientConnection, heartbeat: _Heartbeat) -> None:
        if self._expiring() <= 0:
            self._renew(socket)
        if heartbeat.due() > 0:
            return
        if heartbeat.unanswered:
            raise _Silent
        heartbeat.sent()
        now = datetime.datetime.now(datetime.UTC).isoformat()
        _send(socket, {"type": "ping", "timestamp": now, "positions": self._following.positions})

    def _receive(self, frame: dict[str, Any], socket: ClientConnection, heartbeat: _Heartbeat) -> None:
        match frame["type"]:
            case "connection":
                self._connected(frame, socket)
                heartbeat.interval = min(heartbeat.interval, float(frame["heartbeat_seconds"]))
            case "error":
                self._error(frame)
            case "reconnect":
                self._pause = frame["after_ms"] / 1000
                self.output.status(f"The server asks to come back in {self._pause:.1f} s: {frame['reason']}")
            case "authenticated" if frame.get("expiring"):
                self._renew(socket)
            case "resumed" if frame["count"]:
                self.output.status(
                    f"Replaying {frame['count']} missed event{'' if frame['count'] == 1 else 's'}"
                )
            case "resync":
                self.output.status(
                    f"What was missed cannot be replayed ({frame['reason']}): see the pages; going on live"
                )
        for event in self._following.take(frame):
            if self._enough():
                break
            if self.wanted.admits(event):
                self.output.event(event)
                self._shown += 1

    def _connected(self, frame: dict[str, Any], socket: ClientConnection) -> None:
        self._was_connected, self._failures = True, 0
        scope = "one client" if frame["scope"] == "client" else "every client of the MSP"
        self.output.status(
            f"Connected to {self.portal.url} as {frame['user_role']}, watching {scope}. Ctrl-C stops."
        )
        resume = self._following.connected(frame)
        for request in (
            self.wanted.subscription,
            resume,
        ):  # narrowed first, so that the replay is narrowed too
            if request is not None:
                _send(socket, request)

    def _error(self, frame: dict[str, Any]) -> None:
        self._last_error = frame
        if frame.get("ref") == SUBSCRIBE_REF:
            raise WatchError(f"The server does not accept the subscription: {frame['message']}")
        if frame.get("ref") is not None:
            self.output.status(f"The server refuses ({frame['code']}): {frame['message']}")

    def _expiring(self) -> float:
        """Return the seconds until the token should be renewed; none or less: now."""
        return self.tokens.seconds_left() - min(self.timing.renew_ahead, self.tokens.lifetime / 2)

    def _renew(self, socket: ClientConnection) -> None:
        self.tokens = self.portal.renew(self.tokens)
        _send(socket, {"type": "authenticate", "ref": AUTHENTICATE_REF, "token": self.tokens.access})

    def _why(self, closed: ConnectionClosed) -> str:
        """Return why the server closed, where coming back makes sense; else raise WatchError."""
        code = closed.rcvd.code if closed.rcvd else None
        said = self._last_error.get("message") or (closed.rcvd.reason if closed.rcvd else "")
        if code == CloseCode.TOKEN_EXPIRED or self._last_error.get("code") in RENEWABLE:
            self._token_refused = True
            return "The token had expired"
        if code in {CloseCode.POLICY, CloseCode.REVOKED}:
            raise WatchError(f"The server closed the connection ({code}): {said or 'no reason given'}")
        return f"The connection ended ({code or 'without a close frame'}{f', {said}' if said else ''})"

    def _reconnect(self, why: str) -> None:
        pause = self._pause
        if pause is None:
            pause = self.timing.backoff[min(self._failures, len(self.timing.backoff) - 1)]
            pause *= 1 + self.timing.jitter * random.random()  # noqa: S311 - no secret
            self._failures += 1
        self._pause = None
        self.output.status(f"{why}: trying again in {pause:.1f} s")
        self.sleep(pause)

    def _enough(self) -> bool:
        return self.wanted.count is not None and self._shown >= self.wanted.count


class _Heartbeat:
    """When to ping next, and whether the last ping was answered by anything."""

    def __init__(self, timing: Timing) -> None:
        self.interval = timing.ping
        self.unanswered = False
        self._pong = timing.pong
        self._last = time.monotonic()

    def due(self) -> float:
        """Return the seconds to the next ping, or to giving up."""
        return self._last + (self._pong if self.unanswered else self.interval) - time.monotonic()

    def sent(self) -> None:
        """Take note of a ping."""
        self.unanswered, self._last = True, time.monotonic()

    def heard(self) -> None:
        """Take note of a frame: the server is alive. Pings go on at their pace: they carry our positions to it."""
        self.unanswered = False


def _send(socket: ClientConnection, frame: dict[str, Any]) -> None:
    socket.send(json.dumps(frame))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
