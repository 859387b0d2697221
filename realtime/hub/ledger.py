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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from django.db.models import F
from django.utils import timezone

from realtime import bookmarks, conf
from realtime.hub import threads
from realtime.models import Asked, LiveConnection, SelectedClient, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Ledger:
    """The rows of one hub."""

    def __init__(
        self, on_drain: Callable[[str], None], on_asked: Callable[[UUID, str], Report | None]
    ) -> None:
        self._on_drain = on_drain
        self._on_asked = on_asked
        self._asked: list[tuple[UUID, str]] = []
        self._asked_to_drain = False
        self.process = ServerProcess(host=socket.gethostname(), pid=os.getpid())
        self._opened: dict[UUID, LiveConnection] = {}
        self._closed: dict[UUID, LiveConnection] = {}
        self._selected: dict[tuple[UUID, UUID], bool] = {}
        self._reached: dict[bookmarks.Key, int] = {}
        self.epoch = ""
        self._changed = asyncio.Event()
        self._beaten_at = float("-inf")

    def opened(self, connection: Connection) -> None:
        """Note a new connection."""
        scope = connection.identity.scope
        self._opened[connection.id] = LiveConnection(
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
        self._changed.set()

    def closed(self, connection: Connection, code: int) -> None:
        """Note the end of a connection."""
        self._closed[connection.id] = LiveConnection(
            id=connection.id, closed_at=datetime.now(UTC), close_code=code, sent=connection.sent
        )
        self._changed.set()

    def selected(self, connection: Connection, client_id: str, *, chosen: bool) -> None:
        """Note that a selective connection has chosen a client, or chosen it no more."""
        self._selected[connection.id, UUID(client_id)] = chosen
        self._changed.set()

    def reached(self, connection: Connection, stream: str, position: int) -> None:
        """Note how far a client says it has got.

        Written with the next heartbeat, or when something else is.
        """
        key = (connection.identity.user_id, stream)
        self._reached[key] = max(position, self._reached.get(key, 0))

    def drain(self) -> None:
        """Note that this process hands its connections over."""
        self.process.draining = True
        self._beaten_at = float("-inf")
        self._changed.set()

    def look(self) -> None:
        """Look now, not with the next heartbeat, for what is asked of this process's connections."""
        self._beaten_at = float("-inf")
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
        """Write what is waiting, and the heartbeat if it is due."""
        self._changed.clear()
        opened, self._opened = self._opened, {}
        closed, self._closed = self._closed, {}
        selected, self._selected = self._selected, {}
        reached, self._reached = self._reached, {}
        for key in opened.keys() & closed.keys():
            end = closed.pop(key)
            opened[key].closed_at, opened[key].close_code, opened[key].sent = (
                end.closed_at,
                end.close_code,
                end.sent,
            )
        if stopped:
            self.process.stopped_at = timezone.now()
        beat = stopped or time.monotonic() - self._beaten_at >= conf.current().heartbeat
        try:
            await threads.run(
                "hub", self._store, list(opened.values()), list(closed.values()), selected, reached, beat
            )
        except BaseException:
            self._opened = opened | self._opened
            self._closed = closed | self._closed
            self._selected = selected | self._selected
            self._reached = reached | self._reached
            self._changed.set()
            raise
        if beat:
            self._beaten_at = time.monotonic()
        if self._asked_to_drain:
            self._on_drain(str(self.process.pk))
        await self._answer()

    async def _answer(self) -> None:
        """Do what administrators have asked, found with the heartbeat."""
        asked, self._asked = self._asked, []
        reports = [report for key, what in asked if (report := self._on_asked(key, what)) is not None]
        if reports:
            await threads.run("hub", self._store_reports, reports)

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

    def _store(
        self,
        opened: list[LiveConnection],
        closed: list[LiveConnection],
        selected: dict[tuple[UUID, UUID], bool],
        reached: dict[bookmarks.Key, int],
        beat: bool,
    ) -> None:
        if beat:
            self._beat()
            mine = LiveConnection.objects.filter(process=self.process, closed_at=None)
            self._asked = list(mine.exclude(asked=Asked.NOTHING).values_list("pk", "asked"))
            bury_dead()
        if opened:
            LiveConnection.objects.bulk_create(opened, batch_size=1000, ignore_conflicts=True)
        if closed:
            LiveConnection.objects.bulk_update(closed, ["closed_at", "close_code", "sent"], batch_size=500)
            gone = SelectedClient.objects.filter(connection__in=[row.id for row in closed])
            gone.delete()
        self._store_selected(selected)
        if reached:
            bookmarks.move(reached, self.epoch)

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

    @staticmethod
    def _store_selected(selected: dict[tuple[UUID, UUID], bool]) -> None:
        chosen = [
            SelectedClient(connection_id=connection, client_id=client)
            for (connection, client), keep in selected.items()
            if keep
        ]
        SelectedClient.objects.bulk_create(chosen, batch_size=1000, ignore_conflicts=True)
        for (connection, client), keep in selected.items():
            if not keep:
                SelectedClient.objects.filter(connection_id=connection, client_id=client).delete()


def bury_dead() -> None:
    """Close the connections of processes whose heartbeat has long expired, as of their last heartbeat."""
    long_ago = timezone.now() - timedelta(seconds=4 * conf.current().heartbeat_expiry)
    dead = ServerProcess.objects.filter(stopped_at=None, heartbeat_at__lt=long_ago)
    for process in dead:
        LiveConnection.objects.filter(process=process, closed_at=None).update(
            closed_at=process.heartbeat_at, close_code=VANISHED
        )
        ServerProcess.objects.filter(pk=process.pk).update(stopped_at=F("heartbeat_at"))
