"""Names of channel-layer groups. A group is also a stream: the place of an event in it is its `seq` there.

Channels allows ASCII letters, digits, `-`, `.` and `_` in a name, under 100 characters; a UUID keeps to that.
"""

from __future__ import annotations

from uuid import UUID

CONTROL = "realtime.control"
"""Where every hub hears of changed access and of drains. Not a stream: nobody has a position in it."""


def client(client_id: UUID | str) -> str:
    """Return the group of one client."""
    return f"client.{client_id}"


def msp(msp_id: UUID | str) -> str:
    """Return the group of one MSP: the events of all its clients."""
    return f"msp.{msp_id}"


def parse(name: str) -> tuple[str, UUID]:
    """Return the kind (`client` or `msp`) and the id that `name` stands for; raise ValueError for any other name."""
    kind, _, key = name.partition(".")
    if kind not in {"client", "msp"}:
        raise ValueError(f"{name!r} is not a stream: it starts neither with client. nor with msp.")
    return kind, UUID(key)
