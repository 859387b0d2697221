"""Placing: every committed event gets its position in the log and its `seq` in its client's and its MSP's
stream.

One transaction after the other, behind one lock; many events in each. What a dead process
left in the outbox, the next to come places.
"""

from __future__ import annotations

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
    with connection.cursor() as locking, connection.cursor() as logs, connection.cursor() as outbox:
        if connection.vendor == "postgresql":
            _ask_for_lock(locking, wait=wait, using=using)
        logs.execute(f"{_select(Log, LOG, using)} WHERE id = %s", [Log.SINGLE])
        outbox.execute(f"{_select(Outbox, OUTBOX, using)} ORDER BY id LIMIT %s", [limit])
        if connection.vendor == "postgresql" and locking.fetchone()[0] is False:
            raise BusyError
        found, recorded = _models(Log, LOG, logs, using), _models(Outbox, OUTBOX, outbox, using)
    log = found[0] if found else Log.current()
    if len(recorded) < limit:
        return log, recorded, False
    rest = Outbox.objects.using(using).filter(pk__gt=recorded[-1].pk, tx__in={row.tx for row in recorded})
    return log, [*recorded, *rest.order_by("pk")], True


def _ask_for_lock(cursor: Any, *, wait: bool, using: str) -> None:
    """Ask PostgreSQL for the lock, held until the transaction ends; the answer is False where it was not to be had.

    An advisory lock: those who wait get it in turn, and nobody who does not wait gets ahead of them. For a row lock
    they would have to race.
    """
    with connections[using].cursor() as limits:
        limits.execute(
            "SELECT set_config('lock_timeout', %s, true), "
            "set_config('idle_in_transaction_session_timeout', %s, true)",
            [str(LOCK_TIMEOUT_MS)] * 2,
        )
    take = "pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock"
    cursor.execute(f"SELECT {take}(%s)", [LOCK])


def _select(model: type[Model], names: tuple[str, ...], using: str) -> str:
    return f"SELECT {rows.columns(model, names, using)} FROM {model._meta.db_table}"  # noqa: S608 - our own names


def _models(model: type[Model], names: tuple[str, ...], cursor: Any, using: str) -> list[Any]:
    found = rows.from_database(model, names, cursor.fetchall(), using)
    return [model(**dict(zip(names, row, strict=True))) for row in found]


def _placed(log: Log, rendered: Sequence[rendering.Rendered], using: str) -> list[Event]:
    """Give drafts their places: the next positions of the log, and of their streams."""
    heads = _heads(rendered, using)
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
    rows.insert(
        Stream,
        STREAM,
        sorted(heads.items()),
        using,
        then="ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position",
    )
    return events


def _heads(rendered: Sequence[rendering.Rendered], using: str) -> dict[str, int]:
    names = {groups.client(event.client_id) for event in rendered if event.client_id}
    names |= {groups.msp(event.msp_id) for event in rendered if event.msp_id}
    if not names:
        return {}
    with connections[using].cursor() as cursor:
        cursor.execute(f"{_select(Stream, STREAM, using)} WHERE name IN ({_places(names)})", list(names))
        return dict.fromkeys(names, 0) | dict(cursor.fetchall())


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
