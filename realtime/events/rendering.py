"""Rendering: from what a transaction recorded to what goes out, many at a time and in few queries.

Done when an event is placed, not when it is recorded: the business transaction pays for one INSERT, and names
and figures are read once for all events of a round. docs/protocol.md describes the shapes of `data`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from realtime import portal
from realtime.events.totals import Counting
from realtime.models import Kind
from realtime.protocol.groups import Key

ACCESS = "access"
"""Type of a control event: no stream, no data for clients."""


class Recorded(NamedTuple):
    """An outbox row. No model instance: in a full round, making those took longer than rendering."""

    id: int
    tx: UUID
    kind: str
    client_id: Key | None
    msp_id: Key | None
    key: str
    facts: str
    recorded_at: datetime


@dataclass(slots=True)
class Folded:
    """The outbox rows of one event, in the order they were recorded."""

    kind: str
    client_id: Key | None
    """Of an alert's rows that name one: the first, which is the client it had before the transaction."""
    msp_id: Key | None
    key: str
    occurred_at: datetime
    facts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rendered:
    """An event without its places yet. `data` is JSON text."""

    type: str
    client_id: Key | None
    msp_id: Key | None
    occurred_at: datetime
    data: str
    severity: str = ""


def fold(rows: Iterable[Recorded]) -> list[Folded]:
    """Return one `Folded` for the rows of a transaction, kind, client and key; for some topics, whatever client.

    Rows without a key stay alone.
    """
    by_key = {topic.kind for topic in portal.current().topics if topic.folds_by_key}
    folded: dict[Any, Folded] = {}
    for row in rows:
        client_id = None if row.kind in by_key else row.client_id
        where = (row.tx, row.kind, client_id, row.key) if row.key else row.id
        event = folded.get(where)
        if event is None:
            event = folded[where] = Folded(row.kind, row.client_id, row.msp_id, row.key, row.recorded_at)
        elif event.client_id is None:
            event.client_id, event.msp_id = row.client_id, row.msp_id
        event.facts.append(msgspec.json.decode(row.facts))
    return list(folded.values())


def render(events: Sequence[Folded], counting: Counting) -> list[Rendered]:
    """Return the events as they go out, in the same order; uses of today are counted on.

    Those that changed nothing visible are left out.
    """
    by_kind: dict[str, list[tuple[int, Folded]]] = {}
    for index, event in enumerate(events):
        by_kind.setdefault(event.kind, []).append((index, event))
    rendered: dict[int, list[Rendered]] = {}
    for kind, group in by_kind.items():
        results = _renderer(kind)([event for _, event in group], counting)
        rendered.update({index: result for (index, _), result in zip(group, results, strict=True)})
    return [event for index in sorted(rendered) for event in rendered[index]]


def event_of(event: Folded, type_: str, data: Any, severity: str = "") -> Rendered:
    """Return a message of an event, told to its client and MSP. `data` is what JSON can carry."""
    text = msgspec.json.encode(data).decode()
    return Rendered(type_, event.client_id, event.msp_id, event.occurred_at, text, severity)


def _renderer(kind: str) -> Callable[[Sequence[Folded], Counting], list[list[Rendered]]]:
    """Return what renders events of a kind. Raise ValueError for one that nobody has declared."""
    if kind == Kind.MESSAGE:
        return _messages
    if kind == Kind.ACCESS:
        return _access
    topic = portal.current().topic(kind)
    if topic is None:
        raise ValueError(f"No topic of the portal's is called {kind!r}.")
    return topic.render


def _messages(events: Sequence[Folded], _: Counting) -> list[list[Rendered]]:
    return [
        [event_of(event, fact["type"], fact["data"], fact["severity"])]
        for event in events
        for fact in event.facts[-1:]
    ]


def _access(events: Sequence[Folded], _: Counting) -> list[list[Rendered]]:
    return [[event_of(event, ACCESS, event.facts[-1])] for event in events]
