"""One socket: its place in each stream it follows, and the writer that moves it forward.

The writer is the only one that sends events. It sends what lies between its cursor and the stream's head,
waits while the socket does not take more (back-pressure), and finds more waiting when it does: that goes out
as one frame to clients that take batches. Nothing is queued per connection, so a stalled reader costs its
socket's buffers and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from django.db import InterfaceError, OperationalError

from realtime import conf, metrics, telemetry
from realtime.hub.conflation import fold
from realtime.hub.filters import Selection
from realtime.hub.tail import StreamEvent, batch_frame, fold_for
from realtime.protocol import outbound
from realtime.protocol.closing import CloseCode
from realtime.protocol.encoding import Encoding, Wire, encode
from realtime.protocol.errors import ErrorCode, ProtocolError

if TYPE_CHECKING:
    from realtime.auth.identity import Identity
    from realtime.events.reading import ResyncReason
    from realtime.hub.hub import Hub
    from realtime.hub.tail import Tail

log = structlog.get_logger(__name__)

WRITE_NOW = "realtime.write_now"
"""ASGI extension of a server that can write a frame from a plain call: `write_now(payload)`, which returns False where
the socket does not take it now."""

CATCH_UP_PAUSE = 1.0
"""How long a connection that is behind waits before it reads again, where the database is away."""

FAREWELL_SECONDS = 2.0
"""How long the last frames may take on a socket that takes nothing more; then it is closed all the same."""


@dataclass(slots=True, eq=False)
class Following:
    """A connection's place in one stream.

    `cursor` is the last seq it was sent, or passed over by its selection.
    """

    connection: Connection
    tail: Tail
    cursor: int
    selection: Selection = field(default_factory=Selection)
    held: bool = False
    """True while a resume is being decided, and for good once it has `ended`: nothing is sent meanwhile."""
    ended: bool = False
    """True once the connection has let go of the stream, or the stream was taken from it."""
    fell_behind_at: float | None = None
    resync: ResyncReason | None = None

    def release(self) -> None:
        """Let events be sent again, unless it ended meanwhile."""
        self.held = self.ended

    @property
    def is_behind(self) -> bool:
        """True where the next event is in memory no more."""
        return self.cursor < self.tail.first - 1


class SocketGone(Exception):
    """The server takes no frame for this socket any more."""


class Connection:
    """An accepted socket. Made by a consumer, registered with the hub."""

    rate: float | None = None
    """Rounds a second, where it asked to get updates folded (`pacing`)."""

    def __init__(
        self,
        hub: Hub,
        send: Callable[[dict[str, Any]], Awaitable[None]],
        *,
        identity: Identity,
        route_client: str | None,
        encoding: Encoding,
        batches: bool,
        selective: bool,
        address: str,
        write_now: Callable[[Wire], bool] | None = None,
    ) -> None:
        self.id = uuid.uuid4()
        self.hub = hub
        self.identity = identity
        self.route_client = route_client
        """The client whose stream the route itself follows; None: the MSP's, or selected ones."""
        self.encoding = encoding
        self.batches = batches
        self.selective = selective
        """True with `?scope=selected`: it follows the clients it subscribes to, not all of its MSP's."""
        self.address = address
        self.following: dict[str, Following] = {}
        self.opened_at = datetime.now(UTC)
        self.sent = 0
        self.close_code: int | None = None
        self.expiry_announced = False
        # As if it had been at any moment of the last round: who came together is not re-checked together.
        self.checked_at = time.monotonic() - random.random() * conf.current().recheck_seconds  # noqa: S311
        self.rechecks = 0
        """How many re-checks of its access are under way: nothing is sent meanwhile."""
        self._send = send
        self._write_now = write_now
        """Writes a frame at once where the socket takes it; None where the server has no such way."""
        self._sending = metrics.sending(encoding)
        self._has_news = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()
        """Frames that wait for a re-check of access. They go before any event: they may name the place it is at."""
        self._resting: asyncio.Future[None] | None = None
        """What the writer waits for while it rests. An Event would be 700 bytes a connection, most of them unused."""
        self._writer: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def scope(self) -> str:
        """`client` where it follows one client by its route, else `msp`."""
        return "client" if self.route_client else "msp"

    @property
    def is_closing(self) -> bool:
        """True once the server has begun to close it."""
        return self._closing is not None

    @property
    def _is_held_back(self) -> bool:
        """True while no event may be sent: access is re-checked, or frames still wait for that."""
        return bool(self.rechecks or self._waiting)

    def positions(self) -> dict[str, int]:
        """Return how far each stream has been sent."""
        return {stream: following.cursor for stream, following in self.following.items()}

    def lag(self) -> int:
        """Return how many events of its streams it has not been sent, or passed over."""
        return sum(max(0, following.tail.head - following.cursor) for following in self.following.values())

    def start(self) -> None:
        """Go live, unless it is being closed already."""
        if not self.is_closing:
            self._writer = asyncio.get_running_loop().create_task(self._write_forever())

    def wake(self, news_of: Following | None = None) -> None:
        """Say that there may be something to send, or that there is news of a stream."""
        if news_of is None or not self._sent_at_once(news_of):
            self.wake_writer()

    def wake_writer(self) -> None:
        """Let the writer look for what there is to send."""
        self._has_news = True
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)

    async def send(self, frame: outbound.Frame) -> None:
        """Send a frame other than an event: once access is checked, if a re-check is under way; none after the last."""
        waited = False
        while self.rechecks and not self.is_closing:
            waited = True
            await self._wait_for_recheck()
        if not self.is_closing:
            await self._send_frame(frame)
        if waited:
            self.wake_writer()

    async def _wait_for_recheck(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting += (waiter,)
        try:
            await waiter
        finally:
            self._waiting = tuple(each for each in self._waiting if each is not waiter)

    async def _send_frame(self, frame: outbound.Frame) -> None:
        await self._send_wire(encode(frame, self.encoding, conf.current().compress_above))

    async def tell(self, frame: outbound.Frame) -> None:
        """Send a frame that nobody waits for. A socket that is gone needs none."""
        with contextlib.suppress(SocketGone):
            await self.send(frame)

    def begin_recheck(self) -> None:
        """Send nothing until `end_recheck`."""
        self.rechecks += 1

    def end_recheck(self) -> None:
        """Go on, where no other re-check is under way."""
        self.rechecks -= 1
        self._let_frames_go()
        self.wake()

    def _let_frames_go(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def error(self, error: ProtocolError) -> None:
        """Send the `error` frame of a request that cannot be honoured."""
        metrics.errors.labels(error.code).inc()
        await self.tell(
            outbound.Error(
                ref=error.ref,
                code=error.code,
                message=error.message,
                client_id=error.client_id,
                retry_after_ms=None if error.retry_after is None else math.ceil(error.retry_after * 1000),
            )
        )

    def close(
        self, code: CloseCode, why: ErrorCode | None, message: str, *, first: outbound.Frame | None = None
    ) -> None:
        """Close from the server's side. Returns at once.

        First goes a frame that says why (an `error` if `why`, or `first`), then the close code.
        """
        if self._closing is None:
            self.close_code = code
            last = outbound.Error(code=why, message=message) if why is not None else first
            self._closing = asyncio.get_running_loop().create_task(self._farewell(code, message, last))

    async def _farewell(self, code: CloseCode, message: str, last: outbound.Frame | None) -> None:
        self._stop_writer()
        self._let_frames_go()
        try:
            if last is not None:
                await asyncio.wait_for(self._send_frame(last), FAREWELL_SECONDS)
        except TimeoutError:
            log.info("last frame not taken before close", connection=str(self.id), code=int(code))
        await asyncio.wait_for(
            self._send({"type": "websocket.close", "code": int(code), "reason": message[:120]}),
            FAREWELL_SECONDS,
        )

    async def end(self) -> None:
        """Stop its tasks. The socket is gone."""
        self._stop_writer()
        tasks = [task for task in (self._writer, self._closing) if task is not None]
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, TimeoutError):
                log.debug("connection task ended", connection=str(self.id), error=repr(result))

    def _stop_writer(self) -> None:
        if self._writer is not None:
            self._writer.cancel()

    async def _send_wire(self, wire: Wire) -> None:
        key = "text" if isinstance(wire, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", key: wire})
        except (OSError, RuntimeError) as error:
            # Servers raise these for a socket that is gone; the consumer is told so by websocket.disconnect.
            raise SocketGone(repr(error)) from error

    async def _write_forever(self) -> None:
        try:
            await self._write()
        except SocketGone as error:
            log.debug("socket gone while writing", connection=str(self.id), error=str(error))
        except Exception:
            log.exception("writing to a connection failed", connection=str(self.id))
            metrics.delivery_failures.inc()
            self.close(CloseCode.INTERNAL, ErrorCode.INTERNAL, "A fault of the server: reconnect and resume.")

    async def _news(self) -> None:
        """Rest until there may be something to send."""
        if not self._has_news:
            self._resting = asyncio.get_running_loop().create_future()
            await self._resting
        self._has_news = False

    async def _write(self) -> None:
        while True:
            await self._news()
            moved = True
            while moved:
                moved = False
                for following in list(self.following.values()):
                    if await self._advance(following):
                        moved = True

    def _sent_at_once(self, following: Following) -> bool:
        """Send a stream's news from here where the writer rests and the socket takes it: no task is switched to.

        Return False where anything is left for the writer to do. Several events that wait for a frame each are the
        writer's: they go out with one system call.
        """
        tail = following.tail
        if (
            self._write_now is None
            or self._resting is None
            or self._resting.done()
            or not following.selection.is_everything
            or not (self.batches or tail.head == following.cursor + 1)
            or following.held
            or self._is_held_back
            or following.resync is not None
            or telemetry.tracer is not None
        ):
            return False
        place = (following.cursor, self.encoding)
        cut = tail.cuts.get(place)
        if cut is None:
            settings = conf.current()
            cut = tail.cut(*place, settings.batch_bytes, settings.compress_above)
        if cut is None or (cut.wire is not None and not self._taken_now(cut.wire)):
            return False
        following.cursor = cut.last
        following.fell_behind_at = None
        self.sent += cut.count
        if cut.wire is not None:
            cut.written()
        return cut.last == tail.head

    def _taken_now(self, wire: Wire) -> bool:
        """Write a frame at once; return False where the socket does not take it now."""
        try:
            return self._write_now is not None and self._write_now(wire)
        except Exception:
            log.exception("write failed: left to the writer", connection=str(self.id))
            metrics.delivery_failures.inc()
            self._write_now = None
            return False

    async def _advance(self, following: Following) -> bool:
        """Send one frame (or, without batches, one run) of a stream.

        Return whether there was anything to do.
        """
        if following.held or self._is_held_back:
            return False
        if following.resync is not None:
            await self._resync(following)
            return True
        tail = following.tail
        if following.cursor >= tail.head:
            return False
        settings = conf.current()
        if following.is_behind:
            return await self._catch_up(following)
        following.fell_behind_at = None
        if self.batches and following.selection.is_everything:
            wire, last, count = tail.batch(
                following.cursor,
                self.encoding,
                settings.batch_bytes,
                settings.compress_above,
                fold if self.rate else None,
            )
            if self.rate:
                metrics.folded.inc(last - following.cursor - count)
            following.cursor = last
            if wire is not None:
                await self._send_events(wire, count, tail.heard_at(last))
        else:
            await self._send_run(following, tail.after(following.cursor, settings.batch_bytes))
        return True

    async def _send_run(self, following: Following, run: Sequence[StreamEvent]) -> None:
        above = conf.current().compress_above
        admits = following.selection.admits
        if self.batches:
            wanted = run if following.selection.is_everything else [event for event in run if admits(event)]
            following.cursor = run[-1].seq
            if self.rate:
                wanted, before = fold_for(fold, wanted, self.encoding), len(wanted)
                metrics.folded.inc(before - len(wanted))
            wire, count = batch_frame(wanted, self.encoding, above)
            if wire is not None:
                await self._send_events(wire, count, wanted[-1].heard_at)
            return
        reached, access = following.cursor, self.hub.streams.access_changes
        for event in run:
            if (
                following.cursor != reached
                or self.hub.streams.access_changes != access
                or following.held
                or self._is_held_back
                or following.resync is not None
            ):
                return  # a resume has moved it meanwhile, or some of the run is not to be sent any more
            following.cursor = reached = event.seq
            wire = event.frame(self.encoding, above) if admits(event) else None
            if wire is not None:
                await self._send_events(wire, 1, event.heard_at)

    async def _send_events(self, wire: Wire, count: int, heard_at: float | None) -> None:
        if telemetry.tracer is None:
            await self._send_wire(wire)
        else:
            with telemetry.span("realtime.deliver", connection=str(self.id), events=count):
                await self._send_wire(wire)
        self._sent(count, wire, heard_at)

    def _sent(self, count: int, wire: Wire, heard_at: float | None) -> None:
        self.sent += count
        # Waiting for a round is no slowness: for a connection with a rate it is not measured.
        self._sending.count_one(count, len(wire), None if self.rate else heard_at)

    async def _catch_up(self, following: Following) -> bool:
        if following.fell_behind_at is None:
            following.fell_behind_at = time.monotonic()
            metrics.catch_ups.inc()
        cursor, access = following.cursor, self.hub.streams.access_changes
        try:
            run = await self.hub.streams.pages.after(following.tail.stream, cursor)
        except (OperationalError, InterfaceError) as error:
            log.info("page not read yet", connection=str(self.id), error=str(error).strip())
            await asyncio.sleep(CATCH_UP_PAUSE)
            return True
        if following.held or self._is_held_back:
            return False
        moved = following.cursor != cursor or self.hub.streams.access_changes != access
        if moved or following.resync is not None:
            return True  # a resume moved it meanwhile, or what was read may not be sent any more
        if not run or run[0].seq != cursor + 1:
            following.resync = "retention"
            return True
        await self._send_run(following, run)
        return True

    async def _resync(self, following: Following) -> None:
        reason, following.resync = following.resync, None
        following.cursor = following.tail.head
        following.fell_behind_at = None
        metrics.resumes.labels(f"resync_{reason}").inc()
        await self.send(
            outbound.Resync(
                stream=following.tail.stream,
                reason=reason or "unknown",
                seq=following.cursor,
                epoch=self.hub.epoch,
            )
        )
