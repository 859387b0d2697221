"""What every encoding can carry, and so what the `data` of an event may hold.

JSON and MessagePack agree on: null, booleans, integers of 64 bits (signed or unsigned), finite floats, text without
lone surrogates, lists, and objects whose keys are text. U+0000 is left out because PostgreSQL stores none in text.
JavaScript's numbers are exact up to 2**53 only: an integer beyond that goes out as it is, and a browser rounds it.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
"""MessagePack's `int 64` and `uint 64`."""

MAX_DEPTH = 64
"""Lists and objects within each other, the outermost included."""

MAX_MEMBERS = 50_000
"""Values in all, at any depth."""

MAX_BYTES = 512 * 1024
"""Of the data as JSON. Daphne sends no message of over 1 MiB."""

MAX_KEY_SHOWN = 40

_LONG_NUMBER = re.compile(r"\d{19}")


class Refused(ValueError):
    """A value that not every encoding can carry; `path` says where it is, such as `data.items[3].total`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} {reason}.")
        self.path = path


def checked(data: Mapping[str, Any], name: str = "data") -> str:
    """Return `data` as JSON text that every encoding can carry, and that reads back as it was given.

    UUIDs, dates and times are written as text; instances of subclasses (enumerations, safe strings) as what they
    extend.
    Raise Refused, which is a ValueError, and nothing else.
    """
    try:
        text = msgspec.json.encode(_Plain(name).value(data, name, 1))
    except Refused:
        raise
    except Exception as error:  # a value whose own methods raise
        raise Refused(name, f"cannot be read: {type(error).__name__}") from None
    if len(text) > MAX_BYTES:
        raise Refused(name, f"has {len(text):,} bytes as JSON; the limit is {MAX_BYTES:,}")
    return text.decode()


def check_text(text: str) -> None:
    """Raise an error if some encoding cannot carry `text`, which is JSON. Quick: asked for every event."""
    msgspec.msgpack.encode(msgspec.json.decode(text))
    # msgspec reads an integer beyond 64 bits as a float, and nests as deep as the stack goes: only a look at each value
    # finds those, and few texts can hold one.
    if _LONG_NUMBER.search(text) or text.count("[") + text.count("{") > MAX_DEPTH:
        _Plain("data").value(json.loads(text), "data", 1)


class _Plain:
    """Makes a copy of plain values; counts them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._members = 0

    def value(self, value: Any, path: str, depth: int) -> Any:
        """Return a plain copy of `value`. Raise Refused for what cannot be carried."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise Refused(self._name, f"holds more than {MAX_MEMBERS:,} values")
        match value:
            case None | bool():
                return value
            case str():
                return _text(value, path)
            case int():
                return _integer(value, path)
            case float():
                return _number(value, path)
            case uuid.UUID():
                return str(value)
            case datetime.date() | datetime.time():  # a datetime is a date
                return value.isoformat()
            case list() | tuple() | Mapping():
                return self._members_of(value, path, depth)
        raise Refused(path, f"is of type {type(value).__name__}, and must be JSON")

    def _members_of(self, value: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Refused(self._name, f"is nested deeper than {MAX_DEPTH} levels")
        if not isinstance(value, Mapping):
            return [self.value(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value)]
        plain = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                raise Refused(path, f"has a key of type {type(key).__name__}; keys are text")
            name = _text(key, f"A key of {path}")
            plain[name] = self.value(inner, f"{path}.{name[:MAX_KEY_SHOWN]}", depth + 1)
        return plain


def _text(value: str, path: str) -> str:
    text = str.__str__(value)
    if "\0" in text:
        raise Refused(path, "holds the character U+0000, which PostgreSQL does not store")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(path, "holds a lone surrogate, which is no character") from None
    return text


def _integer(value: int, path: str) -> int:
    number = int.__int__(value)
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise Refused(path, "is an integer beyond 64 bits")
    return number


def _number(value: float, path: str) -> float:
    number = float.__float__(value)
    if not math.isfinite(number):
        raise Refused(path, f"is {number}, which JSON does not have")
    return number
