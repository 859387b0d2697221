"""What happened in the last minutes: the counts that the live charts start from.

Counts are by whole second of `occurred_at`, as pairs `[seconds since the epoch, uses]`; seconds without uses are left
out. The script puts them into its own, wider buckets.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncSecond

from engagement.models import Interaction, User
from engagement.payloads import text

SPAN = timedelta(minutes=5)
"""How far back the live charts reach."""

Counts = list[tuple[int, int]]


def by_client(viewer: User | AnonymousUser, until: datetime) -> dict[str, Counts]:
    """Return the counts up to `until` of each client that `viewer` sees and that had any, by client id: one query."""
    counts: defaultdict[str, Counts] = defaultdict(list)
    for client_id, second, uses in _seconds(Interaction.objects.visible_to(viewer), until, "client_id"):
        counts[str(client_id)].append((second, uses))
    return dict(counts)


def by_subject(client_id: UUID, until: datetime) -> list[dict[str, Any]]:
    """Return the counts up to `until` of each application and agent of a client that had any: one query.

    `{id, name, counts}`, those with the most uses first.
    """
    interactions = Interaction.objects.filter(client_id=client_id).annotate(
        subject_id=Coalesce("application_id", "agent_id"), name=Coalesce("application__name", "agent__name")
    )
    counts: defaultdict[tuple[str, str], Counts] = defaultdict(list)
    for subject_id, name, second, uses in _seconds(interactions, until, "subject_id", "name"):
        counts[text(subject_id) or "", name].append((second, uses))
    rows = [{"id": key, "name": name, "counts": seconds} for (key, name), seconds in counts.items()]
    return sorted(rows, key=lambda row: (-sum(uses for _, uses in row["counts"]), row["name"]))


def _seconds(interactions: QuerySet[Interaction], until: datetime, *by: str) -> list[tuple[Any, ...]]:
    rows = (
        interactions.filter(occurred_at__gt=until - SPAN, occurred_at__lte=until)
        .order_by()
        .annotate(second=TruncSecond("occurred_at"))
        .values_list(*by, "second")
        .annotate(uses=Sum("count"))
        .order_by(F("second"))
    )
    return [(*keys, int(second.timestamp()), uses) for *keys, second, uses in rows]
