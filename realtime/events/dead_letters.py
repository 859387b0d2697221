"""Dead letters: what an operator may do with changes that could not be published. See `events.containment`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F, Max

from realtime.events import containment, publisher
from realtime.models import DeadLetter, Log, Outbox

if TYPE_CHECKING:
    from django.db.models import QuerySet

CHUNK = 500
"""Rows read at a time; all others of their transactions come with them."""


def retry(chosen: QuerySet[DeadLetter]) -> int:
    """Move dead letters back into the outbox, with all others of their transactions, and have them published.

    Return how many rows were moved. They come after what has been published meanwhile.
    """
    newest = chosen.aggregate(newest=Max("pk"))["newest"] or 0  # those that fail again come after it
    moved = 0
    while count := _retry_some(chosen.filter(pk__lte=newest)):
        moved += count
    return moved


def _retry_some(chosen: QuerySet[DeadLetter]) -> int:
    using = chosen.db
    Log.current()
    with transaction.atomic(using=using):
        # Also the lock: two who retry the same rows wait for each other here.
        Log.objects.using(using).filter(pk=Log.SINGLE).update(dead_letter_moves=F("dead_letter_moves") + 1)
        transactions = set(chosen.order_by("pk").values_list("tx", flat=True)[:CHUNK])
        together = DeadLetter.objects.using(using).filter(tx__in=transactions)
        letters = list(together.order_by("pk"))
        Outbox.objects.using(using).bulk_create(
            [Outbox(**{name: getattr(letter, name) for name in containment.COLUMNS}) for letter in letters],
            batch_size=CHUNK,
        )
        together.delete()
        containment.sum_anew(letters, using)
        transaction.on_commit(lambda: publisher.wake(using), using=using)
    return len(letters)


def discard(chosen: QuerySet[DeadLetter]) -> int:
    """Delete dead letters for good. Return how many rows."""
    return chosen.delete()[0]
