"""Import many interactions at once: what `record_interactions` does, at the speed of the database.

No model instances are made, and on PostgreSQL the rows go in by COPY: 5,000 of them take a tenth of the CPU that
`bulk_create` takes.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec
from django.db import connections, models, router, transaction
from django.utils import timezone

from engagement.actions import rollups
from engagement.actions.interactions import BATCH, Use, check
from engagement.models import Client, Interaction
from engagement.signals import interactions_imported


class Row(msgspec.Struct, frozen=True, gc=False):
    """An interaction's columns, in the order of `COLUMNS`."""

    id: UUID
    client_id: UUID
    application_id: UUID | None
    agent_id: UUID | None
    department_id: UUID | None
    user_ref: str
    count: int
    flagged: bool
    occurred_at: datetime


COLUMNS = {
    "id": "uuid",
    "client_id": "uuid",
    "application_id": "uuid",
    "agent_id": "uuid",
    "department_id": "uuid",
    "user_ref": "varchar",
    "count": "int4",
    "flagged": "bool",
    "occurred_at": "timestamptz",
}
"""The columns that are copied, and what PostgreSQL takes for them."""


def import_interactions(client: Client, uses: Sequence[Use]) -> int:
    """Record `uses` for `client` and add them to the roll-ups of their days; all of it or nothing. Return how many.

    Rules and errors are those of `record_interactions`. Listeners hear of it by `interactions_imported`.
    """
    check(client, uses)
    now = timezone.now()
    rows = [_row(client, use, now) for use in uses]
    if not rows:
        return 0
    using = router.db_for_write(Interaction)
    with transaction.atomic(using=using):
        rollups.add(client, rows)
        if connections[using].vendor == "postgresql":
            _copy(rows, using)
        else:
            plain: models.QuerySet[Interaction] = models.QuerySet(Interaction, using=using)
            plain.bulk_create([Interaction(**msgspec.structs.asdict(row)) for row in rows], batch_size=BATCH)
        interactions_imported.send(Interaction, client_id=client.pk, sums=_sums(rows), using=using)
    return len(rows)


def _row(client: Client, use: Use, now: datetime) -> Row:
    return Row(
        uuid.uuid4(),
        client.id,
        use.application.id if use.application else None,  # not .pk, which takes ten times as long
        use.agent.id if use.agent else None,
        use.department.id if use.department else None,
        use.user_ref,
        use.count,
        use.flagged,
        use.occurred_at or now,
    )


def _copy(rows: Iterable[Row], using: str) -> None:
    connection = connections[using]
    quote = connection.ops.quote_name
    columns = ", ".join(map(quote, COLUMNS))
    statement = f"COPY {quote(Interaction._meta.db_table)} ({columns}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(list(COLUMNS.values()))
        for row in rows:
            copy.write_row(msgspec.structs.astuple(row))


def _sums(rows: Iterable[Row]) -> dict[tuple[str, UUID, date], tuple[int, int]]:
    """Return, by subject (`application` or `agent`, and its id) and UTC day, the uses, and how many were flagged."""
    sums: defaultdict[tuple[str, UUID, date], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        subject = ("application", row.application_id) if row.application_id else ("agent", row.agent_id)
        total = sums[*subject, row.occurred_at.astimezone(UTC).date()]  # type: ignore[index]  # one is set: checked
        total[0] += row.count
        total[1] += row.count if row.flagged else 0
    return {subject: (count, flagged) for subject, (count, flagged) in sums.items()}
