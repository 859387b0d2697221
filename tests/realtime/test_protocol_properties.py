"""Whatever comes in is a message or a ProtocolError; whatever goes out reads the same in every encoding."""

from __future__ import annotations

import json
import zlib
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from realtime.protocol import encoding, groups
from realtime.protocol.encoding import Encoding
from realtime.protocol.errors import ErrorCode, ProtocolError
from realtime.protocol.inbound import (
    MAX_BYTES,
    MAX_DEPTH,
    SEVERITIES,
    TOPICS,
    Acknowledge,
    Authenticate,
    Message,
    Ping,
    RequestUpdate,
    Resume,
    Subscribe,
    Unsubscribe,
    decode,
)
from realtime.protocol.outbound import Batch

thorough = settings(deadline=None)
brief = settings(deadline=None, max_examples=min(40, thorough.max_examples))

FRAME_CODES = {
    ErrorCode.INVALID_JSON, ErrorCode.BINARY_UNSUPPORTED, ErrorCode.TOO_LARGE, ErrorCode.TOO_DEEP,
    ErrorCode.INVALID_MESSAGE, ErrorCode.UNKNOWN_TYPE,
}  # fmt: skip
MESSAGES = get_args(Message)
ANY_TEXT = st.text(st.characters())  # half surrogate pairs too

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ANY_TEXT, inner, max_size=5),
    max_leaves=20,
)
short = st.text(max_size=16)
refs = st.none() | short | st.integers(-(2**53), 2**53)
positions = st.dictionaries(short, st.integers(0, 2**53), max_size=5)
topics = st.none() | st.lists(st.sampled_from(TOPICS), min_size=1, max_size=len(TOPICS))
ids = st.uuids().map(str) | st.integers(0, 2**63).map(str)
messages = st.one_of(
    st.builds(
        Ping,
        ref=refs,
        timestamp=st.none() | short | st.floats(allow_nan=False, allow_infinity=False),
        positions=st.none() | positions,
    ),
    st.builds(
        Subscribe,
        ref=refs,
        client_id=st.none() | ids,
        topics=topics,
        min_severity=st.none() | st.sampled_from(SEVERITIES),
    ),
    st.builds(Unsubscribe, ref=refs, client_id=st.none() | ids, topics=topics),
    st.builds(Resume, ref=refs, positions=positions | st.just("last"), epoch=st.none() | short),
    st.builds(Authenticate, ref=refs, token=st.text(max_size=200)),
    st.builds(RequestUpdate, ref=refs, client_id=st.none() | ids),
    st.builds(Acknowledge, ref=refs, alert_id=ids),
)


def check(text: str | None, data: bytes | None, *, binary: bool = False) -> Any:
    """Decode; return the message or None. Any exception but a ProtocolError with a frame's code gets out."""
    try:
        message = decode(text, data, binary=binary)
    except ProtocolError as error:
        refusal = error
    else:
        assert isinstance(message, MESSAGES)
        return message
    assert refusal.code in FRAME_CODES
    assert 0 < len(refusal.message) < 1000
    assert refusal.ref is None or isinstance(refusal.ref, str | int)
    return None


def test_every_message_is_generated_here() -> None:
    assert set(MESSAGES) == {Ping, Subscribe, Unsubscribe, Resume, Authenticate, RequestUpdate, Acknowledge}


@thorough
@given(ANY_TEXT)
@example("")
@example("[" * (MAX_BYTES - 1))
@example('{"a":' * 3000)
@example('"' + "\\" * 8000)
@example('"' * 8001)
@example('{"type":"ping","ref":"\ud800"}')
@example('{"type":"ping","timestamp":' + "9" * 16000 + "}")
@example('{"type":"ping","timestamp":1e' + "9" * 16000 + "}")
def test_any_text_is_a_message_or_a_protocol_error(text: str) -> None:
    check(text, None)


@thorough
@given(st.binary(max_size=2000))
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x91" * MAX_BYTES)
@example(b"\x81\xc0\xc0")
@example(b"\x81\x91\x01\xc0")  # a list as a key
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    check(None, data, binary=True)
    with pytest.raises(ProtocolError) as caught:
        decode(None, data)
    assert caught.value.code is ErrorCode.BINARY_UNSUPPORTED


@thorough
@given(json_values)
def test_any_json_value_is_a_message_or_a_protocol_error(value: Any) -> None:
    check(json.dumps(value), None)
    check(json.dumps(value, ensure_ascii=False), None)
    try:
        packed = msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return  # an integer beyond 64 bits, half a surrogate pair: MessagePack has no form for them
    check(None, packed, binary=True)


@thorough
@given(messages, st.sampled_from(["drop", "add", "replace"]), st.data())
def test_a_message_with_one_fault_is_a_message_or_a_protocol_error(
    message: Any, fault: str, data: st.DataObject
) -> None:
    fields = msgspec.to_builtins(message)
    key = data.draw(st.sampled_from(sorted(fields)))
    if fault == "drop":
        del fields[key]
    else:
        fields[key if fault == "replace" else data.draw(ANY_TEXT)] = data.draw(json_values)
    found = check(json.dumps(fields), None)
    if found is not None:
        assert decode(msgspec.json.encode(found).decode(), None) == found


@thorough
@given(messages)
def test_every_valid_message_is_read_as_it_was_written(message: Any) -> None:
    assert decode(msgspec.json.encode(message).decode(), None) == message
    assert decode(msgspec.json.encode(message).decode(), None, binary=True) == message
    assert decode(None, msgspec.msgpack.encode(message), binary=True) == message


@thorough
@given(st.integers(0, 40), st.text(alphabet='[]{}"\\ax', max_size=40))
def test_depth_counts_brackets_outside_strings_only(depth: int, inside: str) -> None:
    frame = "[" * depth + json.dumps(inside) + "]" * depth
    with pytest.raises(ProtocolError) as caught:
        decode(frame, None)
    assert (caught.value.code is ErrorCode.TOO_DEEP) == (depth > MAX_DEPTH)


@thorough
@given(st.integers(MAX_BYTES - 3, MAX_BYTES + 3))
def test_size_is_counted_in_bytes_and_checked_first(size: int) -> None:
    frame = '{"type":"ping","ref":"é"}'
    padded = frame + " " * (size - len(frame.encode()))
    if size <= MAX_BYTES:
        assert decode(padded, None) == Ping(ref="é")
    else:
        with pytest.raises(ProtocolError, match=f"has {size} bytes"):
            decode(padded, None)


# Outbound


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
events = st.tuples(
    st.sampled_from(["alert", "engagement_update", "interaction_update"]),
    st.uuids().map(str),
    st.uuids().map(groups.client) | st.uuids().map(groups.msp),
    st.integers(1, 2**53),
    st.datetimes().map(lambda moment: moment.isoformat() + "+00:00"),
    st.dictionaries(st.text(), plain_values, max_size=6),
)
KEYS = ("type", "client_id", "stream", "seq", "timestamp", "data")


def body(event: tuple[Any, ...], to: Encoding) -> bytes:
    write = encoding.event_msgpack if to is Encoding.MSGPACK else encoding.event_json
    return write(*event[:-1], msgspec.json.encode(event[-1]).decode())


def read(wire: str | bytes, by: Encoding) -> Any:
    if by is Encoding.MSGPACK:
        assert isinstance(wire, bytes)
        return msgspec.msgpack.decode(wire)
    if isinstance(wire, bytes):
        assert by is Encoding.DEFLATE
        wire = zlib.decompress(wire).decode()
    return msgspec.json.decode(wire)


@brief
@given(st.lists(events, min_size=1, max_size=20), st.integers(0, 2000))
def test_events_and_batches_read_the_same_in_every_encoding(
    batch: list[tuple[Any, ...]], compress_above: int
) -> None:
    wanted = [dict(zip(KEYS, event, strict=True)) for event in batch]
    for one in Encoding:
        bodies = [body(event, one) for event in batch]
        for event, single in zip(wanted, bodies, strict=True):
            assert read(encoding.finish(single, one, compress_above), one) == event
        wire = encoding.finish(encoding.batch(bodies, one), one, compress_above)
        assert read(wire, one) == {"type": "batch", "messages": wanted}
        if one is not Encoding.MSGPACK and isinstance(wire, bytes):
            assert len(zlib.decompress(wire)) > compress_above


@brief
@given(st.lists(events, min_size=1, max_size=5))
def test_batches_are_frames_of_the_protocol(batch: list[tuple[Any, ...]]) -> None:
    for one, decoder in ((Encoding.JSON, msgspec.json.decode), (Encoding.MSGPACK, msgspec.msgpack.decode)):
        frame = decoder(encoding.batch([body(event, one) for event in batch], one), type=Batch)
        assert [message.seq for message in frame.messages] == [event[3] for event in batch]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 255, 256, 65_535, 65_536, 65_537])
def test_a_msgpack_batch_is_written_as_msgspec_would_write_it(count: int) -> None:
    bodies = [msgspec.msgpack.encode(number) for number in range(count)]
    ours = encoding.batch(bodies, Encoding.MSGPACK)
    assert ours == msgspec.msgpack.encode({"type": "batch", "messages": list(range(count))})


@thorough
@given(st.lists(st.sampled_from([*Encoding, "x", "bearer.y", "compliance.v2", "COMPLIANCE.V1"]), max_size=6))
def test_the_first_known_subprotocol_is_chosen(offered: list[str]) -> None:
    known = [name for name in offered if name in set(Encoding)]
    assert encoding.choose(offered) == (known[0] if known else None)


@thorough
@given(st.uuids(), st.sampled_from([groups.client, groups.msp]))
def test_stream_names_are_legal_group_names_and_read_back(key: Any, make: Any) -> None:
    name = make(key)
    assert len(name) < 100
    assert all(c.isascii() and (c.isalnum() or c in "-._") for c in name)
    assert groups.parse(name) == (name.partition(".")[0], str(key))


@thorough
@given(st.text())
@example("client.")
@example("realtime.control")
@example("msp.")
@example("msp.a.b")
@example("client.é")
@example(f"client.{'1' * 65}")
@example("client.1\n")
def test_other_names_are_no_streams(name: str) -> None:
    assume(
        not name.startswith(("client.", "msp.")) or not name.isascii() or len(name) > 70 or name[-1] in ".\n"
    )
    with pytest.raises(ValueError):
        groups.parse(name)
