"""A server process: its hub, its publisher, and its end. All processes of a run share one event loop."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from channels.layers import channel_layers

from realtime import conf
from realtime.events import announcing, publisher
from realtime.hub import hub as hubs
from realtime.hub import streams, tail, threads
from realtime.hub.ledger import Ledger
from realtime.server.daphne import Server
from tests.simulation import workers
from tests.simulation.layer import Layer

_current: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class OrderedSet(dict[Any, None]):
    """A set that is gone through in the order in which it was filled: the same one in every run."""

    def add(self, member: Any) -> None:
        self[member] = None

    def discard(self, member: Any) -> None:
        self.pop(member, None)


class OrderedTail(tail.Tail):
    """A tail that wakes its followers in the same order in every run."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.followers = OrderedSet()  # type: ignore[assignment]


class Process:
    """A process. What runs in its `context` finds its hub and its publisher."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_draining = False
        self.applications: dict[Any, asyncio.Task[None]] = {}
        """The applications of its sockets, by socket."""
        self.context = contextvars.copy_context()
        self.context.run(_current.set, self)
        self.hub = hubs.Hub()
        self.hub.supervisor._tasks = OrderedSet()  # type: ignore[assignment]
        self.publisher = publisher.Publisher()
        self.on_terminated: Callable[[], None] = lambda: None

    def task(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine in this process."""
        return asyncio.get_running_loop().create_task(work, context=self.context.copy())

    async def wind_down(self, seconds: float) -> None:
        """Do what our Daphne does on SIGTERM."""
        self.is_draining = True
        server = SimpleNamespace(
            listeners=[],
            _interrupted=False,
            _drain_seconds=lambda: seconds,
            connections={
                socket: {"application_instance": task} for socket, task in self.applications.items()
            },
        )
        await Server._wind_down(server)  # type: ignore[arg-type]
        self.is_dead = True


_answered: Callable[[str], None]
"""Told when a question of a purpose was answered by the database, and who asked has not heard of it yet."""
_crowded: str | None = None
"""The purpose whose threads are few for what is asked of them."""


async def _run(purpose: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Stands for `threads.run`: a thread becomes free after a while, and its answer waits for the loop."""
    await _wait_in_line(purpose)
    if current().is_dead:
        await asyncio.get_running_loop().create_future()
    try:
        return await workers.run(function, *args, **kwargs)
    finally:
        _answered(purpose)
        await _wait_in_line(purpose)


async def _wait_in_line(purpose: str) -> None:
    if purpose == _crowded:
        await asyncio.sleep(random.random() ** 3 * 0.3)
    elif random.random() < 0.3:
        await asyncio.sleep(random.random() * 0.01)


def current() -> Process:
    """Return the process in which this code runs."""
    return _current.get()


def install() -> None:
    """Have the code under test find processes, layer and threads of the simulation."""
    threads.run = _run  # type: ignore[assignment]
    streams.Tail = OrderedTail  # type: ignore[misc]
    hubs.current = lambda: current().hub
    hubs.is_draining = lambda: current().hub.draining
    hubs.os = SimpleNamespace(  # type: ignore[attr-defined]
        kill=lambda *_: current().on_terminated(), getpid=lambda: 1
    )
    publisher.of = lambda using="default": current().publisher
    publisher.threading = workers.threading  # type: ignore[attr-defined]
    publisher.time = SimpleNamespace(sleep=workers.sleep, monotonic=workers.now)  # type: ignore[attr-defined]
    announcing.redis_groups = SimpleNamespace(reaches=lambda _: True)  # type: ignore[attr-defined]
    announcing.RedisGroups = lambda layer, _: layer  # type: ignore[misc, assignment]


_store = Ledger._store


def begin(
    loop: asyncio.AbstractEventLoop,
    layer: Layer,
    settings: dict[str, Any],
    *,
    keeps_rows: bool,
    crowded: str | None,
    answered: Callable[[str], None],
) -> None:
    """Begin a run on `loop`."""
    global _crowded, _answered
    _crowded, _answered = crowded, answered
    Ledger._store = _store if keeps_rows else lambda *_: None  # type: ignore[method-assign]
    workers.Thread.loop = loop
    layer.layer = layer  # type: ignore[attr-defined] - as RedisGroups names its layer
    channel_layers.backends["default"] = layer
    announcing._failing_until = 0.0
    chosen = conf.RealtimeSettings(**settings)
    conf.current = lambda: chosen  # type: ignore[assignment]
