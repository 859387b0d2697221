"""One run of one seed: a story in virtual time, and what must hold in it and at its end."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from realtime.protocol import groups
from tests.simulation import actors, clock, process, tenants
from tests.simulation.clock import Clock
from tests.simulation.database import Database, InjectedError, InjectedFault, Weather
from tests.simulation.layer import Layer
from tests.simulation.loop import Deadlock, VirtualLoop
from tests.simulation.process import Process
from tests.simulation.sockets import Socket
from tests.simulation.tenants import Tenants

SWEEP, RECHECK, EXPIRY_GRACE, HEARTBEAT_EXPIRY = 2.0, 3.0, 1.0, 4.0
SLACK = 2.0
"""Seconds beyond an interval: slow statements, a failed one that is tried again, the hub's tick."""

SETTLES = 8.0
"""How long after the last fault everything must be as it should."""

BOUND: ContextVar[float] = ContextVar("bound", default=SWEEP + SLACK)
"""How long a change of access that is made here may go unnoticed."""

SETTINGS: dict[str, Any] = {
    "sweep_local": 0.5,
    "sweep_shared": SWEEP,
    "heartbeat": 1.5,
    "heartbeat_expiry": HEARTBEAT_EXPIRY,
    "presence_interval": 0.5,
    "presence_damping": 1.0,
    "announce_pause": 0.5,
    "announce_timeout": 0.3,
    "expiry_warning": 1.0,
    "expiry_grace": EXPIRY_GRACE,
    "linger": 2.0,
}


class Violation(NamedTuple):
    """What did not hold."""

    invariant: str
    text: str


class EventRow(NamedTuple):
    """An event in its place in a stream."""

    seq: int
    type: str
    client: str
    severity: str


@dataclass
class Plan:
    """What a run is about: how often what happens. Chosen by the seed."""

    people: list[str]
    processes: int = 1
    lasts: float = 4.0
    credentials: tuple[str, ...] = ("token", "session")
    messages: tuple[str, ...] = ("ping", "resume", "subscribe", "request_update", "stall")
    writes: tuple[str, ...] = ("events",)
    changes: list[tuple[Any, ...]] = field(default_factory=lambda: list(actors.SIGNALLED))
    between_visits: float = 0.3
    between_writes: float = 0.2
    between_changes: float = 1e9
    between_deployments: float = 1e9
    between_outages: float = 1e9
    crashes: float = 0.0
    stays: float = 3.0
    talkative: float = 0.2
    by_client_route: float = 0.4
    selected: float = 0.2
    paced: float = 0.1
    gives_up: float = 0.1
    cancelled: float = 0.1
    burst: int = 10
    failing: float = 0.0
    slow: float = 0.1
    lossy: float = 0.1
    error: type[Exception] = InjectedError
    keeps_rows: bool = False
    """Whether connections are written as rows: where that is not what a run is about, it would take too long."""
    settings: dict[str, Any] = field(default_factory=dict)


class Run:
    """A run. `violation` says what did not hold, if anything."""

    def __init__(self, seed: int, database: Database) -> None:
        self.seed = seed
        self.database = database
        self.clock = Clock()
        clock.begin(self.clock, seed)
        from tests.simulation import plans

        self.theme, self.plan = plans.choose()
        self.loop = VirtualLoop(self.clock)
        self.layer = Layer(self.loop, self.plan.lossy, self.plan.slow)
        self.violation: Violation | None = None
        self.is_ending = False
        self.outage_ended_at = -10.0
        self.processes: list[Process] = []
        self.ended_processes: list[Process] = []
        self.sockets: list[Socket] = []
        self._trace: list[tuple[float, str | Callable[[], str]]] = []
        self._count = 0

    # The story

    def go(self) -> Violation | None:
        """Run to the end. Return what did not hold."""
        weather = Weather(self.plan.failing, self.plan.slow)
        weather.error = self.plan.error
        self.database.begin(weather)
        process.begin(self.loop, self.layer, SETTINGS | self.plan.settings, keeps_rows=self.plan.keeps_rows)
        self.tenants = Tenants(self.database, EXPIRY_GRACE)
        self.database.changed = self._rows_changed
        collector.run = self
        story = self.loop.create_task(self._story())
        try:
            self.loop.run_until_complete(story)
        except (Deadlock, RuntimeError) as error:
            if self.violation is None:  # it was stopped otherwise
                self.fail("no traceback", f"the run ended with {error!r}", error)
        self._end()
        return self.violation

    async def _story(self) -> None:
        plan = self.plan
        for _ in range(plan.processes):
            self.add_process()
        visitors = [actors.Visitor(self, name) for name in plan.people]
        others = [actors.write, actors.administer, actors.operate, actors.fail]
        works = [visitor.visit() for visitor in visitors] + [other(self) for other in others]
        tasks = [asyncio.ensure_future(work) for work in works]
        await asyncio.sleep(plan.lasts)
        self.say("from now on nothing fails")
        self.is_ending = True
        self.database.weather.clear_up()
        self.layer.clear_up()
        for socket in self.sockets:
            socket.stall(False)
        await asyncio.sleep(SETTLES)
        for task in tasks:
            if task.done() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]
        self.check_settled()

    def _end(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.database.changed = lambda: None
        collector.run = None
        self.loop.set_exception_handler(lambda *_: None)
        for _ in range(20):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        self.loop.close()
        if self.violation is None and self.loop.problems:
            problem = self.loop.problems[0]
            self.violation = Violation("no traceback", f"{problem['message']}: {problem.get('exception')!r}")

    def any_process(self) -> Process:
        """Return one of the processes that take connections."""
        return random.choice(self.processes)

    def add_process(self) -> None:
        """Start a process."""
        self._count += 1
        new = Process(f"process {self._count}")
        new.on_terminated = lambda: None
        self.processes.append(new)
        self.say(f"{new.name} starts")
        if random.random() < 0.7:
            new.task(process.hubs.warm_up())

    # Telling

    def say(self, what: str | Callable[[], str]) -> None:
        """Note what happened."""
        self._trace.append((self.clock.now, what))

    def fail(self, invariant: str, text: str, error: BaseException | None = None) -> None:
        """Note what does not hold, and stop: only the first is told."""
        if self.violation is None:
            self.violation = Violation(invariant, text)
            self.say(f"VIOLATION of {invariant!r}: {text}")
            if error is not None:
                self.say("".join(traceback.format_exception(error)))
            self.loop.stop()

    @property
    def digest(self) -> str:
        """Return what stands for all that happened."""
        lines = "".join(f"{at:.6f} {_text(what)}\n" for at, what in self._trace)
        return hashlib.sha256(lines.encode()).hexdigest()

    def story(self, last: int = 60) -> str:
        """Return what happened, the newest last."""
        lines = [f"{at:9.4f} s  {_text(what)}" for at, what in self._trace[-last:]]
        left_out = len(self._trace) - len(lines)
        head = [f"… {left_out} earlier lines"] if left_out > 0 else []
        return "\n".join([f"Seed {self.seed}, a run of kind {self.theme!r}", *head, *lines])

    # Access

    @property
    def bound(self) -> float:
        """Return within how many seconds a change that is made now must be noticed."""
        return BOUND.get() + (1.0 if self.database.weather.is_away or self.layer.is_away else 0.0)

    def _rows_changed(self) -> None:
        if self.tenants.read():
            for socket in self.sockets:
                if not socket.is_gone:
                    socket.look_at_access()

    def events(self, stream: str, after: int, before: int = 2**60) -> list[EventRow]:
        """Return the rows of a stream between two places."""
        kind, key = groups.parse(stream)
        rows = self.database.rows(
            f"SELECT {kind}_seq, type, client_id, severity FROM realtime_event "
            f"WHERE {kind}_id = %s AND {kind}_seq > %s AND {kind}_seq < %s ORDER BY {kind}_seq",
            key.hex,
            after,
            before,
        )
        return [EventRow(seq, type_, str(UUID(client)), severity) for seq, type_, client, severity in rows]

    # What must hold

    def check_close(self, socket: Socket) -> None:
        """A socket is closed for a reason."""
        code, weather = socket.closed_with, self.database.weather
        socket.look_at_access()
        if code == 4003 and not socket.ever_ended:
            self.fail("let in", f"{socket} was closed with 4003, and its access never ended")
        elif code == 4001 and (socket.credential.expires_at or 2.0**60) + EXPIRY_GRACE > clock.time.time():
            self.fail("let in", f"{socket} was closed with 4001, and its token has not expired")
        elif code == 1011 and not (
            weather.failing or weather.is_away or self.clock.now - self.outage_ended_at < 2.0
        ):
            self.fail("let in", f"{socket} was closed with 1011 ({socket.error}), and nothing had failed")
        elif code == 1008 and socket.connection_id is None and not socket.ever_ended:
            self.fail("let in", f"{socket} was refused ({socket.error}), and its credential holds")

    def check_ended(self, ended: Process, *, by_crash: bool) -> None:
        """A process that was told to end has told its sockets."""
        self.ended_processes.append(ended)
        for socket in self.sockets:
            if socket.process is not ended or socket.is_gone:
                continue
            if socket.closed_with is None and socket.is_accepted and not by_crash and not socket.is_stalled:
                self.fail("told of the end", f"{socket} was dropped by {ended.name} without a close frame")
            if not by_crash or random.random() < 0.9:
                socket._ended(1006)
                socket._notify()

    def check_settled(self) -> None:
        """All is as it should be, some time after the last fault."""
        for socket in self.sockets:
            if socket.was_dropped and not socket.is_gone:
                self.fail("told of the end", f"the application of {socket} ended, and left it open")
            if socket.is_open:
                self._check_open(socket)
        if self.violation is None and self.plan.keeps_rows:
            self._check_rows()
        if self.violation is None:
            self._check_presence()

    def _check_open(self, socket: Socket) -> None:
        socket.look_at_access()
        if not socket.holds and socket.ended is not None and self.clock.now > socket.ended[1]:
            ago = self.clock.now - socket.ended[0]
            self.fail("closed in time", f"{socket} is open {ago:.2f} s after its access ended")
        for stream, followed in socket.streams.items():
            missing = [row for row in self.events(stream, followed.cursor) if socket.must_get(followed, row)]
            if missing:
                self.fail(
                    "complete",
                    f"{socket} was never sent event {missing[0].seq} of {stream}: it stands at {followed.cursor}",
                )

    def _check_rows(self) -> None:
        live = [one.hub.ledger.process.pk.hex for one in self.processes]
        marks = ", ".join(["%s"] * len(live))
        found = self.database.rows(
            f"SELECT id FROM realtime_liveconnection WHERE closed_at IS NULL AND process_id IN ({marks})",
            *live,
        )
        rows = {str(UUID(key)) for (key,) in found}
        opened = {socket.connection_id: socket for socket in self.sockets if socket.is_open}
        for key in sorted(opened.keys() - rows, key=str):
            self.fail("rows of connections", f"{opened[key]} is open, and no row says so")
        for key in sorted(rows - opened.keys(), key=str):
            of = next((str(socket) for socket in self.sockets if socket.connection_id == key), "nobody")
            self.fail("rows of connections", f"a row says that the socket of {of} is open, and it is not")
        if self.database.rows("SELECT id FROM realtime_outbox"):
            self.fail("complete", "something was recorded and never placed")

    def _check_presence(self) -> None:
        pass


class Collector:
    """Takes the log lines of the code under test: an error in them is a violation, unless it was made here."""

    def __init__(self) -> None:
        self.run: Run | None = None

    def __call__(self, _logger: Any, method: str, line: dict[str, Any]) -> Any:
        if self.run is not None:
            text = f"log: {line.pop('event')} {line}"
            error = line.get("exc_info")
            if (
                method in {"error", "critical", "exception"}
                and "injected" not in f"{text}{_current(error)!r}"
            ):
                self.run.fail("no traceback", text, _current(error))
            else:
                self.run.say(text)
        raise structlog.DropEvent


def _text(what: str | Callable[[], str]) -> str:
    return what if isinstance(what, str) else what()


def _current(error: Any) -> BaseException | None:
    import sys

    return error if isinstance(error, BaseException) else sys.exc_info()[1]


collector = Collector()
_database: Database | None = None


def install() -> Database:
    """Prepare this process for runs. Django is set up already, on a database in memory."""
    global _database
    if _database is None:
        clock.install_datetimes()
        process.install()
        structlog.configure(
            processors=[collector],
            wrapper_class=structlog.make_filtering_bound_logger(20),
            cache_logger_on_first_use=False,
        )
        _database = Database(tenants.fill)
        gc.collect()
        gc.freeze()
        gc.disable()
    return _database


def run(seed: int) -> Run:
    """Run one seed."""
    made = Run(seed, install())
    made.go()
    return made


__all__ = ["InjectedFault", "Run", "install", "run"]
