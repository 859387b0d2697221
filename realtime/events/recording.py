"""Recording: one INSERT into the outbox, in the transaction of the change.

No lock, no network, no other query.
"""

from __future__ import annotations

import uuid
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models.expressions import RawSQL

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
    with telemetry.span("realtime.record", changes=len(facts)), transaction.atomic(using=alias, savepoint=False):
        tx = _transaction_id(alias)
        rows = [
            Outbox(
                tx=tx,
                kind=fact.kind,
                client_id=fact.client_id,
                msp_id=fact.msp_id or cast("UUID | None", _msp_of(fact.client_id, alias)),
                key=fact.key,
                facts=msgspec.json.encode(fact.facts).decode(),
            )
            for fact in facts
        ]
        if len(rows) == 1:
            rows[0].save(force_insert=True, using=alias)
        else:
            Outbox.objects.using(alias).bulk_create(rows, batch_size=1000)
    for fact in facts:
        metrics.recorded.labels(fact.kind).inc()


def _msp_of(client_id: UUID | None, alias: str) -> RawSQL | None:
    """Return an expression for the MSP of a client.

    Read as the row is inserted, so it costs no query and is never stale.
    """
    if client_id is None:
        return None
    connection = connections[alias]
    options = Client._meta
    quote = connection.ops.quote_name
    key = options.pk.get_db_prep_value(client_id, connection)
    column = options.get_field("msp").column
    sql = f"(SELECT {quote(column)} FROM {quote(options.db_table)} WHERE {quote(options.pk.column)} = %s)"  # noqa: S608 - names of our own model
    return RawSQL(sql, [key])  # noqa: S611 - the key is a parameter


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
