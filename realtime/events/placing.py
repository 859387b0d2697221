"""Placing: every committed event gets its position in the log and its `seq` in its client's and its MSP's
stream.

Many events in a round, and one round after the other: a round that finds at its end that another one came between has
written nothing. So nothing is locked while a round reads and renders, and a process that stops there stops nobody. What
a dead process left in the outbox, the next to come places.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from engagement.models import Client
from realtime.events import rendering, rows
from realtime.events.rendering import Recorded
from realtime.events.totals import DAY_TOTAL, Counting
from realtime.models import DayTotal, Event, Log, Outbox, Stream
from realtime.protocol import groups

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.models import Model

LOG = ("position", "access_position")
OUTBOX = Recorded._fields
STREAM = ("name", "position")
OWNER = ("id", "msp")
EVENT = (
    "position",
    "type",
    "client_id",
    "client_seq",
    "msp_id",
    "msp_seq",
    "severity",
    "occurred_at",
    "data",
)


MOST_IDS = 500
"""In one statement; SQLite takes fewer parameters than others."""


class BusyError(Exception):
    """Somebody else has placed something meanwhile."""


@dataclass(slots=True)
class Placed:
    """An event in its places: a row of `Event`."""

    position: int
    type: str
    client_id: UUID | None
    client_seq: int | None
    msp_id: UUID | None
    msp_seq: int | None
    severity: str
    occurred_at: datetime
    data: str
    after_access: int
    """The log's `access_position` when this event was placed; told with it, and not kept."""


@dataclass(slots=True)
class Round:
    """What one round does: it moves what was recorded to the log."""

    recorded: Sequence[Recorded]
    before: int
    """The log's position, as the round found it."""
    access_position: int
    heads: dict[str, int] = field(default_factory=dict)
    """Of the streams that may be moved, as the round found them."""
    events: list[Placed] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)
    """New heads of streams."""
    totals: Sequence[DayTotal] = ()

    @property
    def position(self) -> int:
        """The log's position, as it will be."""
        return self.before + len(self.events)

    def add(self, draft: rendering.Rendered, msp_id: UUID | None) -> None:
        """Give an event its places; `msp_id` is the MSP that may see it now."""
        position = self.position + 1
        if draft.type == rendering.ACCESS:
            self.access_position = position
        self.events.append(
            Placed(
                position=position,
                type=draft.type,
                client_id=draft.client_id,
                client_seq=self._next(groups.client(draft.client_id)) if draft.client_id else None,
                msp_id=msp_id,
                msp_seq=self._next(groups.msp(msp_id)) if msp_id else None,
                severity=draft.severity,
                occurred_at=draft.occurred_at,
                data=draft.data,
                after_access=self.access_position,
            )
        )

    def _next(self, stream: str) -> int:
        head = self.moved[stream] = self.moved.get(stream, self.heads[stream]) + 1
        return head


def place(limit: int, using: str, *, wait: bool = True) -> tuple[list[Placed], bool]:
    """Place up to about `limit` recorded changes (a transaction's are never torn apart).

    Return the events in order, and whether there may be more. Without `wait`, raise `BusyError` where somebody else has
    placed something meanwhile: the rest may be left to them, since whoever has placed something looks again.
    """
    while True:
        try:
            return _place(limit, using)
        except BusyError:
            if not wait:
                raise


def _place(limit: int, using: str) -> tuple[list[Placed], bool]:
    together = connections[using].vendor == "postgresql"
    # On SQLite a transaction has the one lock of all writers from its beginning.
    with nullcontext() if together else transaction.atomic(using=using):
        round_, more = _begun(limit, using)
        if round_.recorded:
            counting = Counting(using)
            drafts = rendering.render(rendering.fold(round_.recorded), counting)
            # Read after the events' values: values of after a client's move never go to the MSP of before it.
            msps, round_.heads = _audiences(drafts, using)
            for draft in drafts:
                round_.add(draft, msps.get(draft.client_id, draft.msp_id))
            round_.totals = counting.moved()
            (_write_together if together else _write_in_turn)(round_, using)
    return round_.events, more


def anything(using: str) -> bool:
    """Return whether anything waits to be placed."""
    sql = f"SELECT EXISTS (SELECT 1 FROM {Outbox._meta.db_table})"  # noqa: S608 - our own name
    return bool(rows.fetch(sql, [], using)[0][0])


def _begun(limit: int, using: str) -> tuple[Round, bool]:
    """Return a round with what it finds, and whether there is more."""
    found = rows.fetch(_log_and_outbox_sql(using), [Log.SINGLE, limit], using)
    if not found:
        return Round([], 0, 0), False
    recorded = [
        Recorded(*row)
        for row in rows.from_database(Outbox, OUTBOX, [row[: len(OUTBOX)] for row in found], using)
    ]
    position, access_position = found[0][len(OUTBOX) :]
    if (
        position is None
    ):  # the first event there ever is: what was found must be of one moment with the log's row
        Log.current()
        return _begun(limit, using)
    if len(recorded) < limit:
        return Round(recorded, position, access_position), False
    cut = Outbox.objects.using(using).filter(pk__gt=recorded[-1].id, tx__in={row.tx for row in recorded})
    rest = [Recorded(*row) for row in cut.order_by("pk").values_list(*OUTBOX)]
    return Round([*recorded, *rest], position, access_position), True


@cache
def _log_and_outbox_sql(using: str) -> str:
    outbox, log = Outbox._meta.db_table, Log._meta.db_table
    return (
        f"SELECT {rows.columns(Outbox, OUTBOX, using)}, {rows.columns(Log, LOG, using)} "  # noqa: S608 - our own names
        f"FROM {outbox} LEFT JOIN {log} ON {log}.id = %s ORDER BY {outbox}.id LIMIT %s"
    )


def _audiences(
    drafts: Sequence[rendering.Rendered], using: str
) -> tuple[dict[UUID | None, UUID], dict[str, int]]:
    """Return the MSP that each client of the events belongs to now, and the heads of all streams they go into.

    The MSP recorded with an event counts only where the client is gone: an event that was recorded before its client
    moved, and is sequenced after it, is no longer the former MSP's to see.
    """
    msps: dict[UUID | None, UUID] = {}
    heads: dict[str, int] = {}
    clients = sorted({draft.client_id for draft in drafts if draft.client_id})
    for start in range(0, len(clients), MOST_IDS):
        some = clients[start : start + MOST_IDS]
        found = rows.fetch(*_audience_query(some, using), using)
        owners = rows.from_database(Client, OWNER, [row[: len(OWNER)] for row in found], using)
        for (client_id, msp_id), (*_, client_head, msp_head) in zip(owners, found, strict=True):
            msps[client_id] = msp_id
            heads |= {groups.client(client_id): client_head or 0, groups.msp(msp_id): msp_head or 0}
    gone = [draft for draft in drafts if draft.client_id and draft.client_id not in msps]
    unread = {groups.client(draft.client_id) for draft in gone if draft.client_id}
    unread |= {groups.msp(draft.msp_id) for draft in gone if draft.msp_id}
    return msps, heads | _heads(unread - heads.keys(), using)


def _heads(names: Collection[str], using: str) -> dict[str, int]:
    if not names:
        return {}
    known = Stream.objects.using(using).filter(name__in=names).values_list(*STREAM)
    return dict.fromkeys(names, 0) | dict(known)


def _audience_query(clients: Sequence[UUID], using: str) -> tuple[str, list[Any]]:
    """Return the SQL, and its parameters, of clients' MSPs with the heads of both streams."""
    if connections[using].vendor == "postgresql":
        return _audience_sql("= ANY(%s)", using), [list(clients)]
    keys = [key for (key,) in rows.to_database(Client, OWNER[:1], [(key,) for key in clients], using)]
    return _audience_sql(f"IN ({', '.join(['%s'] * len(keys))})", using), keys


@cache
def _audience_sql(among: str, using: str) -> str:
    client, stream = Client._meta.db_table, Stream._meta.db_table
    names = {
        "client_stream": f"'client.' || {rows.uuid_text(f'{client}.id', using)}",
        "msp_stream": f"'msp.' || {rows.uuid_text(f'{client}.msp_id', using)}",
    }
    joins = " ".join(f"LEFT JOIN {stream} {alias} ON {alias}.name = {name}" for alias, name in names.items())
    return (
        f"SELECT {rows.columns(Client, OWNER, using)}, client_stream.position, msp_stream.position "  # noqa: S608 - our own names
        f"FROM {client} {joins} WHERE {client}.id {among}"
    )


_INSERTS: tuple[tuple[type[Model], tuple[str, ...], str], ...] = (
    (Stream, STREAM, f"ON CONFLICT (name) DO UPDATE SET {rows.excluded(STREAM[1:])}"),
    (DayTotal, DAY_TOTAL, f"ON CONFLICT (subject) DO UPDATE SET {rows.excluded(DAY_TOTAL[1:])}"),
    (Event, EVENT, ""),
)
"""What a round inserts, or moves on: of which models, which fields, and what follows the values."""

_LOG_SQL = (
    f"UPDATE {Log._meta.db_table} SET position = %s, access_position = %s WHERE id = %s AND position = %s"  # noqa: S608 - our own names
)


def _log_parameters(round_: Round) -> list[int]:
    return [round_.position, round_.access_position, Log.SINGLE, round_.before]


def _inserted(round_: Round) -> Iterator[tuple[type[Model], tuple[str, ...], str, Sequence[object]]]:
    """Yield what a round inserts: of which model, which fields, what follows the values; and the rows."""
    streams = [Stream(name=name, position=head) for name, head in sorted(round_.moved.items())]
    inserted: tuple[Sequence[object], ...] = (streams, round_.totals, round_.events)
    for insert, found in zip(_INSERTS, inserted, strict=True):
        yield *insert, found


def _write_together(round_: Round, using: str) -> None:
    """Write a round on PostgreSQL: in one statement, which is a transaction.

    First it moves the log on from where the round found it; there it waits for another round that is being written. If
    that one has moved the log, it writes nothing.
    """
    given = [rows.as_json(model, names, found) for model, names, _, found in _inserted(round_)]
    parameters = [*_log_parameters(round_), [row.id for row in round_.recorded], *given]
    if rows.fetch(_write_together_sql(using), parameters, using) != [(1,)]:
        raise BusyError


@cache
def _write_together_sql(using: str) -> str:
    ours = "WHERE EXISTS (SELECT 1 FROM logged)"
    parts = [
        f"logged AS ({_LOG_SQL} RETURNING 1)",
        f"gone AS (DELETE FROM {Outbox._meta.db_table} {ours} AND id = ANY(%s))",  # noqa: S608 - our own names
    ]
    for model, names, then in _INSERTS:
        insert, given = rows.insert_sql(model, names, using), rows.given(model, names, using)
        parts.append(f"{model._meta.model_name} AS ({insert} SELECT * FROM {given} {ours} {then})")  # noqa: S608
    return f"WITH {', '.join(parts)} SELECT count(*) FROM logged"  # noqa: S608


def _write_in_turn(round_: Round, using: str) -> None:
    """Write a round in an open transaction that nobody can have come before."""
    rows.execute(_LOG_SQL, _log_parameters(round_), using)
    for model, names, then, found in _inserted(round_):
        values = [[getattr(row, name) for name in names] for row in found]
        rows.insert(model, names, rows.to_database(model, names, values, using), using, then=then)
    ids = [row.id for row in round_.recorded]
    for start in range(0, len(ids), MOST_IDS):
        Outbox.objects.using(using).filter(pk__in=ids[start : start + MOST_IDS])._raw_delete(using)
