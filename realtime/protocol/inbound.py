"""Client → server frames (docs/protocol.md).

Typed, unknown fields refused, checked before anything is built from them.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from realtime.protocol.errors import ErrorCode, ProtocolError

MAX_BYTES = 16 * 1024
"""Largest inbound frame.

A `resume` over 200 streams takes 12 KiB; 1 MB of `[{},…]` blocks a loop for 142 ms.
"""

MAX_DEPTH = 8
"""Deepest nesting of brackets outside strings. The deepest message has 2."""

Topic = Literal["engagement_update", "interaction_update", "alert", "presence"]
TOPICS: tuple[Topic, ...] = ("engagement_update", "interaction_update", "alert", "presence")
EVENT_TOPICS: frozenset[Topic] = frozenset({"engagement_update", "interaction_update", "alert"})

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")

Ref = Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=-(2**53), le=2**53)] | None
Position = Annotated[int, Meta(ge=0, le=2**53)]
StreamName = Annotated[str, Meta(max_length=64)]
Positions = Annotated[dict[StreamName, Position], Meta(max_length=200)]
MAX_CLIENTS = 200
"""Clients that one frame names: as many as a connection subscribes to by default, in 8 KiB."""
Key = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
"""The key of a client or an alert, as text."""
Clients = Annotated[list[Key], Meta(min_length=1, max_length=MAX_CLIENTS)]


class Inbound(Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Any client frame; `ref` comes back in the answer."""

    ref: Ref = None


class Ping(Inbound, frozen=True, kw_only=True, tag="ping"):
    """Keep-alive. `positions` tells the server how far the client has got."""

    timestamp: Annotated[str, Meta(max_length=64)] | float | None = None
    positions: Positions | None = None


class Subscribe(Inbound, frozen=True, kw_only=True, tag="subscribe"):
    """Follow a client, or the list `client_ids`, or (with neither) narrow what is followed already, to topics and
    severities. A list is answered by one `subscribed` or `error` for each client.
    """

    client_id: Key | None = None
    client_ids: Clients | None = None
    topics: Annotated[list[Topic], Meta(min_length=1, max_length=len(TOPICS))] | None = None
    min_severity: Severity | None = None


class Unsubscribe(Inbound, frozen=True, kw_only=True, tag="unsubscribe"):
    """Stop following a client, or the list `client_ids`, or (with `topics`) only these topics of it."""

    client_id: Key | None = None
    client_ids: Clients | None = None
    topics: Annotated[list[Topic], Meta(min_length=1, max_length=len(TOPICS))] | None = None


class Resume(Inbound, frozen=True, kw_only=True, tag="resume"):
    """Send what came after `positions` (or after the server's bookmark.

    `"last"`) if nothing of it is missing, then live.
    """

    positions: Positions | Literal["last"]
    epoch: Annotated[str, Meta(max_length=64)] | None = None


class Authenticate(Inbound, frozen=True, kw_only=True, tag="authenticate"):
    """Replace the connection's token before it expires; it must be the same user's."""

    token: Annotated[str, Meta(max_length=8192)]


class RequestUpdate(Inbound, frozen=True, kw_only=True, tag="request_update"):
    """Ask for a full `engagement_update` snapshot; an MSP's connection says of which client."""

    client_id: Key | None = None


class Acknowledge(Inbound, frozen=True, kw_only=True, tag="acknowledge"):
    """Say that this user has seen an alert."""

    alert_id: Key


Message = Ping | Subscribe | Unsubscribe | Resume | Authenticate | RequestUpdate | Acknowledge
_JSON = msgspec.json.Decoder(Message)
_MSGPACK = msgspec.msgpack.Decoder(Message)
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_NOT_BRACKETS = re.compile(rb"[^\[\]{}]+")


class _Reference(Struct):
    """What can be saved of a frame that does not validate: its `ref`, to answer with."""

    ref: Ref = None


def decode(text: str | None, data: bytes | None, *, binary: bool = False) -> Message:
    """Return the message of one frame: `text` or, for a msgpack connection (`binary`), `data`.

    Raise ProtocolError.
    """
    if data is not None and not binary:
        raise ProtocolError(ErrorCode.BINARY_UNSUPPORTED, "This connection speaks JSON: send text frames.")
    raw = data if data is not None else (text or "").encode("utf-8", "surrogatepass")
    if len(raw) > MAX_BYTES:
        raise ProtocolError(
            ErrorCode.TOO_LARGE,
            f"The frame has {len(raw)} bytes; at most {MAX_BYTES} are read. Send less at once.",
        )
    if data is None and _depth(raw) > MAX_DEPTH:
        raise ProtocolError(ErrorCode.TOO_DEEP, f"The frame nests deeper than {MAX_DEPTH} levels.")
    try:
        message: Message = _MSGPACK.decode(raw) if data is not None else _JSON.decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid(error, raw, msgpack=data is not None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        kind = "MessagePack" if data is not None else "JSON"
        raise ProtocolError(
            ErrorCode.INVALID_JSON, f'The frame is not {kind}. Send an object, such as {{"type": "ping"}}.'
        ) from None
    return message


def reference(text: str | None, data: bytes | None) -> str | int | None:
    """Return the `ref` of a frame that is not read, to answer with; None where it has none."""
    raw = data if data is not None else (text or "").encode("utf-8", "surrogatepass")
    if len(raw) > MAX_BYTES:
        return None
    try:
        known = (
            msgspec.msgpack.decode(raw, type=_Reference)
            if data is not None
            else msgspec.json.decode(raw, type=_Reference)
        )
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return known.ref


def _invalid(error: msgspec.ValidationError, raw: bytes, *, msgpack: bool) -> ProtocolError:
    detail = str(error)
    unknown = detail.startswith(("Invalid value", "Object missing required field `type`")) and (
        "$.type" in detail or "`type`" in detail
    )
    ref = reference(None, raw) if msgpack else reference(raw.decode(errors="replace"), None)
    code = ErrorCode.UNKNOWN_TYPE if unknown else ErrorCode.INVALID_MESSAGE
    return ProtocolError(code, f"{detail}. docs/protocol.md lists the messages.", ref)


def _depth(raw: bytes) -> int:
    deepest = depth = 0
    for bracket in _NOT_BRACKETS.sub(b"", _STRINGS.sub(b"", raw)):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
