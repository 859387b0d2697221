"""The rate that a connection may ask for (`?rate=N`): rounds of updates a second."""

from __future__ import annotations

LEAST, MOST = 0.1, 60.0
"""From one round in ten seconds to a screen's frames."""


def parse(text: str) -> float:
    """Return a rate in rounds a second. Raise ValueError, with the remedy, for what is none."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not LEAST <= rate <= MOST:
        raise ValueError(f"rate is how many times a second updates come, from {LEAST:g} to {MOST:g}.")
    return rate
