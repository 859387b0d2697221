"""Day totals: how often applications and agents were used today, as an event says it.

Kept beside the log and counted on with each event. Summing the day's interactions whenever an event is placed costs
more the busier the day: with 270,000 of them it was most of what importing 5,000 more took.

A total is summed from the interactions when its day begins, and anew every hour, so that rows changed behind the
models' backs are in it again.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.db.models import IntegerField, Sum, TextField, UUIDField, Value
from django.utils import timezone

from engagement.actions.rollups import bounds
from engagement.models import Interaction
from realtime.models import DayTotal, Kind, Outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date

SUM_AGAIN = timedelta(hours=1)

DAY_TOTAL = ("subject", "day", "total", "summed_at")
"""The fields of a total that are kept."""

SUBJECTS = {"app": "application_id", "agent": "agent_id"}
"""The column of an interaction that names its subject, by what the key of its facts begins with."""


class Counting:
    """Counts facts of events on today's totals, within one round of placing. It writes nothing: the round does."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._now = timezone.now()
        self._totals: dict[str, DayTotal] = {}

    def count(self, events: Sequence[tuple[str, Iterable[Mapping[str, Any]]]]) -> list[int]:
        """Count the facts of events, each of the subject of its key (`app:<id>`, `agent:<id>`).

        Return each event's total, with its own facts. The facts must be in the outbox still.
        """
        self._read({key for key, _ in events} - self._totals.keys())
        today = self._now.date().isoformat()
        found = []
        for key, facts in events:
            total = self._totals[key]
            total.total += sum(fact["count"] for fact in facts if fact.get("day", today) == today)
            found.append(total.total)
        return found

    def moved(self) -> list[DayTotal]:
        """Return the totals as they are to be kept."""
        return list(self._totals.values())

    def _read(self, keys: Collection[str]) -> None:
        today, since = self._now.date(), self._now - SUM_AGAIN
        by_id = {_id(key): key for key in keys}
        found = DayTotal.objects.using(self._using).filter(pk__in=by_id, day=today, summed_at__gt=since)
        kept = {by_id[row.subject]: row for row in found}
        sums = _summed([key for key in keys if key not in kept], today, self._using)
        self._totals |= kept | {
            key: DayTotal(subject=_id(key), day=today, total=total, summed_at=self._now)
            for key, total in sums.items()
        }


def _id(key: str) -> UUID:
    return UUID(key.partition(":")[2])


def _summed(keys: Sequence[str], day: date, using: str) -> dict[str, int]:
    """Return the sums of the day's interactions, but for those whose facts wait in the outbox.

    In one query, so of one moment: an interaction and its fact are committed together.
    """
    if not keys:
        return {}
    start, end = bounds(day)
    queries = [
        Interaction.objects.using(using)
        .filter(**{f"{column}__in": ids}, occurred_at__gte=start, occurred_at__lt=end)
        .order_by()
        .values(column)
        .annotate(sum=Sum("count"), key=Value(prefix), facts=Value("", TextField()))
        .values_list(column, "sum", "key", "facts")
        for prefix, column in SUBJECTS.items()
        if (ids := [_id(key) for key in keys if key.startswith(f"{prefix}:")])
    ]
    waiting = (
        Outbox.objects.using(using)
        .filter(kind=Kind.INTERACTION, key__in=keys)
        .annotate(subject=Value(None, UUIDField()), sum=Value(0, IntegerField()))
        .values_list("subject", "sum", "key", "facts")
    )
    sums: Counter[str] = Counter(dict.fromkeys(keys, 0))
    for subject, total, key, facts in queries[0].union(*queries[1:], waiting, all=True):
        if facts:
            fact = msgspec.json.decode(facts)
            if fact.get("day", day.isoformat()) == day.isoformat():
                sums[key] -= fact["count"]
        else:
            sums[f"{key}:{subject}"] += total
    return sums
