"""The golden frames: the protocol as both sides hold it. `frontend/tests/golden.test.ts` is the other half."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from realtime.protocol import errors, inbound, outbound
from realtime.protocol.closing import CloseCode

GOLDEN = Path(__file__).parent.parent / "golden"
FRAMES = {path.stem: path for path in sorted(GOLDEN.glob("*-*.json"))}
SIDES = {"client": inbound.Message, "server": outbound.Frame}
TYPES = [(side, struct) for side, union in SIDES.items() for struct in get_args(union)]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def side_of(name: str) -> Any:
    return SIDES[name.partition("-")[0]]


@pytest.mark.parametrize("name", FRAMES)
def test_a_golden_frame_decodes_strictly_and_encodes_to_itself(name: str) -> None:
    frame = read(FRAMES[name])

    message = msgspec.json.decode(FRAMES[name].read_bytes(), type=side_of(name))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=side_of(name)) == message
    encoded = json.loads(msgspec.json.encode(message))
    # Frames are compared without what says nothing: client frames write their defaults out.
    assert without_nulls(encoded) == without_nulls(frame)


@pytest.mark.parametrize("name", FRAMES)
def test_a_golden_frame_is_named_by_its_type(name: str) -> None:
    assert name.split("-")[1] == read(FRAMES[name])["type"]


@pytest.mark.parametrize(("side", "struct"), TYPES, ids=lambda value: getattr(value, "__name__", value))
def test_every_frame_type_has_a_full_and_a_minimal_golden_frame(
    side: str, struct: type[msgspec.Struct]
) -> None:
    fields = msgspec.structs.fields(struct)
    tag = struct.__struct_config__.tag

    minimal = read(FRAMES[f"{side}-{tag}-minimal"])

    # A type with forms that exclude each other has a golden frame of each: all of them together have all fields.
    forms = [read(path) for name, path in FRAMES.items() if name.split("-")[:2] == [side, tag]]
    assert set().union(*forms) == {"type", *(field.encode_name for field in fields)}
    needed = [field for field in fields if always_there(struct, field)]
    optional_null = {name for name, value in minimal.items() if value is None} - names(needed)
    assert set(minimal) - {"type"} - optional_null == names(needed)
    # So that the other half reads null wherever the server may send it.
    assert all(minimal[field.encode_name] is None for field in needed if type(None) in get_args(field.type))


@pytest.mark.parametrize("name", [name for name in FRAMES if name.startswith("client-")])
def test_the_server_reads_what_a_client_sends(name: str) -> None:
    text = FRAMES[name].read_text(encoding="utf-8")

    message = inbound.decode(text, None)

    assert message == msgspec.json.decode(text, type=inbound.Message)


def test_the_vocabulary_is_python_s() -> None:
    assert read(GOLDEN / "vocabulary.json") == {
        "protocol": outbound.PROTOCOL,
        "topics": list(inbound.TOPICS),
        "severities": list(inbound.SEVERITIES),
        "resync_reasons": list(resync_reasons()),
        "close_codes": {code.name: code.value for code in CloseCode},
        "error_codes": [code.value for code in errors.ErrorCode],
        "most_positions": max_length(inbound.Positions),
    }


def names(fields: list[msgspec.structs.FieldInfo]) -> set[str]:
    return {field.encode_name for field in fields}


def resync_reasons() -> tuple[str, ...]:
    """The literals of `Resync.reason`, whose annotation is a string until msgspec resolves it."""
    reason = next(field for field in msgspec.structs.fields(outbound.Resync) if field.name == "reason")
    return get_args(reason.type)


def max_length(annotated: Any) -> int:
    return next(meta.max_length for meta in get_args(annotated) if isinstance(meta, msgspec.Meta))


def always_there(struct: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> bool:
    if field.required:
        return True
    return (
        not struct.__struct_config__.omit_defaults
        and field.default is not msgspec.UNSET
        and issubclass(struct, outbound.Outbound)
    )


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
