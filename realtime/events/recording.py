"""Recording: one INSERT into the outbox, in the transaction of the change.

No lock, no other query, and on PostgreSQL no round trip: it goes along with the COMMIT.
"""

from __future__ import annotations

import uuid
import weakref
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone

from engagement.models import Client
from realtime import metrics, telemetry
from realtime.events import publisher, rows
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


class Row(msgspec.Struct, gc=False):
    """A row of the outbox, but for its id."""

    tx: UUID
    kind: str
    client_id: UUID | None
    msp_id: UUID | None
    key: str
    facts: str
    recorded_at: datetime


COLUMNS = Row.__struct_fields__

PARAMETERS = ("tx", "kind", "client_id", "msp_id", "client_id", "key", "facts", "recorded_at")
"""The parameters of a row's VALUES on SQLite: by the client the MSP is looked up, too."""

MOST_WAITING = 1000
"""Rows of a transaction that wait for its COMMIT."""


class Batch:
    """What a transaction records, as PostgreSQL takes it: in one statement, along with the COMMIT."""

    def __init__(self, alias: str) -> None:
        self.sql = _insert_sql(alias)
        self.rows: list[Row] = []

    def parameter(self) -> str:
        """Return the rows, as JSON."""
        return rows.as_json(Outbox, COLUMNS, self.rows)


def record(facts: Sequence[Fact], using: str | None = None, *, at_once: bool = False) -> None:
    """Record `facts` in the open transaction (or one of their own).

    They are placed and announced after it commits. On PostgreSQL their INSERT goes along with the COMMIT; `at_once` is
    for facts of a client that may be gone by then, and its MSP with it.
    """
    alias = using or DEFAULT_DB_ALIAS
    connection: Any = connections[alias]
    if not connection.in_atomic_block:
        with transaction.atomic(using=alias):
            record(facts, alias, at_once=at_once)
        return
    with telemetry.span("realtime.record", changes=len(facts)):
        tx, now = _transaction_id(alias), timezone.now()
        recorded = [
            Row(tx, fact.kind, fact.client_id, fact.msp_id, fact.key, _text(fact.facts), now)
            for fact in facts
        ]
        if connection.vendor == "postgresql":
            batch = connection.late or Batch(alias)
            batch.rows += recorded
            connection.leave_for_commit(batch)
            if at_once or len(batch.rows) >= MOST_WAITING:
                connection.execute_late()
        else:
            _insert(recorded, alias)
    for fact in facts:
        _count[fact.kind].inc()


_count = {kind: metrics.recorded.labels(kind) for kind in Kind}


def _text(facts: Any) -> str:
    return msgspec.json.encode(facts).decode()


def _msp_sql(alias: str, given: str, client: str) -> str:
    """Return the SQL of an MSP: as given, else the client's, which the INSERT reads itself: no query, never stale."""
    quote, model = connections[alias].ops.quote_name, Client._meta
    return (
        f"COALESCE({given}, (SELECT {quote('msp_id')} FROM {quote(model.db_table)} "  # noqa: S608 - our own names
        f"WHERE {quote(model.pk.column)} = {client}))"
    )


@cache
def _insert_sql(alias: str) -> str:
    """Return the INSERT of any number of rows, given as JSON, for PostgreSQL."""
    msp = _msp_sql(alias, "given.msp_id", "given.client_id")
    selected = ", ".join(msp if name == "msp_id" else f"given.{name}" for name in COLUMNS)
    into, given = rows.insert_sql(Outbox, COLUMNS, alias), rows.given(Outbox, COLUMNS, alias)
    return f"{into} SELECT {selected} FROM {given}"  # noqa: S608 - our own names


@cache
def _values_sql(alias: str) -> str:
    return ", ".join(_msp_sql(alias, "%s", "%s") if name == "msp_id" else "%s" for name in COLUMNS)


def _insert(recorded: Sequence[Row], alias: str) -> None:
    values = [[getattr(row, name) for name in PARAMETERS] for row in recorded]
    parameters = rows.to_database(Outbox, PARAMETERS, values, alias)
    rows.insert(Outbox, COLUMNS, parameters, alias, each=_values_sql(alias))


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
