"""Interactions, live: what was added, by application or agent, and how often each was used today."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, Sum, Value

from engagement.actions.rollups import bounds
from engagement.live.names import names
from engagement.models import Agent, Application, Interaction
from realtime.capture.signals import Change
from realtime.events.recording import Fact
from realtime.events.rendering import Folded, Rendered, event_of
from realtime.events.totals import Counting

KIND = "interaction"

Sums = dict[tuple[str, UUID, date], tuple[int, int]]
"""By subject (`application` or `agent`, and its id) and UTC day: how many uses, and how many of them flagged."""

SUBJECTS = {"app": "application_id", "agent": "agent_id"}
"""The column of an interaction that names its subject, by what the key of its facts begins with."""


def imported(client_id: UUID, sums: Sums) -> list[Fact]:
    """Return what a bulk import added, by subject and day."""
    prefix = {"application": "app", "agent": "agent"}
    return [
        Fact(
            KIND,
            client_id,
            {"count": count, "flagged": flagged, "day": day.isoformat()},
            key=f"{prefix[kind]}:{key}",
        )
        for (kind, key, day), (count, flagged) in sums.items()
    ]


def facts(changes: Iterable[Change]) -> list[Fact]:
    """Return what was added less what is no more, by client, subject and day: an edit is a difference, no second use.

    Where nothing was added on balance, there is nothing to tell.
    """
    sums: defaultdict[tuple[UUID, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for change in changes:
        for values, sign in ((change.before, -1), (change.after, 1)):
            if values is None:
                continue
            total = sums[values["client_id"], _subject(values), _utc_day(values["occurred_at"])]
            total[0] += sign * values["count"]
            total[1] += sign * values["count"] * values["flagged"]
    return [
        Fact(KIND, client_id, {"count": count, "flagged": flagged, "day": day}, key=key)
        for (client_id, key, day), (count, flagged) in sums.items()
        if count or flagged
    ]


def _subject(values: dict[str, Any]) -> str:
    return f"app:{values['application_id']}" if values["application_id"] else f"agent:{values['agent_id']}"


def _utc_day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def render(events: Sequence[Folded], counting: Counting) -> list[list[Rendered]]:
    """Return what was added of each subject, with its uses of today: one message for each event."""
    subjects = [tuple(event.key.split(":")) for event in events]
    by_kind: dict[str, set[UUID]] = {"app": set(), "agent": set()}
    for kind, key in subjects:
        by_kind[kind].add(UUID(key))
    totals = counting.count(KIND, [(event.key, event.facts) for event in events])
    known = {
        "app": names(Application, "name", {str(key) for key in by_kind["app"]}),
        "agent": names(Agent, "name", {str(key) for key in by_kind["agent"]}),
    }
    rendered: list[list[Rendered]] = []
    for event, (kind, key), total in zip(events, subjects, totals, strict=True):
        data = {
            f"{kind}_id": key,
            "agent" if kind == "agent" else "app": known[kind].get(key),
            "interaction_count": sum(fact["count"] for fact in event.facts),
            "flagged_count": sum(fact["flagged"] for fact in event.facts),
            "total_daily_interactions": total,
        }
        rendered.append([event_of(event, "interaction_update", data)])
    return rendered


def uses_of_day(keys: Mapping[str, Sequence[str]], day: date, using: str) -> list[QuerySet[Any]]:
    """Return queries of the day's uses: rows of a subject's id, the sum of its uses, and the beginning of its key."""
    start, end = bounds(day)
    return [
        Interaction.objects.using(using)
        .filter(**{f"{column}__in": keys[prefix]}, occurred_at__gte=start, occurred_at__lt=end)
        .order_by()
        .values(column)
        .annotate(sum=Sum("count"), key=Value(prefix))
        .values_list(column, "sum", "key")
        for prefix, column in SUBJECTS.items()
        if keys.get(prefix)
    ]
