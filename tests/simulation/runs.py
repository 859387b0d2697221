"""One run of one seed: a story in virtual time, and what must hold in it and at its end."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from realtime.protocol import groups
from tests.simulation import actors, clock, memory, process, tenants, workers
from tests.simulation.clock import Clock
from tests.simulation.database import Database, InjectedError, InjectedFault, Weather
from tests.simulation.layer import Layer
from tests.simulation.loop import Deadlock, VirtualLoop
from tests.simulation.process import Process
from tests.simulation.sockets import Socket, describe_stream
from tests.simulation.tenants import Tenants

SWEEP, EXPIRY_GRACE, HEARTBEAT_EXPIRY = 2.0, 1.0, 4.0
TOO_LARGE = str(2**64)
"""In the data of an event: a number that JSON carries, and MessagePack does not."""

SLACK = 2.0
"""Seconds beyond an interval: slow statements, a failed one that is tried again, the hub's tick."""

SETTLES, ROWS_SETTLE = 5.5, 8.0
"""How long after the last fault everything must be as it should; and all that hangs on rows of connections."""

ANSWERED = 0.5
"""Seconds from a statement's failure until the socket that it was for is told: threads are few."""

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
    """An event in its place in a stream, and in the log."""

    position: int
    seq: int
    type: str
    client: str
    severity: str
    data: str

    @property
    def is_for_json_alone(self) -> bool:
        """True where it holds what MessagePack cannot carry."""
        return TOO_LARGE in self.data


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
    before_restore: float = 1e9
    crashes: float = 0.0
    stays: float = 3.0
    ambushes: float = 0.0
    """How likely a change of access waits for the moment after it was read."""
    several_tabs: bool = False
    """Whether a visitor opens the next socket without waiting for the end of the one before."""
    talkative: float = 0.2
    back: tuple[int, ...] = (0, 0, 1, 3, 30)
    """By how many events a resume goes back."""
    by_client_route: float = 0.4
    selected: float = 0.2
    paced: float = 0.1
    gives_up: float = 0.1
    cancelled: float = 0.1
    burst: int = 10
    failing: float = 0.0
    slow: float = 0.1
    slow_layer: float | None = None
    """How likely a message of the layer is late; None: as likely as a statement is slow."""
    lossy: float = 0.1
    error: type[Exception] = InjectedError
    in_memory: bool = True
    """Whether the log and identities are looked up in memory (`memory`), and not through Django."""
    crowded: str | None = None
    """Which of the hub's pools of threads is slow."""
    keeps_rows: bool = False
    """Whether connections are written as rows: where that is not what a run is about, it would take too long."""
    bound: float = SWEEP + SLACK
    """Seconds that a change of access may go unnoticed."""
    told: bool = True
    """Whether changes of access are told. Then nothing that comes after one goes to who lost access by it."""
    in_order: bool = False
    """Whether nothing recorded after a change of access may go to who lost access by it, within the bound either."""
    latencies: tuple[float, ...] = (0.0, 0.0, 0.002, 0.05)
    """Within how many seconds sockets take a frame."""
    breaking: float = 0.0
    """How likely the server's `write_now` raises."""
    settings: dict[str, Any] = field(default_factory=dict)
    expected_errors: tuple[str, ...] = ()
    """Beginnings of what is logged as an error, and should be."""


class Run:
    """A run. `violation` says what did not hold, if anything."""

    def __init__(self, seed: int, database: Database, plan: Callable[[], Plan] | None) -> None:
        self.seed = seed
        self.database = database
        self.clock = Clock()
        clock.begin(self.clock, seed)
        from tests.simulation import plans

        kind = plan or plans.choose()
        self.kind, self.plan = kind.__name__, kind()
        self.loop = VirtualLoop(self.clock)
        self.layer = Layer(
            self.loop,
            self.plan.lossy,
            self.plan.slow if self.plan.slow_layer is None else self.plan.slow_layer,
        )
        self.violation: Violation | None = None
        self.is_ending = False
        self.processes: list[Process] = []
        self.ended_processes: list[Process] = []
        self.sockets: list[Socket] = []
        self.sessions_ready = {key: list(sessions) for key, sessions in tenants.SESSIONS.items()}
        self._awaiting_answer: list[asyncio.Future[None]] = []
        self._placed = 0
        self.visits: list[asyncio.Future[None]] = []
        self.clients_left: dict[tuple[str, str], float] = {}
        """Until when an MSP's stream, resumed from memory, may hold the past of a client that has left."""
        self.clients_came: dict[UUID, tuple[float, int]] = {}
        """By client: until when an MSP's stream may still lack its past, and the log's position as it came."""
        self.ending_sessions: set[str] = set()
        """Sessions whose end has begun."""
        self.log: memory.MemoryLog | None = None
        self._trace: list[tuple[float, str | Callable[[], str]]] = []
        self._count = 0

    # The story

    def go(self) -> Violation | None:
        """Run to the end. Return what did not hold."""
        weather = Weather(self.plan.failing, self.plan.slow)
        weather.error = self.plan.error
        self.database.begin(weather)
        process.begin(
            self.loop,
            self.layer,
            SETTINGS | self.plan.settings,
            keeps_rows=self.plan.keeps_rows,
            crowded=self.plan.crowded,
            answered=self._answered,
        )
        self.tenants = Tenants(self.database, EXPIRY_GRACE)
        self.log = memory.begin(self.database, self.tenants) if self.plan.in_memory else None
        if self.log is not None:
            self.database.take_pending = self.log.commit
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
        others = [actors.write, actors.administer, actors.operate, actors.fail, actors.restore]
        works = [visitor.visit() for visitor in visitors] + [other(self) for other in others]
        tasks = [asyncio.ensure_future(work) for work in works]
        await asyncio.sleep(plan.lasts)
        self.say("from now on nothing fails")
        self.is_ending = True
        self.database.weather.clear_up()
        self.layer.clear_up()
        for socket in self.sockets:
            socket.stall(False)
        await asyncio.sleep(ROWS_SETTLE if plan.keeps_rows else SETTLES)
        for task in [*tasks, *self.visits]:
            if task.done() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]
        self.check_settled()

    def _end(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.database.changed = lambda: None
        collector.run = None
        memory.end()
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
        return "\n".join([f"Seed {self.seed}, a run of kind {self.kind!r}", *head, *lines])

    # Access

    @property
    def bound(self) -> float:
        """Return within how many seconds a change that is made now must be noticed."""
        return self.plan.bound + (1.0 if self.database.weather.is_away or self.layer.is_away else 0.0)

    def _answered(self, purpose: str) -> None:
        if purpose == "authenticating":
            waiting, self._awaiting_answer = self._awaiting_answer, []
            for future in waiting:
                workers.set_done(future)

    async def next_answer(self) -> None:
        """Wait until somebody's access has just been read: the worst moment for it to change."""
        future = self.loop.create_future()
        self._awaiting_answer.append(future)
        await workers.within(future, 1.0)

    def _rows_changed(self) -> None:
        if self.log is None:
            self._check_places()
        before = self.tenants.owners
        if self.tenants.read():
            for client, msp in before.items():
                if self.tenants.owners.get(client) != msp:
                    self.clients_left[f"msp.{msp}", str(client)] = self.clock.now + self.bound
                    self.clients_came[client] = self.clock.now + self.bound, self.position
            for socket in self.sockets:
                if not socket.is_gone:
                    socket.look_at_access()

    def clients_came_lately(self, clients: Iterable[UUID]) -> dict[UUID, int]:
        """Return those of `clients` whose past an MSP's stream may still lack, and the log's position as they came."""
        came = {client: self.clients_came.get(client, (0.0, 0)) for client in clients}
        return {client: position for client, (until, position) in came.items() if self.clock.now < until}

    @property
    def position(self) -> int:
        """Return the position of the last event in the log."""
        if self.log is not None:
            return self.log.position
        found = self.database.rows("SELECT position FROM realtime_log")
        return int(found[0][0]) if found else 0

    def events(self, stream: str, after: int, before: int = 2**60) -> list[EventRow]:
        """Return the rows of a stream between two places."""
        if self.log is not None:
            rows_of = self.log.streams.get(stream, [])[after : before - 1]
            return [
                EventRow(event.position, row.seq, row.type, row.client_id, row.severity, row.data)
                for row, event in rows_of
            ]
        kind, text = groups.parse(stream)
        key = UUID(text)
        rows = self.database.rows(
            f"SELECT position, {kind}_seq, type, client_id, severity, data FROM realtime_event "
            f"WHERE {kind}_id = %s AND {kind}_seq > %s AND {kind}_seq < %s ORDER BY {kind}_seq",
            key.hex,
            after,
            before,
        )
        return [
            EventRow(position, seq, type_, str(UUID(client)), severity, data)
            for position, seq, type_, client, severity, data in rows
        ]

    # What must hold

    def _check_places(self) -> None:
        """An event goes into the stream of the MSP that its client belongs to when it gets its place."""
        new = self.database.rows(
            "SELECT position, client_id, msp_id FROM realtime_event WHERE position > %s ORDER BY position",
            self._placed,
        )
        for position, client, msp in new:
            self._placed = position
            owner = self.tenants.owners.get(UUID(client)) if client else None
            if owner is not None and msp != owner.hex:
                self.fail(
                    "placed where it belongs",
                    f"event {position} of {describe_stream(str(UUID(client)))} "
                    f"was placed for {describe_stream(str(UUID(msp)))}, which it belongs to no more",
                )

    def check_close(self, socket: Socket) -> None:
        """A socket is closed for a reason."""
        code, weather = socket.closed_with, self.database.weather
        socket.look_at_access()
        # Django tells of a sign-out before it deletes the session's row: from then on the session lets nobody in.
        told = socket.ever_ended or socket.credential.session in self.ending_sessions
        if code == 4003 and not told:
            self.fail("let in", f"{socket} was closed with 4003, and its access never ended")
        elif code == 4001 and (socket.credential.expires_at or 2.0**60) + EXPIRY_GRACE > clock.time.time():
            self.fail("let in", f"{socket} was closed with 4001, and its token has not expired")
        elif (
            code == 1011
            and (weather.failed_before if socket.failed_before is None else socket.failed_before) > ANSWERED
        ):
            self.fail("let in", f"{socket} was closed with 1011 ({socket.error}), and nothing had failed")
        elif code == 1008 and socket.error == "token_expired":
            if (socket.credential.expires_at or 2.0**60) > clock.time.time():  # no grace for a new socket
                self.fail("let in", f"{socket} was refused, and its token has not expired")
        elif code == 1008 and socket.connection_id is None and not told:
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
        if self.log.outbox if self.log is not None else self.database.rows("SELECT id FROM realtime_outbox"):
            self.fail("complete", "something was recorded and never placed")
        if self.violation is None and self.plan.keeps_rows:
            self._check_rows()
        if self.violation is None and self.plan.keeps_rows:
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

    def _check_presence(self) -> None:
        """Who watches is known to those who asked: of the last frame they were sent, the counts."""
        opened = [socket for socket in self.sockets if socket.is_open]
        for socket in opened:
            for stream, followed in socket.streams.items():
                if "presence" in followed.whole.topics:
                    self._check_presence_of(socket, stream, opened)

    def _check_presence_of(self, socket: Socket, stream: str, opened: list[Socket]) -> None:
        kind, text = groups.parse(stream)
        key = UUID(text)
        told = socket.presence.get(str(key) if kind == "client" else None)
        if told is None:
            return
        msp = self.tenants.owners[key] if kind == "client" else key
        watching = {each.credential.user for each in opened if each.watches(kind, key)}
        everywhere = {each.credential.user for each in opened if each.watches("msp", msp)}
        there = watching | everywhere
        by_msp = sum(self.tenants.people[user].role.startswith("msp") for user in there)
        # Who watches all of an MSP is told to those who follow that, or one client by their route.
        is_told_all = kind == "msp" or "scope" not in socket.query
        expected = (by_msp if is_told_all else told["msp_watchers"], len(there) - by_msp)
        if (told["msp_watchers"], told["client_watchers"]) != expected:
            self.fail(
                "who watches",
                f"{socket} was last told of {told['msp_watchers']} and {told['client_watchers']} watchers of "
                f"{describe_stream(stream)}, and there are {expected[0]} and {expected[1]}",
            )


class Collector:
    """Takes the log lines of the code under test: an error in them is a violation, unless it was made here."""

    def __init__(self) -> None:
        self.run: Run | None = None

    def __call__(self, _logger: Any, method: str, line: dict[str, Any]) -> Any:
        if self.run is not None:
            self._take(self.run, method, line.pop("event"), line)
        raise structlog.DropEvent

    def _take(self, run: Run, method: str, event: str, line: dict[str, Any]) -> None:
        text, error = f"log: {event} {line}", _current(line.get("exc_info"))
        is_error = method in {"error", "critical", "exception"}
        if (
            is_error
            and not event.startswith(run.plan.expected_errors)
            and "injected" not in f"{text}{error!r}"
        ):
            run.fail("no traceback", text, error)
        else:
            run.say(text)


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


def run(seed: int, plan: Callable[[], Plan] | None = None) -> Run:
    """Run one seed: of the kind that it chooses, or of one that is given."""
    made = Run(seed, install(), plan)
    made.go()
    return made


__all__ = ["InjectedFault", "Run", "install", "run"]
