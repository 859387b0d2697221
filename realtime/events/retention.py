"""Retention: events older than the setting go, oldest first, in batches that hold no lock for long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from django.utils import timezone

from realtime import conf, portal
from realtime.models import Bookmark, DayTotal, DeadLetter, Event, LiveConnection, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

log = structlog.get_logger(__name__)

BATCH = 2000

DEAD_LETTER_DAYS = 30
"""How long a dead letter waits for a decision. An alert tells of it within minutes; no table may grow for ever."""


def prune_events(older_than: datetime | None = None, batch: int = BATCH) -> Iterator[int]:
    """Delete the events that occurred before `older_than` (default: `retention_hours` ago). Yield how many
    went, by batch.

    The log is read from its beginning and left at the first event that stays, so the cost is that of what
    goes. A stream loses its oldest events only, never one between two that stay.
    """
    limit = older_than or timezone.now() - timedelta(hours=conf.current().retention_hours)
    while True:
        oldest = Event.objects.order_by("position").values_list("position", "occurred_at")[:batch]
        last = None
        for position, occurred_at in oldest:
            if occurred_at >= limit:
                break
            last = position
        if last is None:
            return
        yield Event.objects.filter(position__lte=last).delete()[0]


def prune_connections(older_than: datetime | None = None) -> int:
    """Delete connections closed before `older_than` (default: `watch_log_days` ago), and processes without any.

    Return how many rows went.
    """
    limit = older_than or timezone.now() - timedelta(days=conf.current().watch_log_days)
    gone = LiveConnection.objects.filter(closed_at__lt=limit).delete()[0]
    dead = ServerProcess.objects.filter(heartbeat_at__lt=limit, connections=None)
    return gone + dead.delete()[0]


def prune_dead_letters() -> int:
    """Delete dead letters that nobody has decided on for `DEAD_LETTER_DAYS`. Return how many."""
    limit = timezone.now() - timedelta(days=DEAD_LETTER_DAYS)
    gone = DeadLetter.objects.filter(failed_at__lt=limit).delete()[0]
    if gone:
        log.warning("dead letters deleted", count=gone, older_than_days=DEAD_LETTER_DAYS)
    return gone


def prune_leftovers() -> None:
    """Delete bookmarks of users who are gone, and day totals of days that are over."""
    Bookmark.objects.exclude(user__in=portal.current().users().values("pk")).delete()
    DayTotal.objects.filter(day__lt=timezone.now().date() - timedelta(days=1)).delete()
