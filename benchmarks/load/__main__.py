"""Orders in, answers out: one JSON object a line, on standard input and output.

`connect`  open sockets            → connected, seconds, failed
`press`    publish as fast as it takes, a bounded number of events ahead → delivered a second
`offer`    publish at a fixed rate → latencies
`watch`    publish nothing, take what others send until `expected` are there
`close`    close all sockets
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from typing import Any

import uvloop

from benchmarks.load import publishing
from benchmarks.load.receiving import FrameSocket, Socket, Tally, request

WARM_UP_SECONDS = 1.0
LEAST_WINDOW = 8
WINDOW_SECONDS = 1.0
"""Events are published ahead of the sockets for so long at the rate that holds, so a slow server is not buried."""

SETTLE_SECONDS = 10.0
STALL_SECONDS = 1.0
"""With nothing arriving for so long, what is outstanding counts as lost."""

IDLE = 0.0005
"""Seconds between looks at what arrived: an event set at each delivery would cost what is measured."""

WATCHING = 0.01
"""The same where nothing is published: the cores are for those who do."""


class Client:
    """The sockets of the server under test, and what they received."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.sockets: list[Socket] = []

    async def connect(self, order: dict[str, Any]) -> dict[str, Any]:
        """Open sockets for `routes` (path, headers, count), `at_once` handshakes at a time."""
        loop = asyncio.get_running_loop()
        port, kind = order["port"], FrameSocket if order.get("frames") else Socket
        ready_mark, hello = order.get("ready", "\r\n\r\n").encode(), order.get("hello", "").encode()
        turns = asyncio.Semaphore(order.get("at_once", 50))
        failures: list[str] = []
        self.tally.timing = bool(order.get("timing"))

        async def one(path: str, headers: dict[str, str]) -> None:
            async with turns:
                try:
                    _, socket = await loop.create_connection(
                        lambda: kind(self.tally, request(port, path, headers), ready_mark, hello),
                        "127.0.0.1",
                        port,
                    )
                    await asyncio.wait_for(asyncio.shield(socket.ready), order.get("timeout", 120))
                except (OSError, TimeoutError) as error:
                    failures.append(repr(error))
                else:
                    self.sockets.append(socket)

        started = time.perf_counter()
        routes = order["routes"]
        await asyncio.gather(
            *(
                one(route["path"], route.get("headers", {}))
                for route in routes
                for _ in range(route.get("count", 1))
            )
        )
        return {
            "connected": len(self.sockets),
            "seconds": time.perf_counter() - started,
            "failed": len(failures),
            "first_failure": failures[0] if failures else None,
        }

    async def press(self, order: dict[str, Any]) -> dict[str, Any]:
        """Publish for `seconds`, at most `window` events ahead of the sockets; `fan_out` sockets get each."""
        publisher = await self._begin(order, timing=False)
        fan_out, most = order["fan_out"], order["window"] * order["fan_out"]
        tally, published, lost = self.tally, 0, 0
        room = min(most, LEAST_WINDOW * fan_out)
        started = seen_at = time.perf_counter()
        warm_at, end_at = started + WARM_UP_SECONDS, started + WARM_UP_SECONDS + order["seconds"]
        warm: tuple[float, int, int] | None = None
        seen = 0
        while (now := time.perf_counter()) < end_at:
            if warm is None and now >= warm_at:
                warm = (now, tally.delivered, tally.bytes)
            if tally.delivered != seen:
                seen, seen_at = tally.delivered, now
            rate = tally.delivered / (now - started)
            room = min(most, max(LEAST_WINDOW * fan_out, int(rate * WINDOW_SECONDS)))
            outstanding = published * fan_out - lost - tally.delivered
            if outstanding < room:
                for _ in range(min(50, (room - outstanding) // fan_out + 1)):
                    publisher.publish()
                    published += 1
                await asyncio.sleep(0)
            elif now - seen_at > STALL_SECONDS:
                lost, seen_at = lost + outstanding, now
            else:
                await asyncio.sleep(IDLE)
        if warm is None:
            raise RuntimeError("No round is shorter than its warm-up.")
        took, delivered, read = now - warm[0], tally.delivered - warm[1], tally.bytes - warm[2]
        await self._settle(published * fan_out)
        publisher.close()
        return {
            "per_second": delivered / took,
            "bytes_per_delivery": read / max(1, delivered),
            "published": published,
            "delivered": tally.delivered,
            "missing": published * fan_out - tally.delivered,
            "heads": publisher.seqs,
            "closed": tally.closed,
        }

    async def offer(self, order: dict[str, Any]) -> dict[str, Any]:
        """Publish `events_per_second` for `seconds`, evenly, whatever arrives; return latencies."""
        publisher = await self._begin(order, timing=True)
        rate, published = order["events_per_second"], 0
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < order["seconds"]:
            while published <= elapsed * rate:
                publisher.publish()
                published += 1
            await asyncio.sleep(min(0.002, max(0.0, published / rate - elapsed)))
        in_time = self.tally.delivered
        await self._settle(published * order["fan_out"])
        publisher.close()
        return {
            "published": published,
            "delivered": self.tally.delivered,
            "delivered_in_time": in_time,
            "missing": published * order["fan_out"] - self.tally.delivered,
            "heads": publisher.seqs,
            "closed": self.tally.closed,
            **self._latencies(),
        }

    async def watch(self, order: dict[str, Any]) -> dict[str, Any]:
        """Take what others send until `expected` events are there, or `seconds` are over; `fresh` forgets what came."""
        if order.get("fresh", True):
            self._reset(timing=True)
        started = time.perf_counter()
        while time.perf_counter() - started < order["seconds"]:
            if self.tally.delivered >= order["expected"]:
                break
            await asyncio.sleep(WATCHING)
        return {
            "delivered": self.tally.delivered,
            "missing": order["expected"] - self.tally.delivered,
            "seconds": time.perf_counter() - started,
            "closed": self.tally.closed,
            **self._latencies(),
        }

    async def close(self, order: dict[str, Any]) -> dict[str, Any]:
        """Drop all sockets."""
        for socket in self.sockets:
            socket.transport.abort()
        self.sockets.clear()
        self.tally = Tally()
        return {}

    async def _begin(self, order: dict[str, Any], *, timing: bool) -> publishing.Publisher:
        self._reset(timing=timing)
        publisher = publishing.KINDS[order["publisher"]["kind"]](order["publisher"])
        await publisher.open()
        return publisher

    def _reset(self, *, timing: bool) -> None:
        self.tally.delivered = self.tally.bytes = 0
        self.tally.timing = timing
        self.tally.latencies = array("q")
        for socket in self.sockets:
            socket.reset()

    async def _settle(self, expected: int) -> None:
        """Wait until all is there, or nothing more comes, or it takes too long."""
        seen, seen_at = -1, time.perf_counter()
        end_at = seen_at + SETTLE_SECONDS
        while self.tally.delivered < expected and (now := time.perf_counter()) < end_at:
            if self.tally.delivered != seen:
                seen, seen_at = self.tally.delivered, now
            elif now - seen_at > STALL_SECONDS:
                break
            await asyncio.sleep(0.005)

    def _latencies(self) -> dict[str, Any]:
        ordered = sorted(self.tally.latencies)
        if not ordered:
            return {}
        return {
            f"p{share}_ms": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] / 1e6
            for share in (50, 95, 99)
        } | {"max_ms": ordered[-1] / 1e6}


async def main() -> None:
    """Obey until standard input ends."""
    client = Client()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        do = {
            "connect": client.connect,
            "press": client.press,
            "offer": client.offer,
            "watch": client.watch,
            "close": client.close,
        }[order["do"]]
        try:
            answer = await do(order)
        except Exception as error:  # the other end raises it
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


uvloop.run(main())
