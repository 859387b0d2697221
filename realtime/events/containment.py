"""Containment: a recorded change that cannot be published becomes a dead letter, and everything else goes on.

A dead letter is the outbox row, moved to a table of its own with the error: it never got a position, so no stream has a
gap. It stays until somebody retries or discards it, or until retention. Moving rows, in either direction, changes the
log's `dead_letter_moves`: a batch that was read before writes nothing then, so that nothing is both published and a
dead letter, and nothing is moved twice.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from django.db.models import F
from django.utils import timezone

from realtime import metrics, portal
from realtime.events import rendering, rows
from realtime.events.rendering import Recorded, Rendered
from realtime.models import DayTotal, DeadLetter, Log, Outbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = structlog.get_logger(__name__)

MAX_DOUBTS = 5
"""How often an event may fail with an error of the database, while others do not, before it is a dead letter."""

CHUNK = 500
"""Rows moved by one statement."""

TIMES = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Between these, Python has a time in every time zone. Databases hold others, and infinity."""

COLUMNS = tuple(name for name in Recorded._fields if name != "id")


@dataclass(frozen=True, slots=True)
class Failed:
    """An event that cannot be published: its outbox rows, and why."""

    rows: Sequence[Recorded]
    error: BaseException
    attempts: int = 1


@dataclass(slots=True)
class Doubtful:
    """Events that fail alone, by an error that is rather the database's: how often, by the id of the first row."""

    attempts: dict[int, int] = field(default_factory=dict)

    def counted(self, failed: Iterable[Failed]) -> list[Failed]:
        """Count a failure of each; return those that have failed too often. The others stay in the outbox."""
        counts = {each.rows[0].id: self.attempts.get(each.rows[0].id, 0) + 1 for each in failed}
        self.attempts = {key: count for key, count in counts.items() if count < MAX_DOUBTS}
        return [
            Failed(each.rows, each.error, counts[each.rows[0].id])
            for each in failed
            if counts[each.rows[0].id] >= MAX_DOUBTS
        ]


def is_of_content(error: BaseException) -> bool:
    """Return whether an error may come of what an event holds. Others are of the database, and everybody's."""
    if isinstance(error, DataError | IntegrityError):
        return True
    return not isinstance(error, DatabaseError | InterfaceError | OSError | MemoryError)


def by_event(recorded: Iterable[Recorded]) -> list[list[Recorded]]:
    """Return rows that may make one event together, for each event."""
    events: dict[Any, list[Recorded]] = {}
    for row in recorded:
        events.setdefault((row.tx, row.kind, row.key) if row.key else row.id, []).append(row)
    return list(events.values())


def readable(found: Sequence[Sequence[Any]], using: str) -> list[Recorded]:
    """Return outbox rows as Python has them.

    SQLite holds anything in any column. A row that cannot be read comes as one of unknown kind: it is found to fail.
    """
    try:
        recorded = [Recorded(*row) for row in rows.from_database(Outbox, Recorded._fields, found, using)]
        if all(TIMES[0] <= row.recorded_at <= TIMES[1] for row in recorded):
            return recorded
    except Exception:
        log.exception("recorded changes not read", next="each is read alone")
    if len(found) == 1:
        return [_unreadable(found[0])]
    return [row for each in found for row in readable([each], using)]


def _unreadable(found: Sequence[Any]) -> Recorded:
    text = _storable(repr(tuple(found)))
    return Recorded(found[0], uuid.uuid4(), "unreadable", None, None, "", text, timezone.now())


def recheck_of_everybody(row: Recorded) -> Rendered:
    """Return the change of access that stands for one whose users cannot be read: everybody is asked again."""
    everybody = {"user_ids": [], "client_ids": [], "sessions": [], "everybody": True}
    return Rendered(rendering.ACCESS, None, None, row.recorded_at, msgspec.json.encode(everybody).decode())


def move(failed: Sequence[Failed], position: int, moves: int, using: str) -> bool:
    """Move rows from the outbox to the dead letters, in the open transaction.

    Return False, and move nothing, unless the log is as it was when they were read: at `position`, after `moves`.
    """
    here = Log.objects.using(using).filter(pk=Log.SINGLE, position=position, dead_letter_moves=moves)
    if not here.update(dead_letter_moves=F("dead_letter_moves") + 1):
        return False
    letters = [_letter(each, row) for each in failed for row in each.rows]
    DeadLetter.objects.using(using).bulk_create(letters, batch_size=CHUNK)
    ids = [row.id for each in failed for row in each.rows]
    for start in range(0, len(ids), CHUNK):
        Outbox.objects.using(using).filter(pk__in=ids[start : start + CHUNK])._raw_delete(using)
    sum_anew(letters, using)
    return True


def _letter(failed: Failed, row: Recorded) -> DeadLetter:
    return DeadLetter(
        **{name: getattr(row, name) for name in COLUMNS},
        error_class=type(failed.error).__qualname__[: DeadLetter._meta.get_field("error_class").max_length],
        error=_storable(str(failed.error).strip())[: DeadLetter.ERROR_LENGTH],
        attempts=failed.attempts,
    )


def _storable(text: str) -> str:
    """Return text as every database stores it: without U+0000 and lone surrogates."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def sum_anew(letters: Iterable[DeadLetter], using: str) -> None:
    """Have the day totals that these counted on, or would count on, summed from the interactions when next told."""
    subjects = set()
    for letter in letters:
        topic = portal.current().topic(letter.kind)
        if topic is not None and topic.uses_of_day is not None:
            subjects.add(letter.key)
    DayTotal.objects.using(using).filter(pk__in=subjects).delete()


def report(failed: Sequence[Failed]) -> None:
    """Log and count what went to the dead letters. A fault that many share is logged in full once."""
    told: Counter[tuple[str, str]] = Counter()
    for each in failed:
        kind = each.rows[0].kind
        metrics.dead_lettered.labels(kind if portal.current().knows(kind) else "unknown").inc(len(each.rows))
        told[kind, type(each.error).__qualname__] += 1
        if told[kind, type(each.error).__qualname__] == 1:
            log.error(
                "event cannot be published: moved to the dead letters",
                kind=kind,
                outbox_ids=[row.id for row in each.rows][:20],
                client=str(each.rows[0].client_id),
                exc_info=each.error,
            )
    for (kind, error), count in told.items():
        if count > 1:
            log.error(
                "events cannot be published: moved to the dead letters", kind=kind, error=error, events=count
            )
