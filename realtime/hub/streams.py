"""The streams that a process follows: opened, kept level with the rows, resumed from, and let go.

What the channel layer loses, doubles or reorders is put right here: `seq == head + 1` is taken, `seq <= head`
dropped, a gap is read from the rows (one query a process, not a connection).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from django.db import Error

from realtime import conf, metrics, telemetry
from realtime.events import reading
from realtime.events.reading import Replay, Resync
from realtime.hub import threads
from realtime.hub.connection import Connection, Following
from realtime.hub.pages import Pages, to_event
from realtime.hub.tail import StreamEvent, Tail

if TYPE_CHECKING:
    from realtime.hub.listening import Listener

log = structlog.get_logger(__name__)

REPAIR_PAGE = 500


class Streams:
    """The tails of the followed streams. `spawn` runs what need not be waited for."""

    def __init__(self, listener: Listener, spawn: Callable[[Coroutine[Any, Any, Any]], None]) -> None:
        self.tails: dict[str, Tail] = {}
        self.pages = Pages()
        self.epoch = ""
        self._listener = listener
        self._spawn = spawn
        self._opening: dict[str, asyncio.Future[None]] = {}
        self._repairing: set[str] = set()

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

    def take(self, stream: str, announced: Iterable[Any]) -> None:
        """Take what was announced; see to what is missing."""
        tail = self.tails.get(stream)
        if tail is None:
            return
        events = [
            StreamEvent(stream, seq, type_, client_id, severity, timestamp, data)
            for seq, _position, type_, client_id, severity, timestamp, data in announced
        ]
        with telemetry.span("realtime.hear", stream=stream, events=len(events)) as span:
            appended, doubled, missing = tail.offer(events)
            span.note(seq=tail.head)
        if doubled:
            metrics.doubles.inc(doubled)
        if appended:
            _arrived(events[-1].timestamp)
            tail.wake()
        if missing:
            self._spawn(self._repair(tail, "gap"))

    async def level(self, heads: Mapping[str, int]) -> bool:
        """Bring the followed streams to the heads that a sweep found.

        Return False where some are still behind: the database went away, another repair was under way, or a
        head was just being read.
        """
        for stream, head in heads.items():
            tail = self.tails.get(stream)
            if tail is not None and 0 <= tail.head < head:
                await self._repair(tail, "sweep")
        for tail in list(self.tails.values()):
            if tail.ahead and tail.head >= 0:
                await self._repair(tail, "sweep")
        tails = [(self.tails.get(stream), head) for stream, head in heads.items()]
        return all(tail is None or tail.head >= head for tail, head in tails)

    async def begin_anew(self, epoch: str) -> None:
        """Start over on another log: positions mean nothing any more, so everybody refetches."""
        self.epoch = epoch
        self.pages = Pages()
        heads = await threads.run("hub", reading.heads, list(self.tails))
        for stream, tail in self.tails.items():
            tail.ahead.clear()
            tail.jump(heads.get(stream, 0))
            for following in tail.followers:
                following.resync = "epoch"
            tail.wake()

    async def forget_idle(self) -> None:
        """Let go of streams that nobody has followed for a while."""
        limit = time.monotonic() - conf.current().linger
        for stream, tail in list(self.tails.items()):
            if tail.idle_since is not None and tail.idle_since < limit and not tail.followers:
                del self.tails[stream]
                await self._listener.leave(stream)

    async def _open(self, tail: Tail) -> None:
        """Join the stream's group and read its head; once, whoever asks."""
        running = self._opening.get(tail.stream)
        if running is None:
            running = asyncio.ensure_future(self._join_and_read(tail))
            self._opening[tail.stream] = running
            running.add_done_callback(lambda _: self._opening.pop(tail.stream, None))
        await asyncio.shield(running)

    async def _join_and_read(self, tail: Tail) -> None:
        await self._listener.join(tail.stream)
        head = await threads.run("hub", reading.head, tail.stream)
        tail.begin(head)
        if tail.ahead:
            await self._repair(tail, "join")

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
                    _arrived(rows[-1].timestamp)
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
        finally:
            self._repairing.discard(tail.stream)

    def _lost(self, tail: Tail, head: int) -> None:
        """What lies up to `head` is beyond retention: whoever has not got it must refetch."""
        tail.jump(head)
        for following in tail.followers:
            if following.cursor < head:
                following.resync = "retention"
        tail.wake()


def _arrived(timestamp: str) -> None:
    """Note how long an event took to the hub, by announcement or from the rows; the newest of a run stands for it."""
    took = (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
    metrics.to_hub.observe(max(0.0, took))
