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

from realtime import portal
from realtime.events import containment, rendering, rows
from realtime.events.rendering import Recorded
from realtime.events.totals import DAY_TOTAL, Counting
from realtime.models import DayTotal, Event, Kind, Log, Outbox, Stream
from realtime.protocol import groups, payload
from realtime.protocol.groups import Key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from django.db.models import Model

LOG = ("position", "access_position", "dead_letter_moves")
OUTBOX = Recorded._fields
STREAM = ("name", "position")
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
    client_id: Key | None
    client_seq: int | None
    msp_id: Key | None
    msp_seq: int | None
    severity: str
    occurred_at: datetime
    data: str
    after_access: int
    """Position of the last change of access before this event, or change; told with it, and not kept."""


@dataclass(slots=True)
class Round:
    """What one round does: it moves what was recorded to the log."""

    recorded: Sequence[Recorded]
    before: int
    """The log's position, as the round found it."""
    access_position: int
    dead_letter_moves: int
    """The log's, as the round found it."""
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

    def add(self, draft: rendering.Rendered, msp_id: Key | None) -> None:
        """Give an event its places; `msp_id` is the MSP that may see it now."""
        position = self.position + 1
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
        if draft.type == rendering.ACCESS:
            self.access_position = position

    def _next(self, stream: str) -> int:
        head = self.moved[stream] = self.moved.get(stream, self.heads[stream]) + 1
        return head


def place(limit: int, using: str, *, wait: bool = True) -> tuple[list[Placed], bool]:
    """Place up to about `limit` recorded changes (a transaction's are never torn apart).

    Return the events in order, and whether there may be more. Without `wait`, raise `BusyError` where somebody else has
    placed something meanwhile: the rest may be left to them, since whoever has placed something looks again.

    What cannot be published for what it holds goes to the dead letters, and all others are published. An error of the
    database is raised, and nothing is a dead letter for it.
    """
    while True:
        try:
            return _place(limit, using, None)
        except BusyError:
            if not wait:
                raise


def place_with_doubt(
    limit: int, using: str, doubtful: containment.Doubtful, *, wait: bool = True
) -> tuple[list[Placed], bool]:
    """Do as `place` does, after several failures in a row: an error of the database may be that of single events.

    Events that fail alone with one while others do not are counted in `doubtful` and left in the outbox, and are dead
    letters in the end. Where all fail the error is raised.
    """
    while True:
        try:
            return _place(limit, using, doubtful)
        except BusyError:
            if not wait:
                raise


def _place(limit: int, using: str, doubtful: containment.Doubtful | None) -> tuple[list[Placed], bool]:
    # On SQLite a transaction has the one lock of all writers from its beginning.
    with nullcontext() if _writes_together(using) else transaction.atomic(using=using):
        found, more = _begun(limit, using)
        batch = _Batch(found, using, doubtful)
        try:
            batch.publish(containment.by_event(found.recorded))
            batch.set_aside()
        except BusyError:
            if not batch.events:
                raise
            more = True
    return batch.events, more


def _writes_together(using: str) -> bool:
    return connections[using].vendor == "postgresql"


class _Batch:
    """The rows of one look into the outbox: rounds over all of them, or over parts where something cannot be published.

    A part that fails is halved until the event is found that fails alone. So one among 500 costs some twenty smaller
    rounds, and parts go out in order. Each part is written, or not, as if it had been read alone.
    """

    def __init__(self, found: Round, using: str, doubtful: containment.Doubtful | None) -> None:
        self.events: list[Placed] = []
        self._using = using
        self._doubtful = doubtful
        self._log = found
        """The log as it is: as it was found, or as the last part left it."""
        self._failed: list[containment.Failed] = []
        self._suspected: list[containment.Failed] = []

    def publish(self, events: Sequence[Sequence[Recorded]]) -> None:
        """Publish events, each of some rows; those that cannot be are left to `set_aside`."""
        if not events:
            return
        try:
            self._publish_together([row for event in events for row in event])
        except (BusyError, KeyboardInterrupt):
            raise
        except (
            BaseException
        ) as error:  # a renderer is another's code: SystemExit, too, is about what it was given
            if self._doubtful is None and not containment.is_of_content(error):
                raise
            failure = error
        else:
            return
        if len(events) == 1:
            self._fails_alone(events[0], failure)
            return
        middle = len(events) // 2
        self.publish(events[:middle])
        self.publish(events[middle:])

    def _publish_together(self, rows_: list[Recorded]) -> None:
        round_ = self._round(sorted(rows_))
        with nullcontext() if _writes_together(self._using) else transaction.atomic(using=self._using):
            _fill(round_, self._using)
            _write(round_, self._using)
        self._written(round_)

    def _round(self, recorded: Sequence[Recorded]) -> Round:
        return Round(recorded, self._log.position, self._log.access_position, self._log.dead_letter_moves)

    def _written(self, round_: Round) -> None:
        self._log = round_
        self.events += round_.events

    def _fails_alone(self, event: Sequence[Recorded], error: BaseException) -> None:
        failed = containment.Failed(event, error)
        if event[0].kind == Kind.ACCESS:
            self._move([failed])  # at once: what comes after it must not go to who may have lost access
        elif not containment.is_of_content(error):
            self._suspected.append(failed)
        else:
            self._failed.append(failed)

    def set_aside(self) -> None:
        """Move what failed to the dead letters, in one transaction."""
        if self._suspected and self._doubtful is not None:
            if not self.events:  # it may be the database, and not them
                raise self._suspected[0].error
            self._failed += self._doubtful.counted(self._suspected)
        if self._failed:
            self._move(self._failed)

    def _move(self, failed: Sequence[containment.Failed]) -> None:
        rows_ = [row for each in failed for row in each.rows]
        round_ = self._round([])
        with transaction.atomic(using=self._using):
            if not containment.move(failed, round_.before, round_.dead_letter_moves, self._using):
                raise BusyError
            round_.dead_letter_moves += 1
            if any(row.kind == Kind.ACCESS for row in rows_):
                round_.add(containment.recheck_of_everybody(rows_[0]), None)
                _write(round_, self._using)
        containment.report(failed)
        self._written(round_)


def _fill(round_: Round, using: str) -> None:
    """Render what was recorded, and give the events their places."""
    counting = Counting(using)
    drafts = rendering.render(rendering.fold(round_.recorded), counting)
    for draft in drafts:
        if (draft.type == rendering.ACCESS) != (draft.client_id is None):
            raise ValueError(f"An event of type {draft.type!r}, of client {draft.client_id}.")
        payload.check_text(draft.data)
    # Read after the events' values: values of after a client's move never go to the MSP of before it.
    msps, round_.heads = _audiences(drafts, using)
    for draft in drafts:
        round_.add(draft, msps.get(draft.client_id, draft.msp_id))
    round_.totals = counting.moved()


def _write(round_: Round, using: str) -> None:
    (_write_together if _writes_together(using) else _write_in_turn)(round_, using)


def anything(using: str) -> bool:
    """Return whether anything waits to be placed."""
    sql = f"SELECT EXISTS (SELECT 1 FROM {Outbox._meta.db_table})"  # noqa: S608 - our own name
    return bool(rows.fetch(sql, [], using)[0][0])


def _begun(limit: int, using: str) -> tuple[Round, bool]:
    """Return a round with what it finds, and whether there is more."""
    found = rows.fetch(_log_and_outbox_sql(using), [Log.SINGLE, limit], using)
    if not found:
        return Round([], 0, 0, 0), False
    recorded = containment.readable([row[: len(OUTBOX)] for row in found], using)
    position, access_position, moves = found[0][len(OUTBOX) :]
    if (
        position is None
    ):  # the first event there ever is: what was found must be of one moment with the log's row
        Log.current()
        return _begun(limit, using)
    if len(recorded) < limit:
        return Round(recorded, position, access_position, moves), False
    cut = Outbox.objects.using(using).filter(pk__gt=recorded[-1].id, tx__in={row.tx for row in recorded})
    rest = [Recorded(*row) for row in cut.order_by("pk").values_list(*OUTBOX)]
    return Round([*recorded, *rest], position, access_position, moves), True


@cache
def _log_and_outbox_sql(using: str) -> str:
    outbox, log = Outbox._meta.db_table, Log._meta.db_table
    recorded = rows.columns(Outbox, OUTBOX, using)
    if connections[using].vendor == "postgresql":
        # A time that Python has none for would fail the reading of all rows; so it is read as null.
        time = rows.columns(Outbox, ("recorded_at",), using)
        earliest, latest = containment.TIMES
        recorded = recorded.replace(
            time, f"CASE WHEN {time} BETWEEN '{earliest}' AND '{latest}' THEN {time} END"
        )
    return (
        f"SELECT {recorded}, {rows.columns(Log, LOG, using)} "  # noqa: S608 - our own names
        f"FROM {outbox} LEFT JOIN {log} ON {log}.id = %s ORDER BY {outbox}.id LIMIT %s"
    )


def _audiences(
    drafts: Sequence[rendering.Rendered], using: str
) -> tuple[dict[Key | None, Key], dict[str, int]]:
    """Return the MSP that each client of the events belongs to now, and the heads of all streams they go into.

    The MSP recorded with an event counts only where the client is gone: an event that was recorded before its client
    moved, and is sequenced after it, is no longer the former MSP's to see.
    """
    msps: dict[Key | None, Key] = {}
    heads: dict[str, int] = {}
    declared, owner = portal.current(), _owner()
    clients = sorted({draft.client_id for draft in drafts if draft.client_id})
    for start in range(0, len(clients), MOST_IDS):
        some = clients[start : start + MOST_IDS]
        found = rows.fetch(*_audience_query(some, using), using)
        owners = rows.from_database(declared.clients, owner, [row[: len(owner)] for row in found], using)
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


def _audience_query(clients: Sequence[Key], using: str) -> tuple[str, list[Any]]:
    """Return the SQL, and its parameters, of clients' MSPs with the heads of both streams."""
    if connections[using].vendor == "postgresql":
        return _audience_sql("= ANY(%s)", using), [list(clients)]
    model, key_only = portal.current().clients, _owner()[:1]
    keys = [key for (key,) in rows.to_database(model, key_only, [(key,) for key in clients], using)]
    return _audience_sql(f"IN ({', '.join(['%s'] * len(keys))})", using), keys


def _owner() -> tuple[str, str]:
    """Return the fields of a client that say who its MSP is."""
    declared = portal.current()
    return declared.clients._meta.pk.name, declared.msp_field


@cache
def _audience_sql(among: str, using: str) -> str:
    declared, stream = portal.current(), Stream._meta.db_table
    quote = connections[using].ops.quote_name
    client = quote(declared.clients._meta.db_table)
    key, msp = (f"{client}.{quote(name)}" for name in (declared.clients._meta.pk.column, declared.msp.column))
    names = {
        "client_stream": f"'client.' || {rows.key_text(declared.clients._meta.pk, key, using)}",
        "msp_stream": f"'msp.' || {rows.key_text(declared.msp, msp, using)}",
    }
    joins = " ".join(f"LEFT JOIN {stream} {alias} ON {alias}.name = {name}" for alias, name in names.items())
    return (
        f"SELECT {rows.columns(declared.clients, _owner(), using)}, client_stream.position, msp_stream.position "  # noqa: S608 - our own names
        f"FROM {client} {joins} WHERE {key} {among}"
    )


_INSERTS: tuple[tuple[type[Model], tuple[str, ...], str], ...] = (
    (Stream, STREAM, f"ON CONFLICT (name) DO UPDATE SET {rows.excluded(STREAM[1:])}"),
    (DayTotal, DAY_TOTAL, f"ON CONFLICT (subject) DO UPDATE SET {rows.excluded(DAY_TOTAL[1:])}"),
    (Event, EVENT, ""),
)
"""What a round inserts, or moves on: of which models, which fields, and what follows the values."""

_LOG_SQL = (
    f"UPDATE {Log._meta.db_table} SET position = %s, access_position = %s "  # noqa: S608 - our own names
    "WHERE id = %s AND position = %s AND dead_letter_moves = %s"
)


def _log_parameters(round_: Round) -> list[int]:
    log = [round_.position, round_.access_position, Log.SINGLE]
    return [*log, round_.before, round_.dead_letter_moves]


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
