"""Plain threads, as greenlets of the event loop's thread: they run in the order that virtual time says.

A worker waits by handing the loop something to await. While a worker runs, its thread has no running loop, as in
production: code that asks for one is found out.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

R = TypeVar("R")
Wait = Callable[[], Awaitable[Any]]


class Worker(greenlet):
    """A thread that is simulated."""


def is_worker() -> bool:
    """Return whether this code runs in a simulated thread."""
    return isinstance(getcurrent(), Worker)


def wait(what: Wait) -> Any:
    """Let the loop go on until `what()` is done; return its result. Called in a worker."""
    failed, result = getcurrent().parent.switch(what)
    if failed:
        raise result
    return result


def sleep(seconds: float) -> None:
    """Sleep in virtual time. Called in a worker."""
    if seconds > 0:
        wait(lambda: asyncio.sleep(seconds))


async def within(future: asyncio.Future[None], seconds: float | None) -> None:
    """Wait for a future that is set to nothing, or for so long."""
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, set_done, future)
    await future


def set_done(future: asyncio.Future[None]) -> None:
    """Let those go on who wait for `future`."""
    if not future.done():
        future.set_result(None)


async def run(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Run a plain function as a thread would, and return what it returns.

    As with a real thread, cancelling the caller does not end the function.
    """
    worker = Worker(function)
    worker.gr_context = contextvars.copy_context()
    pumping = asyncio.ensure_future(_pump(worker, args, kwargs))
    pumping.add_done_callback(lambda task: task.cancelled() or task.exception())  # its caller may be gone
    return await asyncio.shield(pumping)


async def _pump(worker: Worker, args: Any, kwargs: Any) -> Any:
    step = _resume(worker, *args, **kwargs)
    while not worker.dead:
        try:
            answer = False, await step()
        except Exception as error:
            answer = True, error
        step = _resume(worker, answer)
    return step


def _resume(worker: Worker, *args: Any, **kwargs: Any) -> Any:
    loop = asyncio.get_running_loop()
    events._set_running_loop(None)
    try:
        return worker.switch(*args, **kwargs)
    finally:
        events._set_running_loop(loop)


class Lock:
    """`threading.Lock` among workers: nobody waits while it is held, so it need not lock."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class Condition:
    """`threading.Condition` in virtual time."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        async def notified(seconds: float | None) -> None:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            self._waiting.append(future)
            await within(future, seconds)
            if future in self._waiting:
                self._waiting.remove(future)

        end = None if timeout is None else now() + timeout
        while not predicate():
            left = None if end is None else end - now()
            if left is not None and left <= 0:
                return False
            wait(lambda left=left: notified(left))
        return True

    def notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    notify_all = notify


def now() -> float:
    """Return the time by the monotonic clock."""
    import time

    return time.monotonic()


class Thread:
    """`threading.Thread`, begun when the loop comes to it."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, target: Callable[[], None], **_: Any) -> None:
        self._target = target

    def is_alive(self) -> bool:
        return not self.task.done()

    def start(self) -> None:
        self.task = Thread.loop.create_task(run(self._target))


threading = SimpleNamespace(Lock=Lock, Condition=Condition, Thread=Thread)
"""What a module takes for `threading`."""
