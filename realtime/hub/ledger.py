"""Live connections and the process's heartbeat, as rows: written in batches, never one query an event.

A connection opened and closed between two writes makes one row. What cannot be written (the database is away)
waits for the next turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from django.db import connection as database
from django.db.models import F
from django.utils import timezone

from realtime import bookmarks, conf, metrics, portal
from realtime.hub import threads
from realtime.hub.connection_rows import Changes, cleaned, store
from realtime.models import Asked, LiveConnection, ServerProcess
from realtime.protocol import groups

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from realtime.hub.connection import Connection

log = structlog.get_logger(__name__)

VANISHED = 1006
"""Close code of connections whose process died: RFC 6455's "closed abnormally"."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of an open connection: events sent, and events it is behind."""

    connection: UUID
    sent: int
    lag: int


MAX_REACHED = 100_000
"""Bookmarks that wait to be moved while the database takes none; older ones are dropped."""


@dataclass(slots=True)
class Batch:
    """What one write takes to the database, each part for itself, and what it brings back."""

    changes: Changes
    reached: dict[bookmarks.Place, int]
    epoch: str
    beat: bool
    failed: dict[str, Exception] = field(default_factory=dict)
    """Why a part was not written: `heartbeat`, `rows` or `bookmarks`."""


class Ledger:
    """The rows of one hub."""

    def __init__(
        self, on_drain: Callable[[str], None], on_asked: Callable[[UUID, str], Report | None]
    ) -> None:
        self._on_drain = on_drain
        self._on_asked = on_asked
        self._asked: list[tuple[UUID, str]] = []
        self._asked_to_drain = False
        self.process = ServerProcess(host=socket.gethostname()[:255], pid=os.getpid())
        self._changes = Changes()
        self._reached: dict[bookmarks.Place, int] = {}
        self.epoch = ""
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        self._beat_due = float("-inf")

    def opened(self, connection: Connection) -> None:
        """Note a new connection."""
        self._changes.opened[connection.id] = self._row_of(connection)
        self._changed.set()

    def _row_of(self, connection: Connection) -> LiveConnection:
        scope = connection.identity.scope
        return cleaned(
            LiveConnection(
                id=connection.id,
                process=self.process,
                user_id=connection.identity.user_id,
                role=scope.role,
                scope=connection.scope,
                selective=connection.selective,
                msp_id=scope.msp_id,
                client_id=connection.route_client,
                address=connection.address,
                encoding=connection.encoding,
                opened_at=connection.opened_at,
            )
        )

    def identity_changed(self, connection: Connection) -> None:
        """Note that a connection's user has another role, or that its client has another MSP."""
        self._changes.moved[connection.id] = self._row_of(connection)
        self._changed.set()

    def closed(self, connection: Connection, code: int) -> None:
        """Note the end of a connection."""
        self._changes.closed[connection.id] = cleaned(
            LiveConnection(
                id=connection.id, closed_at=datetime.now(UTC), close_code=code, sent=connection.sent
            )
        )
        self._changed.set()

    def selected(self, connection: Connection, client_id: str, *, chosen: bool) -> None:
        """Note that a selective connection has chosen a client, or does not choose it any longer."""
        self._changes.selected[connection.id, portal.current().client_key(client_id)] = chosen
        self._changed.set()

    def reached(self, connection: Connection, stream: str, position: int) -> None:
        """Note how far a client says it has got.

        Written with the next heartbeat, or when something else is.
        """
        key = (connection.identity.user_id, stream)
        self._reached[key] = max(position, self._reached.get(key, 0))

    def begin_anew(self, epoch: str, connections: Iterable[Connection]) -> None:
        """Go on in another log, and in a database that may know neither this process nor its connections.

        Positions of the log before mean nothing in this one.
        """
        self.epoch = epoch
        self._reached.clear()
        for connection in connections:
            self.opened(connection)
            if connection.selective:
                for stream in connection.following:
                    self.selected(connection, groups.parse(stream)[1], chosen=True)
        self.look()

    def drain(self) -> None:
        """Note that this process hands its connections over."""
        self.process.draining = True
        self.look()

    def look(self) -> None:
        """Look now, not with the next heartbeat, for what is asked of this process's connections."""
        self._beat_due = float("-inf")
        self._changed.set()

    async def write_when_due(self) -> None:
        """Write changes soon after they happen, the heartbeat when it is due."""
        settings = conf.current()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.heartbeat):
                await self._changed.wait()
            await asyncio.sleep(settings.connections_flush)
        await self.write()

    async def write(self, *, stopped: bool = False) -> None:
        """Write what is waiting, and the heartbeat if it is due.

        What fails waits for the next write; then this raises why, and whatever else could be written is.
        """
        # A task of its own: who waits may be cancelled, the thread that writes is not, and the next write must not
        # overtake it.
        writing = asyncio.ensure_future(self._write(stopped=stopped))
        writing.add_done_callback(_retrieved)
        await asyncio.shield(writing)

    async def _write(self, *, stopped: bool) -> None:
        async with self._writing:
            batch = self._take(stopped=stopped)
            try:
                await threads.run("hub", self._store, batch)
            except BaseException:
                self._put_back(batch, {"heartbeat", "rows", "bookmarks"})
                raise
            self._put_back(batch, batch.failed.keys())
            if self._asked_to_drain:
                self._on_drain(str(self.process.pk))
            await self._answer()
        for part, error in list(batch.failed.items())[1:]:
            log.error("connection rows not written", part=part, exc_info=error)
        if batch.failed:
            raise next(iter(batch.failed.values()))

    def _take(self, *, stopped: bool) -> Batch:
        self._changed.clear()
        if stopped:
            self.process.stopped_at = timezone.now()
        now = time.monotonic()
        beat = stopped or now >= self._beat_due
        if beat:
            self._beat_due = now + conf.current().heartbeat
        batch = Batch(self._changes, self._reached, self.epoch, beat)
        self._changes, self._reached = Changes(), {}
        return batch

    def _put_back(self, batch: Batch, failed: Collection[str]) -> None:
        """Keep what was not written, below what was noted since."""
        if "heartbeat" in failed:
            self._beat_due = float("-inf")
        if "rows" in failed:
            self._changes = batch.changes.followed_by(self._changes)
            self._changes.drop_excess()
        if "bookmarks" in failed and batch.epoch == self.epoch:
            for key, position in batch.reached.items():
                self._reached[key] = max(position, self._reached.get(key, 0))
            for key in list(self._reached)[: max(0, len(self._reached) - MAX_REACHED)]:
                del self._reached[key]
        if failed:
            self._changed.set()

    async def _answer(self) -> None:
        """Do what administrators have asked, found with the heartbeat."""
        asked, self._asked = self._asked, []
        reports = [report for key, what in asked if (report := self._report(key, what)) is not None]
        if reports:
            await threads.run("hub", self._store_reports, reports)

    def _report(self, key: UUID, what: str) -> Report | None:
        try:
            return self._on_asked(key, what)
        except Exception:
            log.exception("request of an administrator failed", connection=str(key), asked=what)
            metrics.task_failures.labels("request").inc()
            return None

    @staticmethod
    def _store_reports(reports: list[Report]) -> None:
        rows = [
            LiveConnection(
                id=report.connection,
                sent=report.sent,
                lag=report.lag,
                reported_at=timezone.now(),
                asked=Asked.NOTHING,
            )
            for report in reports
        ]
        still = LiveConnection.objects.filter(asked=Asked.REPORT)  # not those to be closed by now
        still.bulk_update(rows, ["sent", "lag", "reported_at", "asked"], batch_size=500)

    def _store(self, batch: Batch) -> None:
        parts: dict[str, Callable[[], None]] = {}
        if batch.beat:
            parts["heartbeat"] = self._beat
        parts["rows"] = lambda: store(self.process, batch.changes)
        if batch.reached:
            parts["bookmarks"] = lambda: bookmarks.move(batch.reached, batch.epoch)
        for name, write in parts.items():
            try:
                write()
            except Exception as error:
                batch.failed[name] = error
                database.close()  # whatever state it is in, the next part begins with another

    def _beat(self) -> None:
        """Write that the process lives, then see whether it is to drain.

        `draining` is only ever set: another process may set it between any two statements here.
        """
        self.process.heartbeat_at = timezone.now()
        row = ServerProcess.objects.filter(pk=self.process.pk)
        said: dict[str, object] = {
            "heartbeat_at": self.process.heartbeat_at,
            "stopped_at": self.process.stopped_at,
        }
        if self.process.draining:
            said["draining"] = True
        if not row.update(**said):
            self.process.save(force_insert=True)
        self._asked_to_drain = row.filter(draining=True).exists()
        mine = LiveConnection.objects.filter(process=self.process, closed_at=None)
        self._asked = list(mine.exclude(asked=Asked.NOTHING).values_list("pk", "asked"))
        bury_dead()


def bury_dead() -> None:
    """Close the connections of processes whose heartbeat has long expired, as of their last heartbeat."""
    long_ago = timezone.now() - timedelta(seconds=4 * conf.current().heartbeat_expiry)
    dead = ServerProcess.objects.filter(stopped_at=None, heartbeat_at__lt=long_ago)
    for process in dead:
        LiveConnection.objects.filter(process=process, closed_at=None).update(
            closed_at=process.heartbeat_at, close_code=VANISHED
        )
        ServerProcess.objects.filter(pk=process.pk).update(stopped_at=F("heartbeat_at"))


def _retrieved(task: asyncio.Task[None]) -> None:
    """Take the error of a write whose waiter was cancelled: asyncio would log it as never retrieved."""
    if not task.cancelled():
        task.exception()
