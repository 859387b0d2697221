"""Poison: outbox rows that cannot be published, of every kind of failure. Each holds a mark, to be found again by.

Written as they are into the table, as an older or a faulty version would leave them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

MARK = re.compile(r"poison \S+ \d+")
"""How a mark looks: `poison`, who wrote it, a number."""

DEEP = 500
"""Lists within each other: more than any encoding may carry."""


def _text(facts: Any) -> str:
    return msgspec.json.encode(facts).decode()


KINDS: dict[str, Callable[[str], dict[str, str]]] = {
    "of unknown kind": lambda mark: {"kind": "poison", "facts": _text({"mark": mark})},
    "that is no JSON": lambda mark: {"kind": "message", "facts": f'{{"mark":"{mark}'},
    "of an alert without a key": lambda mark: {
        "kind": "alert",
        "key": mark,
        "facts": _text({"change": "updated"}),
    },
    "of a use of nothing": lambda mark: {
        "kind": "interaction",
        "key": f"app:{mark}",
        "facts": _text({"count": 1, "flagged": 0}),
    },
    "of figures of nothing": lambda mark: {
        "kind": "engagement",
        "facts": _text({"subject": mark, "id": "-"}),
    },
    "that cannot be encoded": lambda mark: {
        "kind": "message",
        "facts": _text({"type": "alert", "severity": "low", "data": {"details": mark, "deep": _deep()}}),
    },
    "that cannot be inserted": lambda mark: {
        "kind": "message",
        "facts": _text({"type": None, "severity": "low", "data": {"details": mark}}),
    },
    "of access, that cannot be read": lambda mark: {"kind": "access", "facts": f"{{{mark}"},
}
"""Fields of an outbox row, by what is wrong with it."""


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(DEEP):
        deep = [deep]
    return deep
