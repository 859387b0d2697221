"""Conflation: of many updates of one subject the newest state, and every alert. Pure: no loop, no I/O.

What an event carries decides how it folds (`rendering`):

- `interaction_update`: `interaction_count` and `flagged_count` are what was added since the last event, so they are
  added up; all else is how things stand (`total_daily_interactions`), so the newest wins. Subject: the application or
  agent of a client.
- `engagement_update`: rows of figures as they stand, so the newest of a row wins. Subject: a row of a client; the rows
  of one client go out in one event.
- `alert`: never folded.

Backend code may broadcast other shapes. Only events of the same shape (rows: with the same fields) are folded with
each other, so a client that replaces what it knew and one that merges fields both end where they would have ended
without folding. What has no subject stays alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from realtime import metrics
from realtime.hub.tail import StreamEvent

log = structlog.get_logger(__name__)

SUMMED = ("interaction_count", "flagged_count")
ROW_KEYS = {"departments": "department_id", "applications": "app_id", "agents": "agent_id"}
LARGEST = 2**53 - 1
"""Largest whole number that every JSON reader holds exactly; sums do not go beyond."""


class FoldedEvent(StreamEvent):
    """The newest state out of several events, in the place of the last of them."""

    __slots__ = ("folded",)

    def __init__(self, newest: StreamEvent, folded: int, data: str) -> None:
        super().__init__(
            newest.stream,
            newest.seq,
            newest.type,
            newest.client_id,
            newest.severity,
            newest.timestamp,
            data,
        )
        self.folded = folded
        self.heard_at = newest.heard_at


@dataclass(slots=True)
class _Update:
    """Events of one subject, as far as they are folded."""

    newest: StreamEvent
    folded: int
    state: dict[Any, Any]

    def event(self) -> StreamEvent:
        if self.folded == 1:
            return self.newest
        data = _rows_listed(self.state) if self.newest.type == "engagement_update" else self.state
        return FoldedEvent(self.newest, self.folded, msgspec.json.encode(data).decode())


def fold(events: Sequence[StreamEvent]) -> list[StreamEvent]:
    """Return the events of one stream with updates of one subject folded, in the order of their new places.

    They stand for all of `events` together: who got some of them only cannot go on from the last one's seq.
    Where they cannot be folded they are returned as they are: nobody goes without an event for it.
    """
    if len(events) < 2:
        return list(events)
    try:
        return _folded(events)
    except Exception:
        log.exception("events not folded", stream=events[-1].stream, seq=events[-1].seq)
        metrics.delivery_failures.inc()
        return list(events)


def _folded(events: Sequence[StreamEvent]) -> list[StreamEvent]:
    kept: dict[Hashable, _Update] = {}
    ended: Counter[Hashable] = Counter()
    for event in events:
        subject, state = _read(event)
        before = kept.get((subject, ended[subject])) if state is not None else None
        together = (
            _joined(event.type, before.state, state) if before is not None and state is not None else None
        )
        if before is None or together is None:
            if subject is not None:
                ended[subject] += 1  # what comes after this must not be moved before it
            kept[(subject, ended[subject]) if state is not None else event.seq] = _Update(
                event, 1, state or {}
            )
        else:
            del kept[subject, ended[subject]]
            kept[subject, ended[subject]] = _Update(event, before.folded + 1, together)
    return [update.event() for update in kept.values()]


def _read(event: StreamEvent) -> tuple[Hashable, dict[Any, Any] | None]:
    """Return what an event is about (None: nothing in particular), and its state where that can be folded."""
    if event.hidden or event.type not in {"interaction_update", "engagement_update"}:
        return None, None
    try:
        data = msgspec.json.decode(event.data)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(data, dict):
        return None, None
    if event.type == "interaction_update":
        subject = data.get("app_id"), data.get("agent_id")
        counts = [data[name] for name in SUMMED if name in data]
        if not all(type(count) is int for count in counts) or not _is_subject(*subject):
            return None, None
        return (event.type, event.client_id, *subject, *data), data
    return (event.type, event.client_id), _rows_by_key(data)


def _is_subject(*ids: object) -> bool:
    named = [key for key in ids if key is not None]
    return bool(named) and all(isinstance(key, str) for key in named)


def _joined(type_: str, before: dict[Any, Any], state: dict[Any, Any]) -> dict[Any, Any] | None:
    """Return both as one state; None where their sum is more than a number holds."""
    if type_ == "interaction_update":
        sums = {name: before[name] + state[name] for name in SUMMED if name in state}
        return None if any(abs(value) > LARGEST for value in sums.values()) else {**state, **sums}
    together = {table: dict(rows) for table, rows in before.items()}
    for table, rows in state.items():
        known = together.setdefault(table, {})
        for key, row in rows.items():
            known.pop(key, None)  # the last one told comes last
            known[key] = row
    return together


def _rows_by_key(data: dict[str, Any]) -> dict[str, dict[Hashable, Any]] | None:
    """Return an engagement's rows by id and shape; None where there is something else in it."""
    found: dict[str, dict[Hashable, Any]] = {}
    for table, rows in data.items():
        name = ROW_KEYS.get(table)
        if name is None or not isinstance(rows, list):
            return None
        by_key = found[table] = {}
        for row in rows:
            if not isinstance(row, dict) or not isinstance(row.get(name), str):
                return None
            by_key.pop(key := (row[name], *row), None)
            by_key[key] = row
    return found


def _rows_listed(tables: dict[str, dict[Hashable, Any]]) -> dict[str, list[Any]]:
    return {table: list(rows.values()) for table, rows in tables.items()}
