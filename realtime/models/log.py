"""The event log. An event is recorded in `Outbox` with the change it tells of, and moves to `Event` when it
gets its places.

`Event` only ever grows at its end and loses rows at its beginning (retention): nothing in it is updated, so
ten million rows cost a reader what ten thousand do. There are no foreign keys: events outlive the rows they
tell of.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from realtime.models.keys import client_key, msp_key


class Kind(models.TextChoices):
    """What an outbox row is about, besides the topics that the portal declares, and so how it is rendered."""

    MESSAGE = "message", "given as it goes out"
    ACCESS = "access", "who may see what has changed"


class RecordedChange(models.Model):
    """A change as its own transaction recorded it. Rows of one `tx`, `kind`, client and `key` are one event."""

    tx = models.UUIDField(help_text="The transaction: what it recorded is folded")
    kind = models.CharField(max_length=16, help_text="A topic of the portal's; message, or access")
    client = client_key(null=True)
    msp = msp_key(null=True)
    key = models.CharField(max_length=64, blank=True, help_text="What is folded with what; empty: nothing")
    facts = models.TextField(help_text="JSON: what the renderer of this kind needs")
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class Outbox(RecordedChange):
    """A change that is not yet published."""

    class Meta:
        verbose_name = "unpublished event"

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class DeadLetter(RecordedChange):
    """A change that cannot be published: its outbox row, and why. It has no position, so no stream has a gap."""

    ERROR_LENGTH = 2000

    error_class = models.CharField(max_length=100, help_text="Class of the exception")
    error = models.TextField(help_text="Its message, shortened")
    failed_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=1, help_text="How often publishing it was tried")

    class Meta:
        indexes: ClassVar = [models.Index(fields=("tx",), name="dead_letter_by_transaction")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Event(models.Model):
    """An event in its place: `position` in the whole log, `client_seq` and `msp_seq` in its two streams.

    Each without a gap.
    """

    position = models.BigIntegerField(primary_key=True)
    type = models.CharField(max_length=24)
    client = client_key(null=True)
    client_seq = models.BigIntegerField(null=True)
    msp = msp_key(null=True)
    msp_seq = models.BigIntegerField(null=True)
    severity = models.CharField(max_length=16, blank=True)
    occurred_at = models.DateTimeField()
    data = models.TextField(help_text="JSON, as it goes out")

    class Meta:
        ordering = ("-position",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("client", "client_seq"), name="event_place_in_client_stream"),
            models.UniqueConstraint(fields=("msp", "msp_seq"), name="event_place_in_msp_stream"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.position if self.client_seq is None else self.client_seq}"


class Stream(models.Model):
    """How far a group's stream has come: the `seq` of its last event."""

    name = models.CharField(max_length=64, primary_key=True)
    position = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} at {self.position}"


class Log(models.Model):
    """The one row of the whole log: its last position, and the epoch that cursors into it carry.

    A round of placing moves `position` on from where it found it, or does nothing; the same where rows went to the dead
    letters or came back meanwhile (`dead_letter_moves`), so that nothing is both published and a dead letter. So events
    are placed one round after the other, in the order in which they were recorded: what was recorded after another
    event had committed comes after it, and a reader of `position > last` never misses one.
    """

    SINGLE = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLE)
    epoch = models.UUIDField(
        default=uuid.uuid4, help_text="Changed when positions lose their meaning: a restored backup"
    )
    position = models.BigIntegerField(default=0)
    access_position = models.BigIntegerField(
        default=0, help_text="Of the last event that changed who may see what"
    )
    dead_letter_moves = models.BigIntegerField(
        default=0, help_text="How often rows were moved between the outbox and the dead letters"
    )

    class Meta:
        verbose_name = "event log"

    def __str__(self) -> str:
        return f"log at {self.position}"

    @classmethod
    def current(cls, *, lock: bool = False) -> Log:
        """Return the row, made at first use; `lock`ed until the transaction ends if asked."""
        rows = cls.objects.select_for_update() if lock else cls.objects.all()
        log = rows.filter(pk=cls.SINGLE).first()
        if log is None:
            cls.objects.get_or_create(pk=cls.SINGLE)
            log = rows.get(pk=cls.SINGLE)
        return log


class DayTotal(models.Model):
    """How often an application or agent was used on one UTC day, by the events placed so far. See `events.totals`."""

    subject = models.CharField(primary_key=True, max_length=64, help_text="The key of its facts")
    day = models.DateField()
    total = models.BigIntegerField()
    summed_at = models.DateTimeField(help_text="When it was last summed from the interactions themselves")

    def __str__(self) -> str:
        return f"{self.total} on {self.day}"
