"""Work on every connection, a few at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 50
"""How many are looked at in one turn.

All of 5,000 at once, with the pings that were due, took 30 to 130 ms, in which no event went out.
"""


def in_turns(members: Sequence[T], seconds: float) -> Iterator[tuple[Sequence[T], float]]:
    """Go round `members` once: yield the next of them, and how many seconds to leave before those after them.

    The turns of a round take `seconds` together; nobody there takes one turn.
    """
    turns = max(1, math.ceil(len(members) / AT_ONCE))
    for turn in range(turns):
        yield members[turn * AT_ONCE : (turn + 1) * AT_ONCE], seconds / turns
