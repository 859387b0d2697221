"""The hub: one for each event loop that serves sockets. It joins listening, streams, connections and their
watch.

A sweep looks through the rows for what was never announced at all, and places what a dead process left
unplaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
import weakref
from typing import Any
from uuid import UUID

import msgspec
import structlog
from django.db import InterfaceError, OperationalError

from realtime import conf, metrics
from realtime.events import announcing, publisher, reading
from realtime.hub import threads
from realtime.hub.arrivals import AccessChange
from realtime.hub.connection import Connection
from realtime.hub.gauges import Gauges
from realtime.hub.ledger import Ledger, Report
from realtime.hub.listening import Listener
from realtime.hub.presence import PresenceWatch
from realtime.hub.roster import Roster
from realtime.hub.sharing import share
from realtime.hub.streams import Streams
from realtime.hub.supervisor import Supervisor
from realtime.hub.turns import in_turns
from realtime.hub.watch import Watch
from realtime.models import Asked
from realtime.protocol import groups, outbound
from realtime.protocol.closing import CloseCode
from realtime.protocol.encoding import Encoding
from realtime.protocol.errors import ErrorCode

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""How often figures are taken, and each connection is looked at: whether its token expires, whether it keeps up."""

RECONNECT_MS = (100, 1000)
"""Between how many milliseconds a drained client is told to wait.

Closing is spread already, this only breaks the beat.
"""

DRAIN_REST_SECONDS = 3.0
"""How long after the last close drained sockets may take to go."""


QUIET_LOOKS = 3
"""After so many looks in a row, 50 ms apart, that found no connection and no handshake, a drain has come to its end."""


class Hub:
    """Streams, connections and the tasks that keep both right. `current()` returns the running loop's."""

    def __init__(self) -> None:
        self.supervisor = Supervisor()
        self.spawn = self.supervisor.spawn
        self.listener = Listener(lambda: {groups.CONTROL, *self.streams.tails}, self._heard)
        self.streams = Streams(self.listener, self.spawn)
        self.roster = Roster()
        self.ledger = Ledger(self.drain_asked, self.asked)
        self.gauges = Gauges(self)
        self.watch = Watch(self)
        self.presence = PresenceWatch(self)
        self.draining = False
        self._swept = 0
        self._seen: reading.Seen | None = None
        """By what the log up to `_swept` is known again."""
        self._access = 0
        self._starting: asyncio.Task[None] | None = None

    @property
    def epoch(self) -> str:
        """The log's epoch; empty until started."""
        return self.streams.epoch

    async def start(self) -> None:
        """Start, once; everybody who calls waits for it.

        Raises the database's error if it is away; the next call tries again.
        """
        if self._starting is None or _has_failed(self._starting):
            self._starting = share(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        origin = await threads.run("hub", reading.origin)
        self._swept, self._access, self.streams.epoch = origin.position, origin.access_position, origin.epoch
        self.streams.access_known_to = origin.position
        self.ledger.epoch = self.epoch
        announcing.attach(asyncio.get_running_loop())
        repeat = self.supervisor.repeat
        repeat("listener", self.listener.receive)
        repeat("sweep", self._sweep_when_due)
        repeat("ticks", self._tick)
        repeat("access", self._look_at_all)
        repeat("access re-check", self._recheck_due)
        repeat("moved clients", self._look_for_moved_clients)
        repeat("connection rows", self.ledger.write_when_due)
        repeat("presence", self.presence.look_when_due)

    # Connections

    def register(self, connection: Connection) -> None:
        """Take a connection in."""
        self.roster.add(connection)
        self.ledger.opened(connection)
        self.gauges.opened(connection.scope)

    async def release(self, connection: Connection, code: int) -> None:
        """Let a connection go, with all it followed."""
        if not self.roster.remove(connection):
            return
        for stream in list(connection.following):
            self.streams.unfollow(connection, stream)
        self.ledger.closed(connection, code)
        self.gauges.closed(connection.scope)
        metrics.closed.labels(metrics.code_label(code)).inc()
        await connection.end()

    # Ending

    async def drain(self, seconds: float) -> None:
        """Hand all connections over: take no new ones, and close those there are with 1012, evenly over
        `seconds`.

        Each is told by a `reconnect` frame when to come back; they resume elsewhere, or here once it is back.
        """
        self.draining = True
        metrics.drains.inc()
        self.ledger.drain()
        leaving = list(self.roster.connections.values())
        random.shuffle(leaving)
        started = time.monotonic()
        log.info("draining", connections=len(leaving), seconds=seconds)
        for index, connection in enumerate(leaving):
            due = started + seconds * index / len(leaving)
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            _hand_over(connection)
        deadline = time.monotonic() + DRAIN_REST_SECONDS
        quiet = 0  # a socket that the server has taken in may be about to shake hands
        while quiet < QUIET_LOOKS and time.monotonic() < deadline:
            quiet = 0 if self.roster.connections or self.watch.arrivals else quiet + 1
            for connection in list(self.roster.connections.values()):
                _hand_over(connection)  # one that is closing already is not told again
            await asyncio.sleep(0.05)

    def drain_asked(self, process: str) -> None:
        """Drain and leave, if this is the process meant. The server's own end does the draining."""
        if process == str(self.ledger.process.pk) and not self.draining:
            self.draining = True
            self.spawn(self._drain_and_leave())

    def asked(self, connection_id: UUID, what: str) -> Report | None:
        """Do what an administrator asks of a connection; return its figures if that is what was asked."""
        connection = self.roster.connections.get(connection_id)
        if connection is None or connection.is_closing:
            return None
        if what == Asked.REPORT:
            return Report(connection_id, connection.sent, connection.lag())
        metrics.disconnected.inc()
        log.info("disconnecting on request", connection=str(connection_id))
        connection.close(
            CloseCode.REVOKED,
            ErrorCode.ACCESS_REVOKED,
            "Disconnected by an administrator: reload the page to connect again.",
        )
        return None

    async def _drain_and_leave(self) -> None:
        await self.drain(conf.current().drain_seconds)
        os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self) -> None:
        """End the hub: write the last rows, cancel its tasks."""
        try:
            for connection in list(self.roster.connections.values()):
                await self.release(connection, CloseCode.RESTART)
            if self._starting is not None:
                await asyncio.wait_for(self.ledger.write(stopped=True), conf.current().clean_up_timeout)
        except Exception as error:
            log.warning(
                "last connection rows not written",
                error=repr(error),
                next="they expire with the heartbeat",
            )
        finally:
            await self.supervisor.stop()

    # Listening and sweeping

    def _heard(self, message: Any) -> None:
        # A change of access before this one or these was not heard of: its announcement is slower, or lost. The sweep
        # reads it from the rows, before what came after it.
        has_gap = message.get("access", 0) > self._access
        if has_gap:
            self.listener.sweep_now.set()
        if message["type"] == "stream.events":
            if not has_gap:
                self.streams.take(message["stream"], message["events"])
        elif message["type"] == "control.access":
            self._access_changed(message["data"], message["position"])
            if not has_gap:  # only now: what came after it may be delivered
                self._access = max(self._access, message["position"])
        elif message["type"] == "control.drain":
            self.drain_asked(message["process"])
        elif message["type"] == "control.asked":
            if str(self.ledger.process.pk) in message["processes"]:
                self.ledger.look()
        else:
            log.warning("unknown group message", type=message["type"])

    async def _sweep_when_due(self) -> None:
        settings = conf.current()
        pause = settings.sweep_shared if self.listener.hears_all else settings.sweep_local
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.listener.sweep_now.wait()
        self.listener.sweep_now.clear()
        try:
            await self.sweep()
        except Exception:
            metrics.sweep_failures.inc()
            self.listener.sweep_now.set()  # what it was for is still to be done
            raise

    async def sweep(self) -> None:
        """Look through the rows for what was not announced; join groups that could not be joined.

        Forget idle streams.
        """
        metrics.sweeps.inc()
        swept = await threads.run("hub", reading.sweep, self._swept, self._seen)
        if swept.unplaced:
            publisher.wake()
        if swept.epoch != self.epoch or swept.position < self._swept:
            log.warning("the event log is another one", epoch=swept.epoch, position=swept.position)
            await self.streams.begin_anew(swept.epoch)
            self.streams.access_known_to = swept.position
            self._swept, self._access, self._seen = swept.position, swept.access_position, swept.seen
            self.ledger.begin_anew(swept.epoch, self.roster.connections.values())
            # What changed there was told in another log.
            self.watch.access_changed(AccessChange(everybody=True))
            self.streams.clients_moved(None, swept.access_position)
            return
        for data in swept.access:  # first: see `Watch.access_changed`
            self._access_changed(data, swept.access_position)
        self._access = max(self._access, swept.access_position)
        self.streams.access_known_to = max(self.streams.access_known_to, swept.position)
        await self.streams.level(swept.heads)  # keeps what it cannot reach yet
        self._swept, self._seen = swept.position, swept.seen
        await self.listener.join_missing()
        await self.streams.forget_idle()

    # Access and time

    def _access_changed(self, data: str, position: int) -> None:
        try:
            told = msgspec.json.decode(data)
            users, clients, sessions = (
                frozenset(told[key]) for key in ("user_ids", "client_ids", "sessions")
            )
            change = AccessChange(users, clients, sessions, bool(told.get("everybody")))
        except Exception:
            # What cannot be read may be about anybody. It stays in the log: raised, it would stop the sweep for good.
            log.exception("change of access not read", next="access is checked again for everybody")
            metrics.task_failures.labels("change of access").inc()
            change = AccessChange(everybody=True)
        self.watch.access_changed(change)
        if change.clients or change.everybody:
            self.streams.clients_moved(None if change.everybody else change.clients, position)

    async def _tick(self) -> None:
        due = time.monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        self.gauges.sample(time.monotonic() - due)
        for encoding in Encoding:
            metrics.sending(encoding).settle()

    async def _look_at_all(self) -> None:
        lags: list[int] = []
        for some, pause in in_turns(list(self.roster.connections.values()), TICK_SECONDS):
            here = [
                each for each in some if each.id in self.roster.connections
            ]  # some may have gone meanwhile
            self._look_at(here)
            lags += [each.lag() for each in here if each.rate is None]  # who has a rate waits on purpose
            await asyncio.sleep(pause)
        self.gauges.lags(lags)

    async def _recheck_due(self) -> None:
        await asyncio.sleep(min(TICK_SECONDS, conf.current().recheck_seconds / 4))
        await self.watch.recheck_due(self.roster.connections.values())

    async def _look_for_moved_clients(self) -> None:
        await asyncio.sleep(conf.current().recheck_seconds)
        await self.streams.look_for_moved_clients()

    def _look_at(self, connections: list[Connection]) -> None:
        """Look at each for itself: one that cannot be looked at must not hide the others."""
        for connection in connections:
            try:
                self.watch.look([connection])
            except Exception:
                log.exception("connection not looked at", connection=str(connection.id))
                metrics.task_failures.labels("access").inc()


def _hand_over(connection: Connection) -> None:
    after_ms = random.randrange(*RECONNECT_MS)  # noqa: S311 - spreads load, hides nothing
    connection.close(
        CloseCode.RESTART,
        None,
        "Planned restart: reconnect and resume.",
        first=outbound.Reconnect(after_ms=after_ms, reason="restart"),
    )


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def current() -> Hub:
    """Return the hub of the running event loop, made at first use."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def loop_lag() -> float:
    """Return by how many seconds the last tick of this process's slowest hub came late."""
    return max((hub.gauges.loop_lag for hub in list(_hubs.values())), default=0.0)


async def warm_up() -> None:
    """Start the running loop's hub before its first socket: the process is known from the start, idle or not."""
    try:
        await current().start()
    except (OperationalError, InterfaceError) as error:
        log.warning("hub not started yet", error=str(error).strip(), next="the first socket tries again")
    except Exception:
        log.exception("hub not started yet", next="the first socket tries again")


def failing_tasks() -> list[str]:
    """Return the names of the long-lived tasks whose last round failed, of any hub of this process."""
    return sorted({name for hub in list(_hubs.values()) for name in hub.supervisor.failures})


def tasks_are_ready() -> bool:
    """Return whether what delivery depends on works, in every hub of this process."""
    return all(hub.supervisor.is_ready for hub in list(_hubs.values()))


def is_draining() -> bool:
    """Return whether this process hands its connections over."""
    return any(hub.draining for hub in list(_hubs.values()))
