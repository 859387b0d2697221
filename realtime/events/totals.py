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

import msgspec
from django.db.models import Field, IntegerField, QuerySet, TextField, Value
from django.utils import timezone

from realtime import portal
from realtime.models import DayTotal, Outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date

SUM_AGAIN = timedelta(hours=1)

DAY_TOTAL = ("subject", "day", "total", "summed_at")
"""The fields of a total that are kept."""


class Counting:
    """Counts facts of events on today's totals, within one round of placing. It writes nothing: the round does."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._now = timezone.now()
        self._totals: dict[str, DayTotal] = {}

    def count(self, kind: str, events: Sequence[tuple[str, Iterable[Mapping[str, Any]]]]) -> list[int]:
        """Count the facts of events of a topic, each of the subject of its key (`<beginning>:<id>`).

        Return each event's total, with its own facts (`count`, `day`). The facts must be in the outbox still.
        """
        self._read(kind, {key for key, _ in events} - self._totals.keys())
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

    def _read(self, kind: str, keys: Collection[str]) -> None:
        today, since = self._now.date(), self._now - SUM_AGAIN
        found = DayTotal.objects.using(self._using).filter(pk__in=keys, day=today, summed_at__gt=since)
        kept = {row.subject: row for row in found}
        sums = _summed(kind, [key for key in keys if key not in kept], today, self._using)
        self._totals |= kept | {
            key: DayTotal(subject=key, day=today, total=total, summed_at=self._now)
            for key, total in sums.items()
        }


def _summed(kind: str, keys: Sequence[str], day: date, using: str) -> dict[str, int]:
    """Return the sums of the day's uses, but for those whose facts wait in the outbox.

    In one query, so of one moment: a use and its fact are committed together.
    """
    topic = portal.current().topic(kind)
    if not keys or topic is None or topic.uses_of_day is None:
        return {}
    ids: dict[str, list[str]] = {}
    for key in keys:
        beginning, _, subject = key.partition(":")
        ids.setdefault(beginning, []).append(subject)
    queries = [
        query.order_by().annotate(facts=Value("", TextField()))
        for query in topic.uses_of_day(ids, day, using)
    ]
    waiting = (
        Outbox.objects.using(using)
        .filter(kind=kind, key__in=keys)
        .order_by()
        .annotate(subject=Value(None, _key_field(queries[0])), sum=Value(0, IntegerField()))
        .values_list("subject", "sum", "key", "facts")
    )
    sums: Counter[str] = Counter(dict.fromkeys(keys, 0))
    # Neither the parts nor the whole may be ordered: Django 6.1 refused it, as do some databases.
    for subject, total, key, facts in queries[0].union(*queries[1:], waiting, all=True).order_by():
        if facts:
            fact = msgspec.json.decode(facts)
            if fact.get("day", day.isoformat()) == day.isoformat():
                sums[key] -= fact["count"]
        else:
            sums[f"{key}:{subject}"] += total
    return sums


def _key_field(query: QuerySet[Any]) -> Field[Any, Any]:
    """Return the field of the first column of a query: of a subject's key."""
    field: Any = query.model._meta.get_field(query.query.values_select[0])
    found: Field[Any, Any] = getattr(field, "target_field", field)
    return found
