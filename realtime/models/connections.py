"""Live connections as rows: what stats, presence, the watch log and the admin page ask, right across processes."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from realtime import conf
from realtime.models.keys import client_key, msp_key


class ProcessQuerySet(models.QuerySet["ServerProcess"]):
    """Server processes."""

    def live(self) -> Self:
        """Return those whose heartbeat has not expired."""
        expiry = timezone.now() - timedelta(seconds=conf.current().heartbeat_expiry)
        return self.filter(stopped_at=None, heartbeat_at__gt=expiry)


class ServerProcess(models.Model):
    """One process that serves sockets. It lives while its heartbeat is fresh."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    draining = models.BooleanField(default=False)
    stopped_at = models.DateTimeField(null=True, blank=True)

    objects = ProcessQuerySet.as_manager()

    class Meta:
        verbose_name = "server process"
        verbose_name_plural = "server processes"
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @property
    def is_live(self) -> bool:
        """True while its heartbeat is fresh: what `live()` asks of rows."""
        age = timezone.now() - self.heartbeat_at
        return self.stopped_at is None and age.total_seconds() < conf.current().heartbeat_expiry


class ConnectionQuerySet(models.QuerySet["LiveConnection"]):
    """Connections, open and closed."""

    def open(self) -> Self:
        """Return those that are open in a process that lives."""
        return self.filter(closed_at=None, process__in=ServerProcess.objects.live())


class Asked(models.TextChoices):
    """What an administrator asks of an open connection.

    Its process finds it with its heartbeat, or at once by Redis.
    """

    NOTHING = ""
    REPORT = "report", "its figures"
    CLOSE = "close", "to be closed"


class LiveConnection(models.Model):
    """One socket: who watched what, from when to when."""

    id = models.UUIDField(primary_key=True, editable=False)
    process = models.ForeignKey(ServerProcess, on_delete=models.CASCADE, related_name="connections")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", db_constraint=False
    )
    role = models.CharField(max_length=16)
    scope = models.CharField(max_length=8, choices=[("msp", "MSP"), ("client", "client")])
    selective = models.BooleanField(
        default=False, help_text="Follows the clients it selects, not all of its MSP's"
    )
    msp = msp_key()
    client = client_key(null=True, help_text="The client whose stream is followed; none: all of the MSP's")
    address = models.CharField(max_length=64, blank=True)
    encoding = models.CharField(max_length=32)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    close_code = models.PositiveSmallIntegerField(null=True)
    sent = models.PositiveBigIntegerField(default=0, help_text="Events sent")
    lag = models.PositiveBigIntegerField(null=True, help_text="Events it was behind, when it was last asked")
    reported_at = models.DateTimeField(null=True)
    asked = models.CharField(max_length=8, choices=Asked.choices, default=Asked.NOTHING, blank=True)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        ordering = ("-opened_at",)
        indexes: ClassVar = [
            models.Index(fields=("process",), condition=models.Q(closed_at=None), name="connection_open"),
            models.Index(fields=("closed_at",), name="connection_closed_at"),
            models.Index(fields=("client", "-opened_at"), name="connection_by_client"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class SelectedClient(models.Model):
    """A client that a connection with `?scope=selected` has subscribed to."""

    connection = models.ForeignKey(LiveConnection, on_delete=models.CASCADE, related_name="selected")
    client = client_key(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("connection", "client"), name="client_selected_once")
        ]

    def __str__(self) -> str:
        return str(self.client_id)


class Bookmark(models.Model):
    """How far a user has got in a stream, on whatever device: what `resume` with `"last"` starts from.

    Servers move bookmarks at any moment, at that too when the user is deleted. Neither may fail for it, so the database
    is not asked to enforce the key; a bookmark left of nobody is pruned.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    stream = models.CharField(max_length=64)
    position = models.BigIntegerField()
    epoch = models.CharField(max_length=64)
    moved_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("user", "stream"), name="bookmark_once_per_user_and_stream")
        ]

    def __str__(self) -> str:
        return f"{self.stream} at {self.position}"


class Ticket(models.Model):
    """A single-use ticket for one handshake: its fingerprint, whose it is, until when.

    And what it was asked for with: the password of then (a fingerprint), the session, the token's end. Whatever ends
    those ends the ticket, and the socket that it opens.
    """

    mark = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    expires_at = models.DateTimeField(db_index=True)
    password_mark = models.CharField(max_length=64, default="")
    session_key = models.TextField(blank=True, default="")
    token_expires_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"ticket of {self.user_id}"
