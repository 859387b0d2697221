"""The streams that a process follows: opened, kept level with the rows, resumed from, and let go.

What the channel layer loses, doubles or reorders is put right here: `seq == head + 1` is taken, `seq <= head`
dropped, a gap is read from the rows (one query a process, not a connection).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from django.db import InterfaceError, OperationalError

from realtime import conf, metrics, portal, telemetry
from realtime.events import reading
from realtime.events.reading import Replay, Resync
from realtime.hub import threads
from realtime.hub.connection import Connection, Following
from realtime.hub.pages import Pages, to_event
from realtime.hub.sharing import share
from realtime.hub.tail import StreamEvent, Tail
from realtime.protocol.groups import Key

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
        self._logs_begun = 0
        """Grows with each log that was begun: what was read of an earlier one is worth nothing."""
        self.access_changes = 0
        """Grows when a client may have moved: what was read before may not be sent any more."""
        self._access_changed_at = 0
        """Position of the last such change in the log: an older event that comes later may be hidden by now."""
        self.access_known_to = 0
        """Position in the log up to which every change of access is known here. No event beyond it is read: a change
        of access that is not known here may stand before it."""
        self._listener = listener
        self._spawn = spawn
        self._opening: dict[Tail, asyncio.Future[None]] = {}
        self._repairing: set[str] = set()
        self._behind: dict[str, int] = {}
        """Heads that a sweep found, of followed streams that have not reached them yet."""

    async def follow(self, connection: Connection, stream: str, *, held: bool = False) -> Following:
        """Let a connection follow a stream from its head on: join first, then read. `held`: it is released later.

        What is returned may have `ended` already: the socket went, or lost access, meanwhile.
        """
        following = connection.following.get(stream) or self._begin(connection, stream)
        try:
            if following.tail.head < 0:
                await self._open(following.tail)
        except BaseException:
            if connection.following.get(stream) is following:
                self.unfollow(connection, stream)
            raise
        if following.cursor < 0:
            following.cursor = following.tail.head
            following.resync = None  # it has been told nothing that it would have to refetch
            if not held:
                following.release()
        return following

    def _begin(self, connection: Connection, stream: str) -> Following:
        tail = self.tails.get(stream)
        if tail is None:
            tail = self.tails[stream] = Tail(stream, conf.current().tail_events, conf.current().tail_bytes)
        tail.idle_since = None
        following = Following(connection, tail, cursor=-1, held=True)
        connection.following[stream] = following
        tail.followers.add(following)
        return following

    def unfollow(self, connection: Connection, stream: str) -> None:
        """Let a connection follow a stream no more. The stream lingers for who comes back soon."""
        following = connection.following.pop(stream, None)
        if following is None:
            return
        following.held = following.ended = True
        following.tail.followers.discard(following)
        if not following.tail.followers:
            following.tail.idle_since = time.monotonic()

    async def resume(self, following: Following, position: int, epoch: str | None) -> Replay | Resync:
        """Move a connection back to `position` of a stream if everything after it is there; else say why not.

        Decided from memory where it reaches back far enough, from the rows otherwise. The connection is held:
        release it with
        `following.release()` and `wake()` once the client was told.
        """
        following.held = True
        tail, log_then = following.tail, self._logs_begun
        decision = await self._decide(tail, position, epoch)
        if following.ended:
            decision = Resync(tail.stream, "unknown", tail.head)
        elif self._logs_begun != log_then:
            decision = Resync(tail.stream, "epoch", tail.head)
        if isinstance(decision, Replay):
            following.cursor = position
            following.fell_behind_at = None
        else:
            following.cursor = tail.head
        metrics.resumes.labels(
            "replay" if isinstance(decision, Replay) else f"resync_{decision.reason}"
        ).inc()
        return decision

    async def _decide(self, tail: Tail, position: int, epoch: str | None) -> Replay | Resync:
        if epoch is not None and epoch != self.epoch:
            return Resync(tail.stream, "epoch", tail.head)
        if tail.head - position > conf.current().backlog_events:
            return Resync(tail.stream, "backlog", tail.head)
        if tail.first - 1 <= position <= tail.head:
            return Replay(tail.stream, position, tail.head)
        decision = await self.pages.decide(tail.stream, position, epoch)
        if isinstance(decision, Replay) and decision.head > tail.head:
            await self._repair(tail, "resume")
            if tail.head < decision.head:
                self._listener.sweep_now.set()  # changes of access that stand before the rest are read first
        return decision

    def take(self, stream: str, announced: Iterable[Any]) -> None:
        """Take what was announced; see to what is missing.

        Raise ValueError (or TypeError) for what is no announcement: nothing of it is taken.
        """
        tail = self.tails.get(stream)
        if tail is None:
            return
        announced = list(announced)
        events = [_announced(stream, *event) for event in announced]
        # Who calls knows of all changes of access before these.
        self.access_known_to = max([self.access_known_to, *(position for _, position, *_ in announced)])
        if events and _is_msps(stream) and announced[0][1] <= self._access_changed_at:
            self._read_instead(tail, max(event.seq for event in events))
            return
        with telemetry.span("realtime.hear", stream=stream, events=len(events)) as span:
            appended, doubled, missing = tail.offer(events)
            span.note(seq=tail.head)
        if doubled:
            metrics.doubles.inc(doubled)
        if appended:
            tail.wake()
            _arrived(events[-1].timestamp)
        if missing:
            self._spawn(self._repair(tail, "gap"))

    async def level(self, heads: Mapping[str, int]) -> bool:
        """Bring the followed streams to the heads that a sweep found.

        Return False where some are still behind: the database went away, another repair was under way, or a
        head was just being read. They are looked at again the next time, whatever the sweep finds then.
        """
        for stream, head in heads.items():
            self._behind[stream] = max(head, self._behind.get(stream, 0))
        for stream, head in list(self._behind.items()):
            tail = self.tails.get(stream)
            if tail is not None and 0 <= tail.head < head:
                await self._repair(tail, "sweep")
        for tail in list(self.tails.values()):
            if tail.ahead and tail.head >= 0:
                await self._repair(tail, "sweep")
        self._behind = {
            stream: head
            for stream, head in self._behind.items()
            if (found := self.tails.get(stream)) is not None and found.head < head
        }
        return not self._behind

    def clients_moved(self, clients: Collection[str] | None, position: int) -> None:
        """Give up what is in memory of clients (None: of all) that may be another MSP's since `position` of the log.

        Who needs it reads the rows: they hide it from an MSP that the client has left, and show it to one that the
        client has come back to.
        """
        self._access_changed_at = max(position, self._access_changed_at)
        self.access_changes += 1
        self.pages = Pages()
        for stream, tail in self.tails.items():
            held = tail.clients() | tail.clients(hidden=True)
            if _is_msps(stream) and (clients is None or not held.isdisjoint(clients)):
                self._forget(tail)

    async def look_for_moved_clients(self) -> None:
        """Do the same for clients that were moved and nobody told, such as by SQL."""
        tails = {_msp(stream): tail for stream, tail in self.tails.items() if _is_msps(stream)}
        shown = {msp: _keys(tail.clients()) for msp, tail in tails.items()}
        hidden = {msp: _keys(tail.clients(hidden=True)) for msp, tail in tails.items()}
        asked = {msp: shown[msp] | hidden[msp] for msp in tails}
        left = await threads.run("hub", reading.clients_left, asked)
        self.pages = Pages()
        for msp, tail in tails.items():
            if shown[msp] & left[msp] or hidden[msp] - left[msp]:
                self.access_changes += 1
                self._forget(tail)

    def _forget(self, tail: Tail) -> None:
        waiting = max(tail.ahead, default=0)
        tail.forget()
        tail.ahead.clear()
        if waiting:
            self._read_instead(tail, waiting)

    def _read_instead(self, tail: Tail, head: int) -> None:
        """Read events up to `head` from the rows, now or, where that fails, with the next sweep."""
        self._behind[tail.stream] = max(head, self._behind.get(tail.stream, 0))
        self._spawn(self._repair(tail, "gap"))

    async def begin_anew(self, epoch: str) -> None:
        """Start over on another log: positions mean nothing any more, so everybody refetches.

        All that is read is read first: where that fails, the next sweep finds everything as it was.
        """
        heads: dict[str, int] = {}
        while unread := [stream for stream in self.tails if stream not in heads]:
            heads |= await threads.run("hub", reading.heads, unread)
        self.epoch = epoch
        self._logs_begun += 1
        self.pages = Pages()
        self._behind.clear()
        self._access_changed_at = 0
        for stream, tail in self.tails.items():
            tail.ahead.clear()
            tail.jump(heads[stream])
            for following in tail.followers:
                following.resync = "epoch"
            tail.wake()

    async def forget_idle(self) -> None:
        """Let go of streams that nobody has followed for a while."""
        limit = time.monotonic() - conf.current().linger
        for stream, tail in list(self.tails.items()):
            if self.tails.get(stream) is not tail:
                continue  # let go and followed anew, while another stream was left
            if tail.idle_since is not None and tail.idle_since < limit and not tail.followers:
                del self.tails[stream]
                await self._listener.leave(stream)

    async def _open(self, tail: Tail) -> None:
        """Join the stream's group and read its head; once, whoever asks."""
        running = self._opening.get(tail)
        if running is None:
            running = self._opening[tail] = share(self._join_and_read(tail))
            running.add_done_callback(lambda _: self._opening.pop(tail, None))
        await asyncio.shield(running)

    async def _join_and_read(self, tail: Tail) -> None:
        await self._listener.join(tail.stream)
        head = await threads.run("hub", reading.head, tail.stream)
        if tail.head < 0:  # else another log was begun meanwhile, and its head is known
            tail.begin(head)
        if tail.ahead:
            await self._repair(tail, "join")

    async def _repair(self, tail: Tail, found_by: str) -> None:
        """Read what is missing after a tail's head from the rows. A failure is left to the next sweep."""
        if tail.stream in self._repairing:
            return
        self._repairing.add(tail.stream)
        try:
            await self._read_on(tail, found_by)
        except (OperationalError, InterfaceError) as error:
            log.warning(
                "gap not repaired yet",
                stream=tail.stream,
                error=str(error).strip(),
                next="the sweep tries again",
            )
        except Exception:
            log.exception("gap not repaired yet", stream=tail.stream, next="the sweep tries again")
            metrics.task_failures.labels("repair").inc()
        finally:
            self._repairing.discard(tail.stream)

    async def _read_on(self, tail: Tail, found_by: str) -> None:
        announced = set(tail.ahead)
        while True:
            before, log_then, access = tail.head, self._logs_begun, self.access_changes
            rows, is_last = await threads.run(
                "hub", reading.page, tail.stream, before, REPAIR_PAGE, up_to=self.access_known_to
            )
            if self._logs_begun != log_then:
                return  # these rows are of the log before, or the tail has them
            if self.access_changes != access:
                continue  # a client of these rows may be another MSP's by now
            if rows and tail.head == before and rows[0].seq != before + 1:
                self._lost(tail, rows[0].seq - 1)
            appended, _, _ = tail.offer(to_event(tail.stream, row) for row in rows)
            if appended:
                metrics.gaps.labels(found_by).inc()
                tail.wake()
                _arrived(rows[-1].timestamp)
            if is_last:
                break
        for seq in announced:  # before the rows were read, and not among them: no event of this log
            tail.ahead.pop(seq, None)

    def _lost(self, tail: Tail, head: int) -> None:
        """What lies up to `head` is beyond retention: whoever has not got it must refetch."""
        tail.jump(head)
        for following in tail.followers:
            if following.cursor < head:
                following.resync = "retention"
        tail.wake()


def _is_msps(stream: str) -> bool:
    return stream.startswith("msp.")


def _msp(stream: str) -> Key:
    return portal.current().stream_key(stream)


def _keys(clients: Iterable[str]) -> set[Key]:
    return {portal.current().client_key(client) for client in clients if client}


def _announced(
    stream: str,
    seq: int,
    position: int,
    type_: str,
    client_id: str,
    severity: str,
    timestamp: str,
    data: str,
) -> StreamEvent:
    """Return an announced event. Raise ValueError where it is not of the shape this version announces."""
    texts = (type_, client_id, severity, timestamp, data)
    if type(seq) is not int or type(position) is not int or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"An announced event of another shape, in {stream}.")
    return StreamEvent(stream, seq, type_, client_id, severity, timestamp, data)


def _arrived(timestamp: str) -> None:
    """Note how long an event took to the hub, by announcement or from the rows; the newest of a run stands for it."""
    try:
        took = (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
    except (ValueError, TypeError):  # no time, or one without a zone
        return
    metrics.to_hub.observe(max(0.0, took))
