"""Names of channel-layer groups. A group is also a stream: the place of an event in it is its `seq` there.

Channels allows ASCII letters, digits, `-`, `.` and `_` in a name, under 100 characters; a UUID or a number keeps to
that.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

_STREAM = re.compile(r"(?P<kind>client|msp)\.(?P<key>[A-Za-z0-9_-]{1,64})", re.ASCII)

Key: TypeAlias = Any
"""The key of a client, an MSP or a user: a UUID, a whole number or text, as the portal's models have it."""

CONTROL = "realtime.control"
"""Where every hub hears of changed access and of drains. Not a stream: nobody has a position in it."""


def client(client_id: Key) -> str:
    """Return the group of one client."""
    return f"client.{client_id}"


def msp(msp_id: Key) -> str:
    """Return the group of one MSP: the events of all its clients."""
    return f"msp.{msp_id}"


def parse(name: str) -> tuple[str, str]:
    """Return the kind (`client` or `msp`) and the text of the key that `name` stands for.

    Raise ValueError for any other name.
    """
    found = _STREAM.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is not a stream: it is neither client.<key> nor msp.<key>.")
    return found["kind"], found["key"]
