"""A connection that asked for updates at a rate (`?rate=N`): the newest state of each subject, N times a second.

It differs from others in when its writer goes and in what it sends: what lies between cursor and head is folded
(`conflation`). Rounds of one rate come at the same moments for all connections of a process, so those at the same place
share what was folded and encoded. A round does not wait for its moment where an alert is there for it, the stream must
be refetched, or what waits takes half of the stream's memory.

A round is a `batch` frame (more than one only above `REALTIME_BATCH_BYTES`), so that a client has all up to its last
seq or nothing of it: its position stays one number.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from realtime.hub.connection import Connection, Following


class PacedConnection(Connection):
    """A connection with a rate, in rounds a second. It takes batches."""

    def __init__(self, *arguments: Any, rate: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rate = rate
        self.batches = True
        self._pause = 1 / rate
        self._round: asyncio.TimerHandle | None = None

    def wake(self, news_of: Following | None = None) -> None:
        """Send at once, or, where there is only news of a stream that can wait, at the next round."""
        if news_of is None or self._is_pressing(news_of):
            self._cancel_round()
            super().wake()
        elif self._round is None:
            loop = asyncio.get_running_loop()
            rounds = math.floor(loop.time() / self._pause) + 1
            self._round = loop.call_at(rounds * self._pause, self._begin_round)

    def _is_pressing(self, following: Following) -> bool:
        tail = following.tail
        if following.resync is not None or tail.fills_after(following.cursor):
            return True
        return tail.alerted and any(
            event.type == "alert" and following.selection.admits(event)
            for event in tail.after(max(following.cursor, tail.first - 1))
        )

    def _begin_round(self) -> None:
        self._round = None
        super().wake()

    def _cancel_round(self) -> None:
        if self._round is not None:
            self._round.cancel()
            self._round = None

    def _stop_writer(self) -> None:
        self._cancel_round()
        super()._stop_writer()

    async def _write(self) -> None:
        while True:
            await self._news()
            for following in list(self.following.values()):
                head = following.tail.head
                while await self._advance(following) and following.cursor < head:
                    pass
