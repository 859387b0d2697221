"""Recording: one INSERT into the outbox, in the transaction of the change. No lock, no other query."""

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

from realtime import metrics, portal, telemetry
from realtime.events import publisher, rows
from realtime.models import Outbox
from realtime.protocol.groups import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened to a client: `facts` is what the renderer of `kind` needs.

    Equal `key`s of one transaction fold.
    """

    kind: str
    client_id: Key | None
    facts: Any
    key: str = ""
    msp_id: Key | None = None
    """The MSP to tell where the client is gone when the event is sequenced; None: the client's own, of this moment."""


COLUMNS = ("tx", "kind", "client_id", "msp_id", "key", "facts", "recorded_at")

PARAMETERS = ("tx", "kind", "client_id", "msp_id", "client_id", "key", "facts", "recorded_at")
"""The parameters of a row's VALUES: by the client the MSP is looked up, too."""


def record(facts: Sequence[Fact], using: str | None = None) -> None:
    """Record `facts` in the open transaction (or one of their own). They are sequenced after it commits."""
    if not facts:
        return
    alias = using or DEFAULT_DB_ALIAS
    if not connections[alias].in_atomic_block:
        with transaction.atomic(using=alias):
            record(facts, alias)
        return
    with telemetry.span("realtime.record", changes=len(facts)):
        tx, now = _transaction_id(alias), timezone.now()
        values = [
            (tx, fact.kind, fact.client_id, fact.msp_id, fact.client_id, fact.key, _text(fact.facts), now)
            for fact in facts
        ]
        parameters = rows.to_database(Outbox, PARAMETERS, values, alias)
        rows.insert(Outbox, COLUMNS, parameters, alias, each=_values_sql(alias))
    for fact in facts:
        _counter(fact.kind).inc()


@cache
def _counter(kind: str) -> Any:
    return metrics.recorded.labels(kind)


def _text(facts: Any) -> str:
    return msgspec.json.encode(facts).decode()


@cache
def _values_sql(alias: str) -> str:
    """Return a row's VALUES. The MSP is as given, else the client's, for events of a client that will be gone."""
    quote, declared = connections[alias].ops.quote_name, portal.current()
    model = declared.clients._meta
    msp = (
        f"COALESCE(%s, (SELECT {quote(declared.msp.column)} FROM {quote(model.db_table)} "  # noqa: S608 - our own names
        f"WHERE {quote(model.pk.column)} = %s))"
    )
    return ", ".join(msp if name == "msp_id" else "%s" for name in COLUMNS)


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
