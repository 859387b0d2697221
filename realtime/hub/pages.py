"""Older events, read from the rows once for all who ask.

Pages at fixed boundaries, shared while they are read and a while after.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from realtime import conf, metrics
from realtime.events import reading
from realtime.events.reading import Replay, Resync, Row
from realtime.hub import threads
from realtime.hub.sharing import share
from realtime.hub.tail import StreamEvent

R = TypeVar("R")

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
        self._running: dict[Hashable, asyncio.Future[Any]] = {}

    async def after(self, stream: str, cursor: int) -> list[StreamEvent]:
        """Return events of `stream` with `seq > cursor`, in order, up to the end of a page.

        None where the rows have none.
        """
        size = conf.current().page_events
        number = cursor // size
        kept = self._kept.get((stream, number))
        if kept is None or kept[-1].seq <= cursor:
            kept = await self._once(("page", stream, number), lambda: self._read(stream, number, size))
        return [event for event in kept if event.seq > cursor]

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

    async def _read(self, stream: str, number: int, size: int) -> list[StreamEvent]:
        metrics.pages.inc()
        rows = await threads.run("reading", reading.page, stream, number * size, size)
        page = [to_event(stream, row) for row in rows if row.seq <= (number + 1) * size]
        if page:
            self._keep((stream, number), page)
        return page

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
