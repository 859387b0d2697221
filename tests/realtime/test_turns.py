"""Going round all connections, a few at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.hub.turns import AT_ONCE, in_turns


@given(st.integers(0, 20 * AT_ONCE + 1), st.floats(0.1, 60))
def test_everybody_has_a_turn_in_a_round_and_never_many_at_once(count, seconds):
    turns = list(in_turns(range(count), seconds))
    assert [member for some, _ in turns for member in some] == list(range(count))
    assert all(len(some) <= AT_ONCE for some, _ in turns)
    assert abs(sum(pause for _, pause in turns) - seconds) < 1e-6
