"""Older events, read from the rows once for all who ask.

Pages at fixed boundaries, shared while they are read and a while after.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

from realtime import conf, metrics
from realtime.events import reading
from realtime.events.reading import Replay, Resync, Row
from realtime.hub import threads
from realtime.hub.sharing import share
from realtime.hub.tail import StreamEvent

R = TypeVar("R")

LARGE_KNOWN = 1000
"""Pages too large to be read at once: so many are remembered. One that is forgotten costs one reading more."""

KEPT_BYTES = 8 * 2**20
"""How much of pages is kept for others who are at the same place."""


def to_event(stream: str, row: Row) -> StreamEvent:
    """Return a row of the log as an event to send."""
    return StreamEvent(
        stream,
        row.seq,
        row.type,
        row.client_id,
        row.severity,
        row.timestamp,
        row.data,
        hidden=row.hidden,
    )


class Pages:
    """Reads of one hub. Those who ask for the same thing at the same time share one query."""

    def __init__(self) -> None:
        self._kept_bytes = 0
        self._kept: OrderedDict[tuple[str, int], list[StreamEvent]] = OrderedDict()
        self._large: set[tuple[str, int]] = set()
        """Pages that are too large to be read at once."""
        self._running: dict[Hashable, asyncio.Future[Any]] = {}

    async def after(self, stream: str, cursor: int) -> list[StreamEvent]:
        """Return events of `stream` with `seq > cursor`, in order, up to a page or as many as are read at once.

        None where the rows have none.
        """
        size = conf.current().page_events
        begin = cursor - cursor % size
        if (stream, begin) in self._large:
            begin = cursor  # what is read from the page's beginning may not reach so far
        kept = self._kept.get((stream, begin))
        if kept is None or kept[-1].seq <= cursor:
            kept = await self._once(("page", stream, begin), partial(self._read, stream, begin, size))
        found = [event for event in kept if event.seq > cursor]
        if not found and begin < cursor and (stream, begin) in self._large:
            return await self.after(stream, cursor)
        return found

    async def decide(self, stream: str, position: int, epoch: str | None) -> Replay | Resync:
        """Return whether a cursor can be resumed, asked of the rows."""
        settings = conf.current()

        async def ask() -> Replay | Resync:
            return await threads.run(
                "reading",
                reading.backlog,
                stream,
                position,
                epoch,
                most_events=settings.backlog_events,
                most_bytes=settings.backlog_bytes,
            )

        return await self._once(("decide", stream, position, epoch), ask)

    async def _read(self, stream: str, start: int, size: int) -> list[StreamEvent]:
        """Read from `start` to the end of its page, or as much as is read at once."""
        metrics.pages.inc()
        end = start - start % size + size
        rows, is_last = await threads.run("reading", reading.page, stream, start, end - start)
        page = [to_event(stream, row) for row in rows if row.seq <= end]
        if page:
            self._keep((stream, start), page)
            if not is_last and page[-1].seq < end:
                self._remember_as_large((stream, end - size))
        return page

    def _remember_as_large(self, page: tuple[str, int]) -> None:
        if len(self._large) >= LARGE_KNOWN:
            self._large.clear()
        self._large.add(page)

    def _keep(self, key: tuple[str, int], page: list[StreamEvent]) -> None:
        self._kept_bytes -= sum(event.weight for event in self._kept.pop(key, ()))
        self._kept[key] = page
        self._kept_bytes += sum(event.weight for event in page)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= sum(event.weight for event in oldest)

    async def _once(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Await `work`, or the same work that somebody else has begun.

        One waiter's end does not end it for the others.
        """
        running: asyncio.Future[Any] | None = self._running.get(key)
        if running is None:
            running = self._running[key] = share(work())
            running.add_done_callback(lambda _: self._running.pop(key, None))
        result: R = await asyncio.shield(running)
        return result
