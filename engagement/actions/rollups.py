"""The daily roll-ups: counted up as interactions arrive, and recomputed from them.

Both ways take the roll-ups' row locks first, in the order of their keys, and hold them to the commit: what is
read after that is not changed by anybody else, and callers cannot deadlock. Missing roll-ups are inserted
before, in one order too, while no lock is held yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter
from typing import NamedTuple, Protocol
from uuid import UUID

from django.db import connections, models, router, transaction
from django.db.models import Count, Max, Q, Sum

from engagement.errors import InvalidValue
from engagement.models import ActiveUser, Client, Engagement, Interaction

KINDS = ("department_id", "application_id", "agent_id")
"""The columns that name a roll-up's subject: exactly one of them is set."""

COUNTED = ("interactions", "active_users", "flagged", "last_activity")
"""The columns that counting changes."""


class Counted(Protocol):
    """What counting reads of an interaction: a row of the model, or of an import. `KINDS` are read too."""

    @property
    def count(self) -> int: ...  # noqa: D102
    @property
    def flagged(self) -> bool: ...  # noqa: D102
    @property
    def occurred_at(self) -> datetime: ...  # noqa: D102
    @property
    def user_ref(self) -> str: ...  # noqa: D102


class Subject(NamedTuple):
    """Whose day it is. Sorts, and its order is the order of insertion."""

    kind: str
    pk: UUID
    day: date


@dataclass(slots=True)
class Tally:
    """What happened to one subject on one day."""

    interactions: int = 0
    flagged: int = 0
    last_activity: datetime | None = None
    user_refs: set[str] = field(default_factory=set)

    def count(self, interaction: Counted) -> None:
        """Add one interaction."""
        self.interactions += interaction.count
        if interaction.flagged:
            self.flagged += interaction.count
        if self.last_activity is None or interaction.occurred_at > self.last_activity:
            self.last_activity = interaction.occurred_at
        if interaction.user_ref:
            self.user_refs.add(interaction.user_ref)

    def add(self, other: Tally) -> None:
        """Add what happened elsewhere on that day."""
        self.interactions += other.interactions
        self.flagged += other.flagged
        self.last_activity = later(self.last_activity, other.last_activity)
        self.user_refs |= other.user_refs


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two times, either of which may be missing."""
    return max((moment for moment in (one, other) if moment is not None), default=None)


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first moment of a UTC day, and that of the next."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def add(client: Client, interactions: Iterable[Counted]) -> None:
    """Count new `interactions` of `client` into their roll-ups, which stay locked until the transaction ends.

    Call it inside a transaction, and before the interactions are inserted.
    """
    tallies = _tally(interactions)
    rollups = _locked(client, tallies)
    if tallies.keys() - rollups.keys():
        raise InvalidValue("An application, agent or department was deleted meanwhile: leave its uses out.")
    newly_active = _count_users((rollups[subject], tally.user_refs) for subject, tally in tallies.items())
    for subject, tally in tallies.items():
        rollup = rollups[subject]
        rollup.interactions += tally.interactions
        rollup.flagged += tally.flagged
        rollup.active_users += newly_active[rollup.pk]
        rollup.last_activity = later(rollup.last_activity, tally.last_activity)
    _write(rollups.values())


def roll_up(client: Client, day: date) -> int:
    """Make the roll-ups of `client` on the UTC `day` say what its interactions say. Return how many rows changed.

    For days whose interactions were imported, changed or deleted behind `record_interactions`. Running it
    again changes nothing, and rows that are right already are not written.
    """
    with transaction.atomic():
        # Locked before the interactions are read, so that no concurrent `record_interactions` is lost between the two.
        subjects = {subject for kind in KINDS for subject in _subjects(client, day, kind)}
        rollups = _locked(client, subjects)
        wrong = []
        for kind in KINDS:
            found = _recount(client, day, kind)
            for subject, rollup in rollups.items():
                if subject.kind != kind:
                    continue
                counted = found.get(subject.pk, (0, 0, 0, None))
                if counted != tuple(getattr(rollup, name) for name in COUNTED):
                    for name, value in zip(COUNTED, counted, strict=True):
                        setattr(rollup, name, value)
                    wrong.append(rollup)
            _recount_users(
                client, day, kind, {s.pk: rollup for s, rollup in rollups.items() if s.kind == kind}
            )
        _write(wrong)
    return len(wrong)


def _tally(interactions: Iterable[Counted]) -> dict[Subject, Tally]:
    # First by all subjects at once: an interaction is counted once, not once for each of its subjects.
    combined: defaultdict[tuple[tuple[UUID | None, ...], date], Tally] = defaultdict(Tally)
    subjects_of = attrgetter(*KINDS)
    for interaction in interactions:
        combined[subjects_of(interaction), interaction.occurred_at.astimezone(UTC).date()].count(interaction)
    tallies: defaultdict[Subject, Tally] = defaultdict(Tally)
    for (keys, day), tally in combined.items():
        for kind, pk in zip(KINDS, keys, strict=True):
            if pk:
                tallies[Subject(kind, pk, day)].add(tally)
    return tallies


def _subject(rollup: Engagement) -> Subject:
    kind = f"{rollup.subject_kind}_id"
    return Subject(kind, getattr(rollup, kind), rollup.day)


def _locked(client: Client, subjects: Iterable[Subject]) -> dict[Subject, Engagement]:
    """Return the roll-up of each subject, made if missing, and lock them."""
    wanted = set(subjects)
    if not wanted:
        return {}
    keys_by_kind_and_day: defaultdict[tuple[str, date], list[UUID]] = defaultdict(list)
    for subject in wanted:
        keys_by_kind_and_day[subject.kind, subject.day].append(subject.pk)
    existing = Engagement.objects.filter(
        Q.create(
            [Q(**{f"{kind}__in": keys, "day": day}) for (kind, day), keys in keys_by_kind_and_day.items()],
            connector=Q.OR,
        )
    )
    missing = wanted - {
        Subject(kind, pk, day)
        for *keys, day in existing.values_list(*KINDS, "day")
        for kind, pk in zip(KINDS, keys, strict=True)
        if pk
    }
    if missing:
        empty = [Engagement(client=client, day=s.day, **{s.kind: s.pk}) for s in sorted(missing)]
        # Untold: an empty roll-up is not news. A concurrent caller may have inserted the same.
        models.QuerySet[Engagement](Engagement).bulk_create(empty, ignore_conflicts=True)
    return {_subject(rollup): rollup for rollup in existing.select_for_update().order_by("pk")}


def _write(rollups: Iterable[Engagement]) -> None:
    # An upsert of rows that exist and are locked: one INSERT ... ON CONFLICT DO UPDATE, where bulk_update would send a
    # CASE with a branch per row and column.
    Engagement.objects.bulk_create(
        list(rollups), update_conflicts=True, unique_fields=["id"], update_fields=list(COUNTED)
    )


def _count_users(seen: Iterable[tuple[Engagement, Iterable[str]]]) -> defaultdict[UUID, int]:
    """Note who was seen, and return how many of them are new, by roll-up.

    The constraint tells who is new; only PostgreSQL's and SQLite's RETURNING says which rows a conflict left
    out, and Django's `bulk_create(ignore_conflicts=True)` does not ask for it.
    """
    pairs = [(rollup.pk, user_ref) for rollup, user_refs in seen for user_ref in user_refs]
    newly_active: defaultdict[UUID, int] = defaultdict(int)
    connection = connections[router.db_for_write(ActiveUser)]
    key = ActiveUser._meta.get_field("engagement")
    table, columns = ActiveUser._meta.db_table, (key.column, "user_ref")
    quote = connection.ops.quote_name
    step = _pairs_per_insert(connection.features.max_query_params)
    with connection.cursor() as cursor:
        for start in range(0, len(pairs), step):
            chunk = pairs[start : start + step]
            cursor.execute(
                # Names of the table and its columns, no values.
                f"INSERT INTO {quote(table)} ({', '.join(map(quote, columns))}) "  # noqa: S608
                f"VALUES {', '.join(['(%s, %s)'] * len(chunk))} "
                f"ON CONFLICT DO NOTHING RETURNING {quote(key.column)}",
                [
                    value
                    for pk, user_ref in chunk
                    for value in (key.get_db_prep_value(pk, connection), user_ref)
                ],
            )
            for (pk,) in cursor.fetchall():
                newly_active[pk if isinstance(pk, UUID) else UUID(pk)] += 1
    return newly_active


def _pairs_per_insert(max_params: int | None) -> int:
    return min(max_params or 10_000, 10_000) // 2


def _subjects(client: Client, day: date, kind: str) -> list[Subject]:
    """Return the subjects of one kind that have interactions or a roll-up on the day."""
    start, end = bounds(day)
    used = Interaction.objects.filter(client=client, occurred_at__gte=start, occurred_at__lt=end)
    rolled = Engagement.objects.filter(client=client, day=day)
    keys: set[UUID | None] = set()
    for rows in (used, rolled):
        keys.update(rows.order_by().values_list(kind, flat=True).distinct())
    return [Subject(kind, pk, day) for pk in keys if pk]


def _recount(client: Client, day: date, kind: str) -> dict[UUID, tuple[int, int, int, datetime | None]]:
    """Return what `COUNTED` must be, by subject, from the interactions."""
    start, end = bounds(day)
    rows = (
        Interaction.objects.filter(client=client, occurred_at__gte=start, occurred_at__lt=end)
        .exclude(**{kind: None})
        .order_by()
        .values_list(kind)
        .annotate(
            interactions=Sum("count"),
            active_users=Count("user_ref", distinct=True, filter=~Q(user_ref="")),
            flags=Sum("count", filter=Q(flagged=True), default=0),
            last_activity=Max("occurred_at"),
        )
    )
    return {pk: (interactions, users, flagged, last) for pk, interactions, users, flagged, last in rows}


def _recount_users(client: Client, day: date, kind: str, rollups: dict[UUID, Engagement]) -> None:
    """Make the counted users of the roll-ups those of the interactions."""
    start, end = bounds(day)
    seen = {
        (rollups[pk].pk, user_ref)
        for pk, user_ref in Interaction.objects.filter(
            client=client, occurred_at__gte=start, occurred_at__lt=end
        )
        .exclude(**{kind: None})
        .exclude(user_ref="")
        .order_by()
        .values_list(kind, "user_ref")
        .distinct()
    }
    counted = {
        (engagement_id, user_ref): pk
        for pk, engagement_id, user_ref in ActiveUser.objects.filter(
            engagement__in=[rollup.pk for rollup in rollups.values()]
        ).values_list("pk", "engagement_id", "user_ref")
    }
    ActiveUser.objects.filter(pk__in=[pk for pair, pk in counted.items() if pair not in seen]).delete()
    ActiveUser.objects.bulk_create(
        [ActiveUser(engagement_id=pk, user_ref=ref) for pk, ref in sorted(seen - counted.keys())],
        batch_size=5000,
    )
