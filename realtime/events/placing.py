"""Placing: every committed event gets its position in the log and its `seq` in its client's and its MSP's
stream.

One transaction after the other, behind the lock on the `Log` row; many events in each. What a dead process
left in the outbox, the next to come places.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connections, transaction

from realtime.events import rendering
from realtime.models import Event, Log, Outbox, Stream
from realtime.protocol import groups

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK_TIMEOUT_MS = 5000
"""A process that stops in the middle of placing (SIGSTOP, a hung host) is cut off by PostgreSQL after this; the
others go on."""


def place(limit: int, using: str) -> tuple[list[Event], bool]:
    """Place up to about `limit` recorded changes (a transaction's are never torn apart).

    Return the events in order, and whether there may be more.
    """
    with transaction.atomic(using=using), _pipelined(using):
        _bound_lock(using)
        log = Log.current(lock=True)
        rows, more = _recorded(limit, using)
        if not rows:
            return [], False
        events = _placed(log, rendering.render(rendering.fold(rows)), using)
        Outbox.objects.using(using).filter(pk__in=[row.pk for row in rows]).delete()
        Log.objects.using(using).filter(pk=log.pk).update(
            position=log.position, access_position=log.access_position
        )
    return events, more


@contextmanager
def _pipelined(using: str) -> Iterator[None]:
    """On PostgreSQL, send statements whose results nobody waits for along with the next: five round trips less."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    with connection.connection.pipeline():
        yield


def _bound_lock(using: str) -> None:
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for timeout in ("lock_timeout", "idle_in_transaction_session_timeout"):
                cursor.execute(f"SET LOCAL {timeout} = {LOCK_TIMEOUT_MS}")


def _recorded(limit: int, using: str) -> tuple[list[Outbox], bool]:
    outbox = Outbox.objects.using(using).order_by("pk")
    rows = list(outbox[:limit])
    if len(rows) < limit:
        return rows, False
    rest = outbox.filter(pk__gt=rows[-1].pk, tx__in={row.tx for row in rows})
    return [*rows, *rest], True


def _placed(log: Log, rendered: Sequence[rendering.Rendered], using: str) -> list[Event]:
    names = {groups.client(event.client_id) for event in rendered if event.client_id}
    names |= {groups.msp(event.msp_id) for event in rendered if event.msp_id}
    heads = dict.fromkeys(names, 0)
    heads |= Stream.objects.using(using).filter(name__in=names).values_list("name", "position")
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
    Event.objects.using(using).bulk_create(events, batch_size=1000)
    Stream.objects.using(using).bulk_create(
        [Stream(name=name, position=heads[name]) for name in sorted(heads)],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["position"],
    )
    return events
