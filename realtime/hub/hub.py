"""The hub: one for each event loop that serves sockets. It listens to the groups its connections need and
keeps their streams.

What the channel layer loses, doubles or reorders is put right here from the rows: `seq == head + 1` is taken,
`seq <= head` dropped, a gap is read (one query a process, not a connection), and a sweep finds what was never
announced at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from channels.layers import get_channel_layer
from django.db import DEFAULT_DB_ALIAS, Error

from realtime import conf, metrics
from realtime.events import announcing, placing, publisher, reading
from realtime.events.reading import Replay, Resync
from realtime.hub import threads
from realtime.hub.connection import Connection, Following
from realtime.hub.ledger import Ledger
from realtime.hub.limits import Buckets, Counts
from realtime.hub.pages import Pages, to_event
from realtime.hub.presence import PresenceWatch
from realtime.hub.tail import StreamEvent, Tail
from realtime.hub.watch import Watch
from realtime.protocol import groups, outbound
from realtime.protocol.closing import CloseCode

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from uuid import UUID

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""How often expiring tokens and slow connections are looked for."""

RECONNECT_MS = (100, 1000)
"""Between how many milliseconds a drained client is told to wait.

Closing is spread already, this only breaks the beat.
"""

DRAIN_REST_SECONDS = 3.0
"""How long after the last close drained sockets may take to go."""

REPAIR_PAGE = 500
LISTEN_RETRY_SECONDS = 1.0


class Hub:
    """Streams, connections and the tasks that keep both right. `current()` returns the running loop's."""

    def __init__(self) -> None:
        settings = conf.current()
        self.epoch = ""
        self.tails: dict[str, Tail] = {}
        self.connections: dict[UUID, Connection] = {}
        self.pages = Pages()
        self.ledger = Ledger(self.drain_asked)
        self.watch = Watch(self)
        self.presence = PresenceWatch(self)
        self.counts = Counts()
        self.handshakes = Buckets(settings.handshakes_per_second, settings.handshakes_burst)
        self.draining = False
        self._swept = 0
        self._channel: str | None = None
        self._joined: set[str] = set()
        self._opening: dict[str, asyncio.Future[None]] = {}
        self._repairing: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starting: asyncio.Task[None] | None = None
        self._sweep_now = asyncio.Event()
        self._sweep_failed = False

    async def start(self) -> None:
        """Start, once; everybody who calls waits for it.

        Raises the database's error if it is away; the next call tries again.
        """
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.get_running_loop().create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._swept, self.epoch = await threads.run("hub", _origin)
        self.ledger.epoch = self.epoch
        announcing.attach(asyncio.get_running_loop())
        for work in (
            self._listen(),
            self._sweep_forever(),
            self._tick_forever(),
            self.ledger.run(),
            self.presence.run(),
        ):
            self.spawn(work)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` as a task of this hub; a failure of it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task of the hub failed", exc_info=task.exception())

    # Connections

    def register(self, connection: Connection) -> None:
        """Take a connection in."""
        self.connections[connection.id] = connection
        for key in self._counted(connection):
            self.counts.add(key)
        self.ledger.opened(connection)
        metrics.opened.labels(connection.scope).inc()
        metrics.connections.labels(connection.scope).inc()

    async def release(self, connection: Connection, code: int) -> None:
        """Let a connection go, with all it followed."""
        if self.connections.pop(connection.id, None) is None:
            return
        for key in self._counted(connection):
            self.counts.remove(key)
        for stream in list(connection.following):
            self.unfollow(connection, stream)
        self.ledger.closed(connection, code)
        metrics.closed.labels(str(code)).inc()
        metrics.connections.labels(connection.scope).dec()
        await connection.end()

    def over_limit(self, address: str, user_id: UUID, client_id: str | None) -> str | None:
        """Return which limit one more connection would break, in words; None where there is room."""
        settings = conf.current()
        limits = [
            (("process",), settings.connections_per_process, "this server process"),
            (("user", user_id), settings.connections_per_user, "this user"),
            (("address", address), settings.connections_per_address, "this address"),
        ]
        if client_id is not None:
            limits.append((("client", client_id), settings.connections_per_client, "this client"))
        for key, most, name in limits:
            if self.counts[key] >= most:
                metrics.limited.labels(f"connections_per_{key[0]}").inc()
                return f"{name} has {most} connections already"
        return None

    def _counted(self, connection: Connection) -> list[tuple[Any, ...]]:
        keys: list[tuple[Any, ...]] = [
            ("process",),
            ("user", connection.identity.user_id),
            ("address", connection.address),
        ]
        if connection.route_client is not None:
            keys.append(("client", connection.route_client))
        return keys

    # Ending

    async def drain(self, seconds: float) -> None:
        """Hand all connections over: take no new ones, and close those there are with 1012, evenly over
        `seconds`.

        Each is told by a `reconnect` frame when to come back; they resume elsewhere, or here once it is back.
        """
        self.draining = True
        self.ledger.drain()
        leaving = list(self.connections.values())
        random.shuffle(leaving)
        started = time.monotonic()
        log.info("draining", connections=len(leaving), seconds=seconds)
        for index, connection in enumerate(leaving):
            due = started + seconds * index / len(leaving)
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            connection.close(
                CloseCode.RESTART,
                None,
                "Planned restart: reconnect and resume.",
                first=outbound.Reconnect(after_ms=random.randrange(*RECONNECT_MS), reason="restart"),  # noqa: S311
            )
        deadline = time.monotonic() + DRAIN_REST_SECONDS
        while self.connections and time.monotonic() < deadline:  # noqa: ASYNC110 - the end is rare, and bounded
            await asyncio.sleep(0.05)

    def drain_asked(self, process: str) -> None:
        """Drain and leave, if this is the process meant. The server's own end does the draining."""
        if process == str(self.ledger.process.pk) and not self.draining:
            self.draining = True
            self.spawn(self._drain_and_leave())

    async def _drain_and_leave(self) -> None:
        await self.drain(conf.current().drain_seconds)
        os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self) -> None:
        """End the hub: write the last rows, cancel its tasks."""
        for connection in list(self.connections.values()):
            await self.release(connection, CloseCode.RESTART)
        if self._starting is not None:
            try:
                await asyncio.wait_for(self.ledger.write(stopped=True), conf.current().clean_up_timeout)
            except (Error, TimeoutError) as error:
                log.warning(
                    "last connection rows not written",
                    error=str(error),
                    next="they expire with the heartbeat",
                )
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Streams

    async def follow(self, connection: Connection, stream: str) -> Following:
        """Let a connection follow a stream from its head on: join first, then read."""
        known = connection.following.get(stream)
        if known is not None:
            return known
        tail = self.tails.get(stream)
        if tail is None:
            tail = self.tails[stream] = Tail(stream, conf.current().tail_events, conf.current().tail_bytes)
        tail.idle_since = None
        following = Following(connection, tail, cursor=-1, held=True)
        connection.following[stream] = following
        tail.followers.add(following)
        try:
            if tail.head < 0:
                await self._open(tail)
        except BaseException:
            self.unfollow(connection, stream)
            raise
        following.cursor = tail.head
        following.held = False
        return following

    def unfollow(self, connection: Connection, stream: str) -> None:
        """Let a connection follow a stream no more. The stream lingers for who comes back soon."""
        following = connection.following.pop(stream, None)
        if following is None:
            return
        following.held = True
        following.tail.followers.discard(following)
        if not following.tail.followers:
            following.tail.idle_since = time.monotonic()

    async def resume(self, following: Following, position: int, epoch: str | None) -> Replay | Resync:
        """Move a connection back to `position` of a stream if everything after it is there; else say why not.

        Decided from memory where it reaches back far enough, from the rows otherwise. The connection is held:
        release it with
        `following.held = False` and `wake()` once the client was told.
        """
        following.held = True
        tail = following.tail
        decision: Replay | Resync
        if epoch is not None and epoch != self.epoch:
            decision = Resync(tail.stream, "epoch", tail.head)
        elif position > tail.head:
            decision = await self.pages.decide(tail.stream, position, epoch)
            if isinstance(decision, Replay):
                await self._repair(tail, "resume")
        elif tail.head - position > conf.current().backlog_events:
            decision = Resync(tail.stream, "backlog", tail.head)
        elif position >= tail.first - 1:
            decision = Replay(tail.stream, position, tail.head)
        else:
            decision = await self.pages.decide(tail.stream, position, epoch)
        if isinstance(decision, Replay):
            following.cursor = position
            following.fell_behind_at = None
        else:
            following.cursor = tail.head
        metrics.resumes.labels(
            "replay" if isinstance(decision, Replay) else f"resync_{decision.reason}"
        ).inc()
        return decision

    async def _open(self, tail: Tail) -> None:
        """Join the stream's group and read its head; once, whoever asks."""
        running = self._opening.get(tail.stream)
        if running is None:
            running = asyncio.ensure_future(self._join_and_read(tail))
            self._opening[tail.stream] = running
            running.add_done_callback(lambda _: self._opening.pop(tail.stream, None))
        await asyncio.shield(running)

    async def _join_and_read(self, tail: Tail) -> None:
        await self._join(tail.stream)
        head = await threads.run("hub", reading.head, tail.stream)
        tail.begin(head)
        if tail.ahead:
            await self._repair(tail, "join")

    async def _join(self, group: str) -> None:
        """Join a group of the layer.

        Where that fails (Redis is away), the sweep joins later and delivers meanwhile.
        """
        if self._channel is None:
            return
        try:
            await asyncio.wait_for(
                get_channel_layer().group_add(group, self._channel), conf.current().announce_timeout
            )
        except Exception as error:
            log.warning(
                "group not joined yet", group=group, error=repr(error), next="the sweep delivers and joins"
            )
        else:
            self._joined.add(group)

    async def _leave(self, group: str) -> None:
        self._joined.discard(group)
        if self._channel is None:
            return
        try:
            await asyncio.wait_for(
                get_channel_layer().group_discard(group, self._channel), conf.current().announce_timeout
            )
        except Exception as error:
            log.info("group not left", group=group, error=repr(error))

    # Listening

    async def _listen(self) -> None:
        while True:
            layer = get_channel_layer()
            try:
                self._channel = await layer.new_channel()
                for group in (groups.CONTROL, *self.tails):
                    await self._join(group)
                self._sweep_now.set()
                while True:
                    self._heard(await layer.receive(self._channel))
            except Exception as error:
                log.warning(
                    "channel layer not reached", error=repr(error), next="the sweep delivers; trying again"
                )
                self._channel = None
                self._joined.clear()
                await asyncio.sleep(LISTEN_RETRY_SECONDS)

    def _heard(self, message: dict[str, Any]) -> None:
        if message["type"] == "stream.events":
            tail = self.tails.get(message["stream"])
            if tail is not None:
                self._take(tail, message["events"])
        elif message["type"] == "control.access":
            self._access_changed(message["data"])
        elif message["type"] == "control.drain":
            self.drain_asked(message["process"])
        else:
            log.warning("unknown group message", type=message["type"])

    def _take(self, tail: Tail, announced: Iterable[Any]) -> None:
        stream = tail.stream
        events = [
            StreamEvent(stream, seq, type_, client_id, severity, timestamp, data)
            for seq, _position, type_, client_id, severity, timestamp, data in announced
        ]
        appended, doubled, missing = tail.offer(events)
        if doubled:
            metrics.doubles.inc(doubled)
        if appended:
            now = datetime.now(UTC)
            metrics.to_hub.observe(
                max(0.0, (now - datetime.fromisoformat(events[-1].timestamp)).total_seconds())
            )
            tail.wake()
        if missing:
            self.spawn(self._repair(tail, "gap"))

    # Repairing

    async def _repair(self, tail: Tail, found_by: str) -> None:
        """Read what is missing after a tail's head from the rows."""
        if tail.stream in self._repairing:
            return
        self._repairing.add(tail.stream)
        try:
            while True:
                before = tail.head
                rows = await threads.run("hub", reading.page, tail.stream, before, REPAIR_PAGE)
                if not rows:
                    break
                if tail.head == before and rows[0].seq != before + 1:
                    self._lost(tail, rows[0].seq - 1)
                appended, _, _ = tail.offer(to_event(tail.stream, row) for row in rows)
                if appended:
                    metrics.gaps.labels(found_by).inc()
                    tail.wake()
                if len(rows) < REPAIR_PAGE:
                    break
        except Error as error:
            log.warning(
                "gap not repaired yet",
                stream=tail.stream,
                error=str(error).strip(),
                next="the sweep tries again",
            )
            self._sweep_now.set()
        finally:
            self._repairing.discard(tail.stream)

    def _lost(self, tail: Tail, head: int) -> None:
        """What lies up to `head` is beyond retention: whoever has not got it must refetch."""
        tail.jump(head)
        for following in tail.followers:
            if following.cursor < head:
                following.resync = "retention"
        tail.wake()

    async def _sweep_forever(self) -> None:
        while True:
            settings = conf.current()
            reachable = self._channel is not None and self._joined >= {groups.CONTROL, *self.tails}
            quiet = announcing.is_shared() and reachable and not announcing.is_failing()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._sweep_now.wait(), settings.sweep_shared if quiet else settings.sweep_local
                )
            self._sweep_now.clear()
            try:
                await self.sweep()
                self._sweep_failed = False
            except Error as error:
                metrics.sweep_failures.inc()
                if not self._sweep_failed:
                    log.warning("sweep failed", error=str(error).strip(), next="trying again")
                self._sweep_failed = True
                await asyncio.sleep(settings.sweep_local)

    async def sweep(self) -> None:
        """Look through the rows for what was not announced; join groups that could not be joined.

        Forget idle streams.
        """
        metrics.sweeps.inc()
        if await threads.run("hub", placing.pending, DEFAULT_DB_ALIAS):
            publisher.wake()
        swept = await threads.run("hub", reading.sweep, self._swept)
        if swept.epoch != self.epoch or swept.position < self._swept:
            await self._begin_anew(swept)
            return
        for stream, head in swept.heads.items():
            tail = self.tails.get(stream)
            if tail is not None and 0 <= tail.head < head:
                await self._repair(tail, "sweep")
        for tail in list(self.tails.values()):
            if tail.ahead and tail.head >= 0:
                await self._repair(tail, "sweep")
        for data in swept.access:
            self._access_changed(data)
        # What is still behind (the database went away, another repair was under way, its head was just being
        # read) is looked for again.
        tails = [(self.tails.get(stream), head) for stream, head in swept.heads.items()]
        if all(tail is None or tail.head >= head for tail, head in tails):
            self._swept = swept.position
        if self._channel is not None:
            for group in {groups.CONTROL, *self.tails} - self._joined:
                await self._join(group)
        await self._forget_idle()

    async def _begin_anew(self, swept: reading.Swept) -> None:
        """Start over on another log (a restored backup, a new epoch).

        Positions mean nothing any more, so everybody refetches.
        """
        log.warning("the event log is another one", epoch=swept.epoch, position=swept.position)
        self.epoch, self._swept = swept.epoch, swept.position
        self.ledger.epoch = self.epoch
        self.pages = Pages()
        heads = await threads.run("hub", reading.heads, list(self.tails))
        for stream, tail in self.tails.items():
            tail.ahead.clear()
            tail.jump(heads.get(stream, 0))
            for following in tail.followers:
                following.resync = "epoch"
            tail.wake()

    async def _forget_idle(self) -> None:
        limit = time.monotonic() - conf.current().linger
        for stream, tail in list(self.tails.items()):
            if tail.idle_since is not None and tail.idle_since < limit and not tail.followers:
                del self.tails[stream]
                await self._leave(stream)

    # Access and time

    def _access_changed(self, data: str) -> None:
        changed = msgspec.json.decode(data)
        self.spawn(
            self.watch.recheck(set(changed["user_ids"]), set(changed["client_ids"]), set(changed["sessions"]))
        )

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.watch.tick()


def _origin() -> tuple[int, str]:
    return reading.log_position(), reading.epoch()


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def current() -> Hub:
    """Return the hub of the running event loop, made at first use."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def is_draining() -> bool:
    """Return whether this process hands its connections over."""
    return any(hub.draining for hub in list(_hubs.values()))
