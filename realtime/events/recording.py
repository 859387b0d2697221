"""Recording: one INSERT into the outbox, in the transaction of the change.

No lock, no network, no other query.
"""

from __future__ import annotations

import uuid
import weakref
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone

from engagement.models import Client
from realtime import metrics, telemetry
from realtime.events import publisher
from realtime.models import Kind, Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened to a client: `facts` is what the renderer of `kind` needs.

    Equal `key`s of one transaction fold.
    """

    kind: Kind
    client_id: UUID | None
    facts: Any
    key: str = ""
    msp_id: UUID | None = None
    """The MSP whose stream it goes into; None: the client's own, looked up by the INSERT itself."""


def record(facts: Sequence[Fact], using: str | None = None) -> None:
    """Record `facts` in the open transaction (or one of their own).

    They are placed and announced after it commits.
    """
    alias = using or DEFAULT_DB_ALIAS
    with (
        telemetry.span("realtime.record", changes=len(facts)),
        transaction.atomic(using=alias, savepoint=False),
    ):
        tx, now = _transaction_id(alias), timezone.now()
        rows = [
            (tx, fact.kind, fact.client_id, fact.msp_id, fact.client_id, fact.key, _text(fact.facts), now)
            for fact in facts
        ]
        _insert(rows, alias)
    for fact in facts:
        metrics.recorded.labels(fact.kind).inc()


def _text(facts: Any) -> str:
    return msgspec.json.encode(facts).decode()


def _insert(rows: Sequence[tuple[Any, ...]], alias: str) -> None:
    """Insert outbox rows. In SQL of our own: compiled by the ORM this INSERT took a third of a recorded save's time."""
    connection = connections[alias]
    field = {column.name: column for column in Outbox._meta.concrete_fields}
    columns = [field[name] for name in (*RECORDED[:4], "client_id", *RECORDED[4:])]
    values = [
        [column.get_db_prep_value(value, connection) for column, value in zip(columns, row, strict=True)]
        for row in rows
    ]
    with connection.cursor() as cursor:
        if len(values) == 1:
            cursor.execute(_insert_sql(alias), values[0])
        else:
            cursor.executemany(_insert_sql(alias), values)


@cache
def _insert_sql(alias: str) -> str:
    """Return the INSERT.

    The MSP of a client is read by the INSERT itself, unless it is given: that costs no query, and is never stale.
    """
    quote = connections[alias].ops.quote_name
    client = Client._meta
    column = {field.name: quote(field.column) for field in Outbox._meta.concrete_fields}
    return (
        f"INSERT INTO {quote(Outbox._meta.db_table)} ({', '.join(column[name] for name in RECORDED)}) "  # noqa: S608 - our own names
        f"VALUES (%s, %s, %s, COALESCE(%s, (SELECT {quote('msp_id')} "
        f"FROM {quote(client.db_table)} WHERE {quote(client.pk.column)} = %s)), %s, %s, %s)"
    )


RECORDED = ("tx", "kind", "client_id", "msp_id", "key", "facts", "recorded_at")
"""The columns that recording fills, in order."""


_hooks: dict[str, weakref.WeakKeyDictionary[Any, weakref.ref[Callable[[], None]]]] = {}


def _transaction_id(alias: str) -> UUID:
    """Return the id of the open transaction, and see to it that the publisher wakes when it commits.

    The id lives as long as the on-commit hook that this registers. Django drops the hook when the
    transaction, or the savepoint it was registered in, rolls back; what was recorded under the id is gone
    then too, and what comes next gets a new one.
    """
    connection = connections[alias]
    hook_ref = _hooks.setdefault(alias, weakref.WeakKeyDictionary()).get(connection)
    hook = hook_ref() if hook_ref is not None else None
    if hook is None:

        def wake() -> None:
            publisher.wake(alias)

        hook = wake
        hook.tx = uuid.uuid4()  # type: ignore[attr-defined]
        _hooks[alias][connection] = weakref.ref(hook)
        transaction.on_commit(hook, using=alias, robust=True)
    return hook.tx  # type: ignore[attr-defined, no-any-return]
