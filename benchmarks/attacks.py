"""`python -m benchmarks.attacks`: what a neighbour of another tenant notices of attacks on the portal.

The neighbour asks the REST API and pings its sockets all the while, first alone, then under each attack. An attack
runs in a process and from addresses of its own. Bounds: p99 50 ms without, 250 ms during an attack.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import resource
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks import backend
from benchmarks.chaos.judge import percentile
from tests.servers import PortalServer
from tests.servers.portal import ROOT

RESULTS = ROOT / "benchmarks" / "results"
ATTACKER = "127.9.0.1"
ALONE_MS, ATTACKED_MS = 50, 250
SETTLING_SECONDS = 1.0
PING, CONTINUATION, TEXT, CLOSE = 0x9, 0x0, 0x1, 0x8
SOCKETS, PINGS_PER_SECOND = 10, 8
LARGE_ALERTS, LARGEST_DETAILS = 200, 10_000


@dataclass(frozen=True)
class Target:
    """A portal, and a user of the attacker's own tenant there."""

    host: str
    port: int
    token: str
    client_id: str = ""
    large: int = LARGE_ALERTS
    """Alerts of that client, each with the largest details."""

    @property
    def url(self) -> str:
        """Of its pages, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def http(self, address: str = ATTACKER) -> httpx.AsyncClient:
        """Return an HTTP client of the attacker's, from `address`."""
        return httpx.AsyncClient(
            base_url=self.url,
            timeout=60,
            headers={"Authorization": f"Bearer {self.token}"},
            transport=httpx.AsyncHTTPTransport(
                local_address=address, limits=httpx.Limits(max_connections=500)
            ),
        )

    async def tcp(self, address: str = ATTACKER) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection from `address`."""
        return await asyncio.open_connection(self.host, self.port, local_addr=(address, 0))


Outcomes = Counter[str]
Attack = Callable[[Target, Outcomes], Awaitable[None]]
"""Attacks until it is cancelled, and counts how it was answered."""


async def search(target: Target, outcomes: Outcomes) -> None:
    """Searches with thousands of words, and with as many as are taken; eight at a time."""
    texts = ["+".join(["ab"] * 4000), "+".join(f"x{n}y" for n in range(2000)), "+".join("aeiou" + "lmnop")]

    async def ask(text: str) -> None:
        while True:
            answer = await http.get(f"/api/v1/alerts/?search={text}")
            outcomes[str(answer.status_code)] += 1

    async with target.http() as http:
        await asyncio.gather(*(ask(texts[n % len(texts)]) for n in range(8)))


async def sign_ins(target: Target, outcomes: Outcomes) -> None:
    """80 sign-ins at once, again and again."""

    async def sign_in(number: int) -> None:
        credentials = {"username": f"nobody{number}", "password": "a guess"}
        while True:
            answer = await http.post("/api/v1/auth/token/", json=credentials)
            outcomes[str(answer.status_code)] += 1
            await asyncio.sleep(0.2)

    async with target.http() as http:
        await asyncio.gather(*(sign_in(number) for number in range(80)))


async def guesses(target: Target, outcomes: Outcomes) -> None:
    """Guesses at one name from many addresses, a new one for each."""

    async def guess(lane: int) -> None:
        number = 0
        while True:
            number += 1
            async with target.http(f"127.{10 + lane}.{number // 200 % 200}.{1 + number % 200}") as http:
                credentials = {"username": "neighbour", "password": f"guess {number}"}
                answer = await http.post("/api/v1/auth/token/", json=credentials)
                outcomes[str(answer.status_code)] += 1

    await asyncio.gather(*(guess(lane) for lane in range(8)))


async def pings(target: Target, outcomes: Outcomes) -> None:
    """Ten sockets that send WebSocket pings as fast as they are read."""
    frames = masked(PING, b"x" * 100) * 500
    await asyncio.gather(*(_flood(target, outcomes, frames) for _ in range(10)))


async def fragments(target: Target, outcomes: Outcomes) -> None:
    """Messages of empty continuation frames without end, 20,000 at a time, on four sockets."""
    first, frames = masked(TEXT, b"", final=False), masked(CONTINUATION, b"", final=False) * 20_000
    await asyncio.gather(*(_flood(target, outcomes, frames, first) for _ in range(4)))


async def drip(target: Target, outcomes: Outcomes) -> None:
    """300 connections whose header comes byte by byte."""

    async def one() -> None:
        while True:
            reader, writer = await target.tcp()
            try:
                for byte in handshake(target).replace("\r\n\r\n", "\r\nX-Slow: " + "x" * 100_000):
                    writer.write(byte.encode())
                    await asyncio.sleep(0.2)
                    if reader.at_eof():
                        break
                outcomes[await _status(reader)] += 1
            except ConnectionError:
                outcomes["reset"] += 1
            finally:
                writer.close()

    await asyncio.gather(*(one() for _ in range(300)))


async def half_open(target: Target, outcomes: Outcomes) -> None:
    """2,000 handshakes that stop half-way, and stay."""

    async def one() -> None:
        while True:
            try:
                reader, writer = await target.tcp()
            except OSError:
                outcomes["no connection"] += 1
                await asyncio.sleep(1)
                continue
            try:
                writer.write(handshake(target)[:100].encode())
                outcomes[await _status(reader)] += 1
            except ConnectionError:
                outcomes["reset"] += 1
            finally:
                writer.close()
            await asyncio.sleep(0.2)

    await asyncio.gather(*(one() for _ in range(2000)))


async def handshakes(target: Target, outcomes: Outcomes) -> None:
    """Handshakes with a bad token, twenty at a time, as fast as they are refused."""

    async def one() -> None:
        while True:
            try:
                async with connect(
                    f"ws://{target.host}:{target.port}/ws/engagement?token=bad",
                    local_addr=(ATTACKER, 0),
                    compression=None,
                    open_timeout=60,
                ) as socket:
                    outcomes[json.loads(await socket.recv())["code"]] += 1
            except OSError as error:
                outcomes[type(error).__name__] += 1

    await asyncio.gather(*(one() for _ in range(20)))


async def large_pages(target: Target, outcomes: Outcomes) -> None:
    """Six readers of all events of a client whose alerts have the largest details."""
    async with target.http() as http:

        async def read() -> None:
            after = 0
            while True:
                path = f"/api/v1/clients/{target.client_id}/events?after={after}&limit=1000"
                answer = await http.get(path)
                outcomes[str(answer.status_code)] += 1
                events = answer.json().get("events", [])
                after = events[-1]["seq"] if events else 0

        await asyncio.gather(*(read() for _ in range(6)))


async def large_resumes(target: Target, outcomes: Outcomes) -> None:
    """Six sockets that resume, again and again, over alerts with the largest details."""

    async def resume() -> None:
        path = f"/ws/client/{target.client_id}/engagement?batch=1&positions=client.{target.client_id}:0"
        while True:
            async with connect(
                f"ws://{target.host}:{target.port}{path}",
                subprotocols=[Subprotocol("compliance.v1"), Subprotocol(f"bearer.{target.token}")],
                local_addr=(ATTACKER, 0),
                compression=None,
                max_size=2**24,
                open_timeout=60,
            ) as socket:
                got = 0
                while got < target.large:
                    frame = json.loads(await socket.recv())
                    got += len(frame["messages"]) if frame["type"] == "batch" else "seq" in frame
                    if frame["type"] in {"resync", "error"}:
                        break
                outcomes[frame["type"] if got < target.large else "all events"] += 1

    await asyncio.gather(*(resume() for _ in range(6)))


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        search,
        sign_ins,
        guesses,
        pings,
        fragments,
        drip,
        half_open,
        handshakes,
        large_pages,
        large_resumes,
    )
}


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Return a client's frame (RFC 6455, 5.2), masked with zeros."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length)
    return bytes([opcode | (0x80 if final else 0)]) + size + b"\0\0\0\0" + payload


def handshake(target: Target, path: str = "/ws/engagement", version: str = "HTTP/1.1") -> str:
    """Return a socket's handshake as it is sent."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} {version}\r\nHost: {target.host}:{target.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Sec-WebSocket-Protocol: compliance.v1, bearer.{target.token}\r\n\r\n"
    )


async def _flood(target: Target, outcomes: Outcomes, frames: bytes, first: bytes = b"") -> None:
    """Connect and send `first`, then `frames` over and over; count the close codes."""
    while True:
        reader, writer = await target.tcp()
        try:
            writer.write(handshake(target).encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            code = asyncio.ensure_future(_close_code(reader))
            with suppress(ConnectionError):
                while not code.done():
                    writer.write(frames)
                    await writer.drain()
                    await asyncio.sleep(0)
            outcomes[await code] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            outcomes["reset"] += 1
        finally:
            writer.close()


async def _close_code(reader: asyncio.StreamReader) -> str:
    """Read a server's frames up to the close frame; return its code, or how the connection ended without one."""
    try:
        while True:
            first, length = await reader.readexactly(2)
            if length >= 126:
                length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
            payload = await reader.readexactly(length)
            if first & 0xF == CLOSE:
                return str(int.from_bytes(payload[:2]))
    except asyncio.IncompleteReadError:
        return "closed"
    except ConnectionError:
        return "reset"


async def _status(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    return line.split()[1].decode() if line else "closed"


@dataclass
class Neighbour:
    """What somebody of another tenant sees: seconds that each request and each ping took, and other answers."""

    target: Target
    requests: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    failures: Outcomes = field(default_factory=Counter)

    async def live(self, seconds: float) -> None:
        """Ask and ping for a while, and once at least."""
        async with asyncio.timeout(seconds + 60), AsyncExitStack() as stack:
            http = await stack.enter_async_context(self.target.http("127.0.0.1"))
            end = time.monotonic() + seconds
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(http, end))
                for number in range(SOCKETS):
                    group.create_task(self._ping(number, end))

    async def _ask(self, http: httpx.AsyncClient, end: float) -> None:
        for number in range(10**9):
            if number and time.monotonic() > end:
                return
            begun = time.perf_counter()
            answer = await http.get("/api/v1/me" if number % 2 else "/api/v1/alerts/")
            self.requests.append(time.perf_counter() - begun)
            if answer.status_code != 200:
                self.failures[str(answer.status_code)] += 1
            await asyncio.sleep(0.02)

    async def _ping(self, number: int, end: float) -> None:
        async with connect(
            f"ws://{self.target.host}:{self.target.port}/ws/engagement",
            subprotocols=[Subprotocol("compliance.v1"), Subprotocol(f"bearer.{self.target.token}")],
            compression=None,
            open_timeout=30,
            ping_interval=None,
        ) as socket:
            await socket.recv()
            await asyncio.sleep(number / SOCKETS / PINGS_PER_SECOND)
            while True:
                begun = time.perf_counter()
                await socket.send('{"type":"ping"}')
                while json.loads(await socket.recv())["type"] != "pong":
                    pass
                self.pings.append(time.perf_counter() - begun)
                if time.monotonic() > end:
                    return
                await asyncio.sleep(1 / PINGS_PER_SECOND)

    def figures(self) -> dict[str, Any]:
        """Return counts, and shares in milliseconds."""
        return {
            kind: {
                "n": len(values),
                "p50_ms": round((percentile(values, 0.5) or 0) * 1000, 1),
                "p99_ms": round((percentile(values, 0.99) or 0) * 1000, 1),
            }
            for kind, values in (("requests", self.requests), ("pings", self.pings))
        } | {"failures": dict(self.failures)}


def tenants() -> tuple[str, str, str]:
    """Make the neighbour and the attacker, with large alerts. Return their tokens, and the attacker's client.

    Needs Django set up on the server's database.
    """
    from rest_framework_simplejwt.tokens import AccessToken

    from engagement.models import MSP, Alert, Client, User

    made = []
    for name in ("neighbour", "attacker"):
        msp = MSP.objects.create(name=name)
        client = Client.objects.create(msp=msp, name=f"Client of {name}")
        user = User.objects.create(username=name, role="msp_user", msp=msp, password="!")
        made.append((str(AccessToken.for_user(user)), client))
    for _ in range(20):
        Alert.objects.create(client=made[0][1], details="An ordinary alert.")
    for _ in range(LARGE_ALERTS):
        Alert.objects.create(client=made[1][1], details="x" * LARGEST_DETAILS)
    return made[0][0], made[1][0], str(made[1][1].pk)


def measure(
    names: list[str], seconds: float, neighbour: Target, attacker: Target, pid: int
) -> dict[str, Any]:
    """Return the neighbour's figures alone and under each attack."""
    _live(neighbour, 2.0)  # what is imported, opened or compiled at first use
    rows = {"none": _live(neighbour, seconds)}
    for name in names:
        command = [sys.executable, "-m", "benchmarks.attacks", "--be", name]
        attack = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        try:
            attack.stdin.write(json.dumps(asdict(attacker) | {"seconds": seconds + SETTLING_SECONDS}) + "\n")  # type: ignore[union-attr]
            attack.stdin.flush()  # type: ignore[union-attr]
            attack.stdout.readline()  # type: ignore[union-attr]
            time.sleep(SETTLING_SECONDS)
            rows[name] = _live(neighbour, seconds)
            rows[name]["answers"] = json.loads(attack.communicate(timeout=seconds + 60)[0])
        finally:
            attack.kill()
            attack.wait()
        rows[name]["server_mb"] = _megabytes(pid)
        Console(stderr=True).print(name, rows[name])
        time.sleep(SETTLING_SECONDS)
    return rows


def _live(target: Target, seconds: float) -> dict[str, Any]:
    neighbour = Neighbour(target)
    asyncio.run(neighbour.live(seconds))
    return neighbour.figures()


def _megabytes(pid: int) -> int:
    """Return the largest resident size that the server has had, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


async def attack_for(name: str, target: Target, seconds: float) -> Outcomes:
    """Run an attack for a while; return how it was answered."""
    outcomes: Outcomes = Counter()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ATTACKS[name](target, outcomes)
    return outcomes


ONLY_OURS = frozenset({"pings", "fragments"})
"""What only our Daphne bounds: an application under uvicorn sees no frames, only messages."""


def _be(name: str) -> int:
    """Be the attack's process: the target comes as a line of JSON, the answers go out as one."""
    given = json.loads(sys.stdin.readline())
    seconds = given.pop("seconds")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("ready", flush=True)
    print(json.dumps(asyncio.run(attack_for(name, Target(**given), seconds))))
    return 0


def main() -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Attacks: " + "; ".join(f"{name}: {attack.__doc__}" for name, attack in ATTACKS.items()),
    )
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help="which (default: all)")
    parser.add_argument("--backend", choices=backend.NAMES, default="postgres", help="(default: %(default)s)")
    parser.add_argument("--server", choices=("daphne", "uvicorn"), default="daphne")
    parser.add_argument("--seconds", type=float, default=15.0, help="each attack (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="where the figures go (default: benchmarks/results/)")
    parser.add_argument("--be", choices=ATTACKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        return _be(options.be)
    if unknown := set(options.attacks) - ATTACKS.keys():
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    with backend.running(options.backend) as where, ExitStack() as stack:
        portal = PortalServer(
            database_url=where.database_url,
            redis_url=where.redis_url,
            kind=options.server,
            environment={"REALTIME_DRAIN_SECONDS": "0", "LOG_LEVEL": "INFO"},
        )
        stack.callback(portal.close)
        portal.start()
        mine, theirs, client_id = tenants()
        host, port = "127.0.0.1", portal.port
        rows = measure(
            options.attacks
            or [name for name in ATTACKS if options.server == "daphne" or name not in ONLY_OURS],
            options.seconds,
            Target(host, port, mine),
            Target(host, port, theirs, client_id),
            portal.pid,
        )
    figures = {
        "command": f"python -m benchmarks.attacks {' '.join(sys.argv[1:])}".strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "server": options.server,
        "backend": options.backend,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "attacks": rows,
    }
    path = options.json or RESULTS / f"attacks-{options.server}-{options.backend}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    table = Table(title=f"A neighbour's ms under attack, {options.server}, {options.backend}")
    for column in ("attack", "requests p50", "p99", "pings p50", "p99", "n", "answers", "server MB"):
        table.add_column(column)
    for name, row in rows.items():
        table.add_row(
            name,
            *(str(row[kind][share]) for kind in ("requests", "pings") for share in ("p50_ms", "p99_ms")),
            f"{row['requests']['n']}, {row['pings']['n']}",
            json.dumps(row.get("answers", {})),
            str(row.get("server_mb", "")),
        )
    Console(width=160).print(table)
    slow = [
        name
        for name, row in rows.items()
        if row["failures"]
        or max(row[kind]["p99_ms"] for kind in ("requests", "pings"))
        > (ALONE_MS if name == "none" else ATTACKED_MS)
    ]
    if slow:
        print(f"Over the bounds: {', '.join(slow)}.")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
