"""The protocol's types in words: the AsyncAPI document and docs/protocol.md are made of them, so that neither drifts.

Meanings come from the docstrings beside the code.
"""

from __future__ import annotations

import ast
import enum
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent
from typing import Any, Literal, get_args

import msgspec

from realtime.protocol import inbound, outbound

Side = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a frame: its name on the wire, its JSON type in words, and whether it is always there."""

    name: str
    kind: str
    required: bool


@dataclass(frozen=True, slots=True)
class FrameType:
    """A type of frame: `type` on the wire, what it means, and its fields."""

    side: Side
    tag: str
    struct: type[msgspec.Struct]
    meaning: str
    fields: tuple[Field, ...]


@functools.cache
def frames(side: Side) -> tuple[FrameType, ...]:
    """Return the frames that a side sends, in the order of the code."""
    union = inbound.Message if side == "client" else outbound.Frame
    structs: tuple[type[msgspec.Struct], ...] = get_args(union)
    known = schemas()
    return tuple(_frame(side, struct, known[struct.__name__]) for struct in structs)


def _frame(side: Side, struct: type[msgspec.Struct], schema: Any) -> FrameType:
    fields = tuple(
        Field(name, kind(value), name in schema["required"])
        for name, value in schema["properties"].items()
        if name != "type"
    )
    return FrameType(side, str(struct.__struct_config__.tag), struct, schema["description"], fields)


def schemas(template: str = "#/components/schemas/{name}") -> dict[str, Any]:
    """Return the JSON Schema of every frame and of what they hold, by name."""
    types = [*get_args(inbound.Message), *get_args(outbound.Frame)]
    _, components = msgspec.json.schema_components(types, ref_template=template)
    for component in components.values():
        if "description" in component:
            component["description"] = " ".join(component["description"].split())
        for value in component.get("properties", {}).values():
            # OpenAPI's form of a discriminator, which AsyncAPI does not know; the tags are in the schemas themselves.
            value.get("items", {}).pop("discriminator", None)
    return components


def kind(schema: Any) -> str:
    """Return what a JSON Schema allows, in words: `string`, `one of a, b`, `list of …`, `object`."""
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option != {"type": "null"}]
        words = " or ".join(dict.fromkeys(kind(option) for option in options))
        return words if len(options) == len(schema["anyOf"]) else f"{words}, or null"
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}" if "items" in schema else "list"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"object of {kind(values)}" if isinstance(values, dict) and values else "object"
    return str(schema.get("format") or schema.get("type", "anything"))


def members(enumeration: type[enum.Enum]) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and meaning (the docstring after it) of each member of an enumeration."""
    (definition,) = ast.parse(dedent(inspect.getsource(enumeration))).body
    if not isinstance(definition, ast.ClassDef):
        raise TypeError(f"{enumeration} is no class")
    meanings: dict[str, str] = {}
    for statement, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            meanings[statement.targets[0].id] = " ".join(str(following.value.value).split())
    for member in enumeration:
        yield member.name, member.value, meanings.get(member.name, "")


def most_positions() -> int:
    """Return of how many streams a frame may give positions."""
    (meta,) = [part for part in get_args(inbound.Positions) if isinstance(part, msgspec.Meta)]
    if meta.max_length is None:
        raise TypeError("Positions have no bound")
    return meta.max_length
