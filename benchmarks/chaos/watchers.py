"""The process with hundreds of WebSocket clients: they drop, sleep, come back and resume, as people's devices do.

AnyCable's jitter profile: about two seconds offline every fifteen. Half of the drops are clean closes, half a
cable pulled. Started by `run`: `python -m benchmarks.chaos.watchers FOLDER`. Reads `brief.json` there; when
`final.json` appears, no client drops any more, and when all are level with the heads in it, or after a while,
`records.json` is written.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.chaos import plan
from benchmarks.chaos.judge import Record, Replayed
from benchmarks.chaos.watcher import Watcher

ONLINE_SECONDS = (7.5, 22.5)
OFFLINE_SECONDS = 2.0
LONG_OFFLINE_SECONDS = (4.0, 9.0)
LONG_SHARE = 0.1
PING_SECONDS = 5.0
OPEN_SECONDS = 5.0
SETTLE_SECONDS = 30.0
STAGGER_SECONDS = 4.0
"""Over how long the clients arrive; less in a short run."""


@dataclass
class Person:
    """As `world.Person`, without Django."""

    token: str
    stream: str
    clients: list[str]


@dataclass
class Brief:
    """What the process is told."""

    seed: int
    seconds: float
    servers: list[str]
    people: list[Person]
    watchers: list[plan.Watcher]


@dataclass
class Log:
    """What one client did and got."""

    number: int
    allowed: list[str]
    records: list[Record]
    replays: list[Replayed]
    foreign: list[str]
    reconnects: list[tuple[float, str]]
    """When it was connected again, and what had ended the connection before."""
    offline: list[tuple[float, float]]
    """From when to when it was offline of its own will."""
    refused: dict[str, int]
    failed_attempts: int
    """Handshakes that came to nothing: the server was away, or answered too late."""


@dataclass
class Report:
    """What the process answers."""

    logs: list[Log] = field(default_factory=list)
    level: bool = False
    connected: list[tuple[float, int]] = field(default_factory=list)
    """How many were connected, each second."""


class Dropped(Exception):
    """The client's own decision to drop its socket."""


class Client:
    """One client: a state and a socket that comes and goes."""

    def __init__(self, brief: Brief, shape: plan.Watcher) -> None:
        self.shape = shape
        self.person = brief.people[shape.user]
        self.servers = brief.servers
        self.seconds = brief.seconds
        self.chance = random.Random(f"watcher {brief.seed} {shape.number}")
        self.state = Watcher(set(self.allowed()), fingerprint)
        self.reconnects: list[tuple[float, str]] = []
        self.offline: list[tuple[float, float]] = []
        self.refused: Counter[str] = Counter()
        self.failed_attempts = 0
        self.connected = False
        self.settling = asyncio.Event()
        self._ended_by = ""
        """What ended the last connection; empty while there is one."""
        self._wait = 0.0
        self._failures = 0
        self._left_at: float | None = None

    def allowed(self) -> list[str]:
        """Return the clients whose events it may get on its route."""
        chosen = self.person.clients
        return chosen if self.shape.route == "general" else self.selection()

    def selection(self) -> list[str]:
        """Return the clients that its route or its subscriptions name."""
        clients = self.person.clients
        if self.shape.route == "selected":
            return clients[: 1 + self.shape.client % 2]
        return [clients[self.shape.client % len(clients)]]

    async def run(self) -> None:
        """Connect again and again until cancelled."""
        await asyncio.sleep(self.chance.random() * min(STAGGER_SECONDS, self.seconds / 12))
        while True:
            try:
                await self._connection()
            except Dropped:
                await self._sleep()
            except websockets.ConnectionClosed as closed:
                self._closed(closed)
            except (OSError, TimeoutError, websockets.InvalidHandshake, websockets.InvalidMessage) as error:
                self._failures += 1
                self.failed_attempts += 1
                self._ended_by = self._ended_by or (
                    "silence" if isinstance(error, TimeoutError) else "network"
                )
                self._wait = min(2.0, 0.1 * 2**self._failures) * self.chance.uniform(0.5, 1.0)
            await asyncio.sleep(self._wait)
            self._wait = 0.0

    def _closed(self, closed: websockets.ConnectionClosed) -> None:
        code = closed.rcvd.code if closed.rcvd else 1006
        self._ended_by = self._ended_by or str(code)
        if code in {1008, 4001, 4003}:
            self.refused[str(code)] += 1
        if not self._wait:  # a `reconnect` frame has said how long
            self._wait = (
                self.chance.uniform(1.0, 2.0) if code in {1008, 1013} else self.chance.uniform(0.05, 0.5)
            )

    async def _sleep(self) -> None:
        self._ended_by = self._ended_by or "drop"
        seconds = OFFLINE_SECONDS
        if self.chance.random() < LONG_SHARE:
            seconds = self.chance.uniform(*LONG_OFFLINE_SECONDS)
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await self.settling.wait()
        except TimeoutError:
            pass
        self.offline.append((began, time.monotonic()))

    async def _connection(self) -> None:
        began = time.monotonic()
        self.state.connecting(began, began - self._left_at if self._left_at else 0.0)
        socket = await connect(
            self._url(),
            subprotocols=[Subprotocol(self.shape.encoding), Subprotocol(f"bearer.{self.person.token}")],
            compression=None,
            max_size=2**24,
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
            ping_interval=None,
            proxy=None,
        )
        try:
            await self._greet(socket)
            await self._converse(socket)
        except Dropped:
            if self.chance.random() < 0.5:
                await socket.close()
            raise
        finally:
            if self.connected:
                self.connected, self._left_at = False, time.monotonic()
            socket.transport.abort()

    def _url(self) -> str:
        server = self.chance.choice(self.servers)
        path = "/api/v1/ws/engagement"
        parameters: dict[str, str] = {}
        if self.shape.route == "client":
            path = f"/api/v1/ws/client/{self.selection()[0]}/engagement"
        if self.shape.route == "selected":
            parameters["scope"] = "selected"
        if self.shape.batches:
            parameters["batch"] = "1"
        if self._in_query() and self.state.records:
            positions = self.state.positions().items()
            parameters["positions"] = ",".join(f"{stream}:{seq}" for stream, seq in positions)
            parameters["epoch"] = self.state.epoch or ""
        return f"{server}{path}?{urlencode(parameters)}"

    def _in_query(self) -> bool:
        return self.shape.resumes_in_query and self.shape.route != "selected"

    async def _greet(self, socket: ClientConnection) -> None:
        """Take the first frame; subscribe; resume."""
        hello = self._decode(await asyncio.wait_for(socket.recv(), OPEN_SECONDS))
        if hello["type"] != "connection":
            self.refused[hello.get("code", hello["type"])] += 1
            await asyncio.wait_for(socket.recv(), OPEN_SECONDS)  # raises the close that follows
            return
        again = bool(self.state.records)
        if self.shape.route == "selected":
            for client in self.selection():
                await socket.send(self._encode({"type": "subscribe", "client_id": client}))
                answer = await self._answer(socket, "subscribed")
                self.state.begin(answer["stream"], answer["seq"])
        for stream, position in hello["positions"].items():
            self.state.begin(stream, position)
        if again:
            if not self._in_query():
                positions = self.state.positions()
                self.state.resuming(time.monotonic())
                frame = {"type": "resume", "positions": positions, "epoch": self.state.epoch}
                await socket.send(self._encode(frame))
            self.reconnects.append((time.monotonic(), self._ended_by))
        self._ended_by = ""
        self.state.epoch = self.state.epoch or hello["epoch"]
        self._failures = 0
        self.connected = True

    async def _answer(self, socket: ClientConnection, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(OPEN_SECONDS):
            while True:
                frame: dict[str, Any] = self._decode(await socket.recv())
                if frame["type"] == kind:
                    return frame
                self.state.take(frame, time.monotonic())

    async def _converse(self, socket: ClientConnection) -> None:
        now = time.monotonic()
        drop_at = now + self.chance.uniform(*ONLINE_SECONDS)
        ping_at, heard_at, pinged_at = now + PING_SECONDS * self.chance.random(), now, 0.0
        while True:
            now = time.monotonic()
            if now >= drop_at and not self.settling.is_set():
                raise Dropped
            if pinged_at > heard_at and now - pinged_at > self.shape.patience:
                raise TimeoutError("the server is silent")
            if now >= ping_at:
                await socket.send(self._encode({"type": "ping", "positions": self.state.positions()}))
                pinged_at, ping_at = now, now + PING_SECONDS
            try:
                async with asyncio.timeout(0.5):
                    raw = await socket.recv()
            except TimeoutError:
                continue
            heard_at = time.monotonic()
            frame = self._decode(raw)
            if frame["type"] == "reconnect":
                self._wait = frame["after_ms"] / 1000
            elif frame["type"] == "error":
                self.refused[frame["code"]] += 1
            else:
                self.state.take(frame, heard_at)

    def _encode(self, frame: dict[str, Any]) -> str | bytes:
        if self.shape.encoding.endswith("+msgpack"):
            return msgspec.msgpack.encode(frame)
        return msgspec.json.encode(frame).decode()

    def _decode(self, raw: str | bytes) -> Any:
        if isinstance(raw, str):
            return msgspec.json.decode(raw)
        if self.shape.encoding.endswith("+msgpack"):
            return msgspec.msgpack.decode(raw)
        return msgspec.json.decode(zlib.decompress(raw))

    def log(self) -> Log:
        """Return what it did and got."""
        return Log(
            number=self.shape.number,
            allowed=self.allowed(),
            records=list(self.state.records.values()),
            replays=self.state.replays,
            foreign=self.state.foreign,
            reconnects=self.reconnects,
            offline=self.offline,
            refused=dict(self.refused),
            failed_attempts=self.failed_attempts,
        )


def fingerprint(type_: str, client_id: str, data: Any) -> int:
    """Return what `world.fingerprint` returns."""
    return zlib.crc32(msgspec.json.encode([type_, client_id, data], order="deterministic"))


async def watch(folder: Path) -> None:
    """Run all clients until told to end."""
    brief = msgspec.json.decode((folder / "brief.json").read_bytes(), type=Brief)
    clients = [Client(brief, shape) for shape in brief.watchers]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    report = Report()
    final = folder / "final.json"
    limit = time.monotonic() + brief.seconds * 2 + 180
    async for _ in seconds():
        report.connected.append((time.monotonic(), sum(client.connected for client in clients)))
        if final.exists() or time.monotonic() > limit:
            break
    heads = msgspec.json.decode(final.read_bytes(), type=dict[str, int]) if final.exists() else {}
    for client in clients:
        client.settling.set()
    deadline = time.monotonic() + SETTLE_SECONDS
    while not report.level and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        report.level = all(
            client.state.records
            and all(at >= heads.get(stream, 0) for stream, at in client.state.positions().items())
            for client in clients
        )
    await asyncio.sleep(0.5)  # what comes twice comes now
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    report.logs = [client.log() for client in clients]
    (folder / "records.json").write_bytes(msgspec.json.encode(report))


async def seconds() -> AsyncIterator[None]:
    """Yield once a second."""
    while True:
        yield
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(watch(Path(sys.argv[1])))
