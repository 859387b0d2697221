"""Placing: every committed event gets its position in the log and its `seq` in its client's and its MSP's
stream.

One transaction after the other, behind one lock; many events in each. What a dead process
left in the outbox, the next to come places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from realtime.events import rendering, rows
from realtime.models import Event, Log, Outbox, Stream
from realtime.protocol import groups

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from django.db.models import Model

LOCK_TIMEOUT_MS = 5000
"""A process that stops in the middle of placing (SIGSTOP, a hung host) is cut off by PostgreSQL after this; the
others go on."""

LOCK = 0x706C6163696E67
"""The advisory lock that serialises placing on PostgreSQL ("placing", in ASCII)."""

LOG = ("id", "epoch", "position", "access_position")
OUTBOX = ("id", "tx", "kind", "client_id", "msp_id", "key", "facts", "recorded_at")
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


class BusyError(Exception):
    """Somebody else is placing at this moment."""


def place(limit: int, using: str, *, wait: bool = True) -> tuple[list[Event], bool]:
    """Place up to about `limit` recorded changes (a transaction's are never torn apart).

    Return the events in order, and whether there may be more. Without `wait`, raise `BusyError` where somebody else is
    placing: it may be left to them, since whoever has placed something looks again afterwards.
    """
    with transaction.atomic(using=using), _pipelined(using):
        log, recorded, more = _log_and_outbox(limit, using, wait=wait)
        if not recorded:
            return [], False
        events = _placed(log, rendering.render(rendering.fold(recorded)), using)
        _write(log, events, recorded, using)
    return events, more


def anything(using: str) -> bool:
    """Return whether anything waits to be placed. Takes no lock."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {Outbox._meta.db_table})")  # noqa: S608 - our own name
        return bool(cursor.fetchone()[0])


@contextmanager
def _pipelined(using: str) -> Iterator[None]:
    """On PostgreSQL, send statements whose results nobody waits for along with the next, and the COMMIT along with the
    last: three round trips in all.

    Inside a caller's own transaction (a test's) nothing is committed, as ever.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    outermost = len(connection.atomic_blocks) == 1
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("COMMIT")


def _log_and_outbox(limit: int, using: str, *, wait: bool) -> tuple[Log, list[Outbox], bool]:
    """Lock the log; return it, what is recorded, and whether there is more."""
    connection = connections[using]
    log, outbox = Log._meta.db_table, Outbox._meta.db_table
    with connection.cursor() as locking, connection.cursor() as reading:
        if connection.vendor == "postgresql":
            locking.execute(_lock_sql(wait=wait), [str(LOCK_TIMEOUT_MS), str(LOCK_TIMEOUT_MS), LOCK])
        reading.execute(
            f"SELECT {rows.columns(Outbox, OUTBOX, using)}, {rows.columns(Log, LOG, using)} "  # noqa: S608 - our own names
            f"FROM {outbox} LEFT JOIN {log} ON {log}.id = %s ORDER BY {outbox}.id LIMIT %s",
            [Log.SINGLE, limit],
        )
        if connection.vendor == "postgresql" and locking.fetchone()[-1] is False:
            raise BusyError
        found = reading.fetchall()
    if not found:
        return Log(), [], False
    recorded = _models(Outbox, OUTBOX, [row[: len(OUTBOX)] for row in found], using)
    logged = found[0][len(OUTBOX) :]
    current = Log.current() if logged[0] is None else _models(Log, LOG, [logged], using)[0]
    if len(recorded) < limit:
        return current, recorded, False
    rest = Outbox.objects.using(using).filter(pk__gt=recorded[-1].pk, tx__in={row.tx for row in recorded})
    return current, [*recorded, *rest.order_by("pk")], True


def _lock_sql(*, wait: bool) -> str:
    """Return what asks PostgreSQL for the lock, held until the transaction ends; last in its answer: False if not got.

    An advisory lock: those who wait get it in turn, and nobody who does not wait gets ahead of them. For a row lock
    they would have to race.
    """
    return (
        "SELECT set_config('lock_timeout', %s, true), set_config('idle_in_transaction_session_timeout', %s, true), "
        f"pg_{'' if wait else 'try_'}advisory_xact_lock(%s)"
    )


def _models(model: type[Model], names: tuple[str, ...], found: list[Any], using: str) -> list[Any]:
    values = rows.from_database(model, names, found, using)
    return [model(**dict(zip(names, row, strict=True))) for row in values]


def _placed(log: Log, rendered: Sequence[rendering.Rendered], using: str) -> list[Event]:
    """Give drafts their places: the next positions of the log, and of their streams."""
    heads = _moved(rendered, using)
    events = []
    for draft in rendered:
        log.position += 1
        event = Event(
            position=log.position,
            type=draft.type,
            client_id=draft.client_id,
            msp_id=draft.msp_id,
            severity=draft.severity,
            occurred_at=draft.occurred_at,
            data=draft.data,
        )
        if draft.type == rendering.ACCESS:
            log.access_position = log.position
        event.after_access = log.access_position
        if draft.client_id:
            name = groups.client(draft.client_id)
            heads[name] = event.client_seq = heads[name] + 1
        if draft.msp_id:
            name = groups.msp(draft.msp_id)
            heads[name] = event.msp_seq = heads[name] + 1
        events.append(event)
    return events


def _moved(rendered: Sequence[rendering.Rendered], using: str) -> dict[str, int]:
    """Move streams forward by the events that go into each; return where each of them was before."""
    counts = Counter(groups.client(event.client_id) for event in rendered if event.client_id)
    counts.update(groups.msp(event.msp_id) for event in rendered if event.msp_id)
    heads = rows.insert(
        Stream,
        ("name", "position"),
        sorted(counts.items()),
        using,
        then=(
            "ON CONFLICT (name) DO UPDATE "
            f"SET position = {Stream._meta.db_table}.position + EXCLUDED.position RETURNING name, position"
        ),
    )
    return {name: head - counts[name] for name, head in heads}


def _places(values: Sized) -> str:
    return ", ".join(["%s"] * len(values))


def _write(log: Log, events: Sequence[Event], recorded: Sequence[Outbox], using: str) -> None:
    """Move what was recorded from the outbox to the log."""
    values = [[getattr(event, name) for name in EVENT] for event in events]
    rows.insert(Event, EVENT, rows.to_database(Event, EVENT, values, using), using)
    outbox, table = Outbox._meta.db_table, Log._meta.db_table
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {outbox} WHERE id IN ({_places(recorded)})",  # noqa: S608 - our own names
            [row.pk for row in recorded],
        )
        cursor.execute(
            f"UPDATE {table} SET position = %s, access_position = %s WHERE id = %s",  # noqa: S608 - our own names
            [log.position, log.access_position, log.pk],
        )
