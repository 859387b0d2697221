"""Text from elsewhere, shown where characters can steer: a terminal, a log."""

from __future__ import annotations

import json


def printable(text: object, *, lines: bool = False) -> str:
    """Return `text` with control characters, and those that turn the direction of writing, escaped as in JSON.

    Line ends and tabs stay where `lines` are allowed.
    """
    value = str(text)
    if value.isprintable():
        return value
    kept = "\n\t" if lines else ""
    return "".join(
        letter if letter.isprintable() or letter in kept else json.dumps(letter)[1:-1] for letter in value
    )
