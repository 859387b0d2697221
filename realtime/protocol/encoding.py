"""From frames to what goes over the wire: three encodings, chosen by subprotocol.

`compliance.v1`            JSON in text frames
`compliance.v1+msgpack`    MessagePack in binary frames
`compliance.v1+deflate`    JSON: short frames as text, longer ones compressed (zlib format, RFC 1950) as
binary

An event's parts are serialised once; frames and batches are put together from them by joining bytes.
"""

from __future__ import annotations

import enum
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import NoReturn

import msgspec

from realtime.protocol.outbound import Frame

Wire = str | bytes
"""A frame's payload: `str` for a text frame, `bytes` for a binary one."""


class Encoding(enum.StrEnum):
    """How frames are written; the value is the subprotocol that asks for it."""

    JSON = "compliance.v1"
    MSGPACK = "compliance.v1+msgpack"
    DEFLATE = "compliance.v1+deflate"


COMPRESSION_LEVEL = 6


def choose(offered: Iterable[str]) -> Encoding | None:
    """Return the first offered encoding that we speak.

    None where none was offered (JSON then, and no subprotocol in the answer).
    """
    known = {encoding.value: encoding for encoding in Encoding}
    return next((known[name] for name in offered if name in known), None)


_json = msgspec.json.Encoder()
_any_json = msgspec.json.Decoder(msgspec.Raw)
"""Checks JSON text without making objects of it: 0.5 µs for an alert."""
_msgpack = msgspec.msgpack.Encoder()


def encode(frame: Frame, encoding: Encoding, compress_above: int) -> Wire:
    """Return one frame other than an event, as `encoding` writes it."""
    if encoding is Encoding.MSGPACK:
        return _msgpack.encode(frame)
    return finish(_json.encode(frame), encoding, compress_above)


def finish(body: bytes, encoding: Encoding, compress_above: int) -> Wire:
    """Return a serialised body as it goes into a frame.

    Compressed, where the encoding compresses and it is long enough.
    """
    if encoding is Encoding.MSGPACK:
        return body
    if encoding is Encoding.DEFLATE and len(body) > compress_above:
        return zlib.compress(body, COMPRESSION_LEVEL)
    return body.decode()


def event_json(
    type_: str, client_id: str, stream: str, seq: int, timestamp: str, data: str, folded: int = 1
) -> bytes:
    """Return an event frame in JSON. `data` is JSON already; the others are ours and need no escaping.

    Raise ValueError (or RecursionError) for `data` that no JSON parser takes: it would spoil the batch it goes out in.
    """
    _check_json(data)
    several = f'"folded":{folded},' if folded > 1 else ""
    return (
        f'{{"type":"{type_}","client_id":"{client_id}","stream":"{stream}","seq":{seq},'
        f'"timestamp":"{timestamp}",{several}"data":{data}}}'
    ).encode()


def _check_json(data: str) -> None:
    try:
        _any_json.decode(data)
    except (ValueError, RecursionError):
        # Stricter than JSON: a lone surrogate, written as an escape, passes every browser's parser.
        json.loads(data, parse_constant=_no_json)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON.")


def event_msgpack(
    type_: str, client_id: str, stream: str, seq: int, timestamp: str, data: str, folded: int = 1
) -> bytes:
    """Return an event frame in MessagePack.

    Raise an exception where it cannot carry `data`: integers beyond 64 bits, lone surrogates, deep nesting.
    """
    return _msgpack.encode(
        {
            "type": type_,
            "client_id": client_id,
            "stream": stream,
            "seq": seq,
            "timestamp": timestamp,
            **({"folded": folded} if folded > 1 else {}),
            "data": msgspec.json.decode(data),
        }
    )


def batch(bodies: Sequence[bytes], encoding: Encoding) -> bytes:
    """Return the body of a `batch` frame from the bodies of its events."""
    if encoding is Encoding.MSGPACK:
        return b"\x82\xa4type\xa5batch\xa8messages" + _array_header(len(bodies)) + b"".join(bodies)
    return b'{"type":"batch","messages":[' + b",".join(bodies) + b"]}"


def _array_header(length: int) -> bytes:
    """MessagePack's array header (spec, "array format family")."""
    if length < 16:
        return bytes((0x90 | length,))
    if length < 2**16:
        return b"\xdc" + length.to_bytes(2, "big")
    return b"\xdd" + length.to_bytes(4, "big")
