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
from django.db import router
from django.db.models import IntegerField, Sum, TextField, UUIDField, Value
from django.utils import timezone

from engagement.actions.rollups import bounds
from engagement.models import Interaction
from realtime.events import rows
from realtime.models import DayTotal, Kind, Outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date

SUM_AGAIN = timedelta(hours=1)

COLUMNS = ("subject", "day", "total", "summed_at")

SUBJECTS = {"app": "application_id", "agent": "agent_id"}
"""The column of an interaction that names its subject, by what the key of its facts begins with."""


def count_on(events: Sequence[tuple[str, Iterable[Mapping[str, Any]]]]) -> list[int]:
    """Count the facts of events, each of the subject of its key (`app:<id>`, `agent:<id>`), on today's totals.

    Return each event's total, with its own facts. Call it in the transaction that places the events and takes their
    facts out of the outbox, behind placing's lock.
    """
    now = timezone.now()
    today = now.date()
    using = router.db_for_write(DayTotal)
    keys = dict.fromkeys(key for key, _ in events)
    kept = _kept([_id(key) for key in keys], using)
    current = {
        key: row
        for key in keys
        if (row := kept.get(_id(key))) and row.day == today and row.summed_at > now - SUM_AGAIN
    }
    missing = [key for key in keys if key not in current]
    if missing:
        for key, total in _summed(missing, today).items():
            current[key] = DayTotal(subject=_id(key), day=today, total=total, summed_at=now)
    totals = []
    for key, facts in events:
        current[key].total += sum(fact["count"] for fact in facts if _day(fact, today) == today.isoformat())
        totals.append(current[key].total)
    _keep(current.values(), using)
    return totals


def _id(key: str) -> UUID:
    return UUID(key.partition(":")[2])


def _day(fact: Mapping[str, Any], today: date) -> str:
    day: str = fact.get("day") or today.isoformat()  # recorded before facts named their day
    return day


def _kept(subjects: Sequence[UUID], using: str) -> dict[UUID, DayTotal]:
    found = DayTotal.objects.using(using).filter(pk__in=subjects)
    return {row.subject: row for row in found}


def _summed(keys: Collection[str], day: date) -> dict[str, int]:
    """Return the sums of the day's interactions, but for those whose facts wait in the outbox.

    In one query, so of one moment: an interaction and its fact are committed together.
    """
    start, end = bounds(day)
    queries = [
        Interaction.objects.filter(**{f"{column}__in": ids}, occurred_at__gte=start, occurred_at__lt=end)
        .order_by()
        .values(column)
        .annotate(sum=Sum("count"), key=Value(prefix), facts=Value("", TextField()))
        .values_list(column, "sum", "key", "facts")
        for prefix, column in SUBJECTS.items()
        if (ids := [_id(key) for key in keys if key.startswith(f"{prefix}:")])
    ]
    waiting = (
        Outbox.objects.filter(kind=Kind.INTERACTION, key__in=keys)
        .annotate(subject=Value(None, UUIDField()), sum=Value(0, IntegerField()))
        .values_list("subject", "sum", "key", "facts")
    )
    sums: Counter[str] = Counter(dict.fromkeys(keys, 0))
    for subject, total, key, facts in queries[0].union(*queries[1:], waiting, all=True):
        if facts:
            fact = msgspec.json.decode(facts)
            if _day(fact, day) == day.isoformat():
                sums[key] -= fact["count"]
        else:
            sums[f"{key}:{subject}"] += total
    return sums


def _keep(totals: Collection[DayTotal], using: str) -> None:
    values = [[getattr(row, name) for name in COLUMNS] for row in totals]
    rows.insert(
        DayTotal,
        COLUMNS,
        rows.to_database(DayTotal, COLUMNS, values, using),
        using,
        then=(
            "ON CONFLICT (subject) DO UPDATE "
            "SET day = EXCLUDED.day, total = EXCLUDED.total, summed_at = EXCLUDED.summed_at"
        ),
    )
