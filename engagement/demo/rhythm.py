"""When people work, and how use of a thing goes up and down over the weeks. Pure functions of dates and hours."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime

WEEKDAYS = (0.95, 1.05, 1.1, 1.0, 0.8, 0.12, 0.08)
"""How busy a day is, Monday first; a plain working day is 1."""

# fmt: off
HOURS = (
    1, 1, 1, 1, 1, 3, 8, 25, 60, 90, 100, 95, 60, 75, 95, 100, 85, 60, 30, 15, 10, 6, 4, 2,
)
# fmt: on
"""How busy an hour of the day is, midnight first, in percent of the busiest."""

QUIETEST = 0.3
"""Living traffic never falls below this share of its peak: somebody trying the demo at night shall see it move."""


def busyness(day: datetime.date) -> float:
    """Return how busy `day` is: 1 on a plain working day."""
    return WEEKDAYS[day.weekday()]


def swing(day: datetime.date, name: str) -> float:
    """Return how much `name` is in use on `day`: a slow wave around 1, of its own length and height.

    A wave rather than steady growth: it gives everything a trend of its own this week, and stays plausible whenever
    the demo is seeded or topped up.
    """
    character = Random(name)  # noqa: S311 - no secret
    weeks, height, phase = character.uniform(5, 13), character.uniform(0.12, 0.55), character.random()
    return 1 + height * math.sin(math.tau * (day.toordinal() / (7 * weeks) + phase))


def moment(rng: Random, day_start: datetime.datetime) -> datetime.datetime:
    """Return a random moment of the day that begins at `day_start`, more likely in a busy hour."""
    hour = rng.choices(range(24), weights=HOURS)[0]
    return day_start.replace(hour=hour, minute=rng.randrange(60), second=rng.randrange(60))


def pace(now: datetime.datetime) -> float:
    """Return the share of its peak that living traffic has at `now`, from `QUIETEST` to 1."""
    return QUIETEST + (1 - QUIETEST) * HOURS[now.hour] / 100
