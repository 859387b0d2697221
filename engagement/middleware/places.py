"""A bounded number of places, and a bounded queue before them: what waits is bounded in number and time.

No network has all of them, nor all of the queue, so that there is room for others whatever one of them does. Used on
the event loop only: a waiting request takes neither a thread nor a connection to the database.
"""

from __future__ import annotations

import asyncio
from collections import Counter


class NoPlace(Exception):
    """All places are taken, and the queue is full or did not move in time."""


class Places:
    """At most `size` at once. Up to `max_waiting` wait in turn, each for up to `seconds`."""

    def __init__(self, size: int, max_waiting: int, seconds: float) -> None:
        self.seconds = seconds
        self._free = size
        self._max_of_network = max(1, size * 3 // 4)
        self._max_waiting = max_waiting
        self._max_waiting_of_network = max(1, max_waiting // 2)
        self._taken: Counter[str] = Counter()
        self._queue: dict[asyncio.Future[None], str] = {}

    async def take(self, network: str) -> None:
        """Take a place for a request of `network`; wait for it if need be. Raises NoPlace."""
        if self._may_take(network):
            self._give(network)
            return
        mine = sum(waiting == network for waiting in self._queue.values())
        if len(self._queue) >= self._max_waiting or mine >= self._max_waiting_of_network:
            raise NoPlace
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue[turn] = network
        try:
            async with asyncio.timeout(self.seconds):
                await turn
        except TimeoutError:
            self._leave(turn, network)
            raise NoPlace from None
        except asyncio.CancelledError:
            self._leave(turn, network)
            raise

    def give_back(self, network: str) -> None:
        """Give a place back: the first in the queue whose network may have one gets it."""
        self._free += 1
        self._taken[network] -= 1
        if not self._taken[network]:
            del self._taken[network]
        for turn, waiting in self._queue.items():
            if self._may_take(waiting):
                del self._queue[turn]
                self._give(waiting)
                turn.set_result(None)
                return

    def _may_take(self, network: str) -> bool:
        return self._free > 0 and self._taken[network] < self._max_of_network

    def _give(self, network: str) -> None:
        self._free -= 1
        self._taken[network] += 1

    def _leave(self, turn: asyncio.Future[None], network: str) -> None:
        if self._queue.pop(turn, None) is None:  # its turn came at the same moment
            self.give_back(network)
