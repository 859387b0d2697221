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
        _insert(
            [
                (tx, fact.kind, fact.client_id, fact.msp_id, fact.client_id, fact.key, _text(fact.facts), now)
                for fact in facts
            ],
            alias,
        )
    for fact in facts:
        metrics.recorded.labels(fact.kind).inc()


def _text(facts: Any) -> str:
    return msgspec.json.encode(facts).decode()


def _insert(values: Sequence[tuple[Any, ...]], alias: str) -> None:
    """Insert outbox rows. A client's MSP, unless it is given, is read by the INSERT itself: no query, never stale."""
    parameters = rows.to_database(Outbox, PARAMETERS, values, alias)
    rows.insert(Outbox, RECORDED, parameters, alias, each=_values_sql(alias))


@cache
def _values_sql(alias: str) -> str:
    quote, client = connections[alias].ops.quote_name, Client._meta
    msp = (
        f"COALESCE(%s, (SELECT {quote('msp_id')} FROM {quote(client.db_table)} "  # noqa: S608 - our own names
        f"WHERE {quote(client.pk.column)} = %s))"
    )
    return ", ".join(msp if name == "msp_id" else "%s" for name in RECORDED)


RECORDED = ("tx", "kind", "client_id", "msp_id", "key", "facts", "recorded_at")
"""The columns that recording fills, in order."""

PARAMETERS = ("tx", "kind", "client_id", "msp_id", "client_id", "key", "facts", "recorded_at")
"""The parameters of its INSERT: by the client the MSP is looked up, too."""


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
