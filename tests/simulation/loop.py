"""An event loop without input and output, whose time jumps to the next timer."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.clock import Clock


class Deadlock(Exception):
    """Nothing is ready and no timer runs: everybody waits for ever."""


class _Selector:
    """Stands where the loop waits for sockets: waiting moves the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self._clock.advance(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they are due. Handles that are due at once keep their order."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._clock_resolution = 1e-9
        self._selector = _Selector(clock)
        self.problems: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.problems.append(context))

    def time(self) -> float:
        return self._clock.now

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
