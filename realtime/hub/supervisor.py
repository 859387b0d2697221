"""One supervisor for the work of a hub that never ends: sweep, ticks, listening, connection rows and so on.

A task is a round that is repeated. A round that fails, however it fails, is logged with its traceback, counted, and
tried again after a pause that grows; the first round that succeeds ends that. Nothing but `stop` ends a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError

from realtime import metrics

log = structlog.get_logger(__name__)

MIN_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 5.0
"""Between a failed round and the next: doubled with each failure in a row."""

ESSENTIAL = frozenset({"sweep", "listener", "connection rows"})
"""The tasks that delivery depends on."""

REPEATED = 3
"""An essential task that failed so many times in a row makes the process unready."""


class Supervisor:
    """The tasks of one hub, and how they are doing."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        """The tasks that are failing, and how many rounds in a row."""
        self._names: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_ready(self) -> bool:
        """False where delivery suffers: a task that it depends on has failed several times in a row."""
        return not any(count >= REPEATED for name, count in self.failures.items() if name in ESSENTIAL)

    def repeat(self, name: str, round_: Callable[[], Awaitable[None]]) -> None:
        """Repeat `round_` until stopped. A name that runs already is not started twice."""
        if name not in self._names:
            self._names.add(name)
            self._start(self._forever(name, round_), name)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something once that nobody waits for; a failure of it is logged and counted."""
        self._start(work, None)

    async def stop(self) -> None:
        """Cancel everything and wait for its end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._names.clear()

    def _start(self, work: Coroutine[Any, Any, Any], name: str | None) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._once_done if name is None else self._ended)

    async def _forever(self, name: str, round_: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await round_()
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise
                await asyncio.sleep(self._failed(name, error))
            else:
                if self.failures.pop(name, None):
                    log.info("task works again", task=name)

    def _failed(self, name: str, error: BaseException) -> float:
        """Note a failed round. Return how many seconds to wait before the next."""
        count = self.failures[name] = self.failures.get(name, 0) + 1
        pause = min(MIN_PAUSE_SECONDS * 2.0 ** min(count - 1, 10), MAX_PAUSE_SECONDS)
        metrics.task_failures.labels(name).inc()
        if not isinstance(error, OperationalError | InterfaceError):
            log.error("task failed", task=name, failures=count, next="trying again", exc_info=error)
        elif count == 1:
            log.warning("task failed", task=name, error=str(error).strip(), next="trying again")
        return pause

    def _once_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work of the hub failed", work=_name(task), exc_info=error)
            metrics.task_failures.labels("one-off").inc()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """A task has ended. Unless it was stopped that is an error, and it stays one: the process must be replaced."""
        self._tasks.discard(task)
        if not task.cancelled():
            name = task.get_name()
            log.critical("task ended", task=name, exc_info=task.exception())
            metrics.task_failures.labels(name).inc()
            self.failures[name] = REPEATED


def _is_cancelled() -> bool:
    """Return whether the running task itself was cancelled, and not something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")
