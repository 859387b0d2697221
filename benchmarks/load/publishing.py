"""How events get into a server under test, each by the way it offers. All write and go on; none waits for an answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgpack

from benchmarks.load.receiving import stamp

FRAME_BYTES = 770
"""Length of an event's JSON frame."""

CLIENT = str(uuid.UUID(int=0x1234_5678_9ABC_DEF0_1234_5678_9ABC_DEF0))
MSP_STREAM = f"msp.{CLIENT}"


def details(filler: str) -> str:
    """Return an event's text: when it was sent, and filler."""
    return f"{stamp(time.monotonic_ns())} {filler}"


def event(seq: int, stream: str, filler: str) -> dict[str, Any]:
    """Return an event as its frame says it."""
    return {
        "type": "alert",
        "client_id": CLIENT,
        "stream": stream,
        "seq": seq,
        "timestamp": datetime.now(UTC).isoformat(),
        "data": {"severity": "high", "details": details(filler), "app": "ChatGPT"},
    }


FILLER = "x" * (FRAME_BYTES - len(json.dumps(event(100_000, MSP_STREAM, ""), separators=(",", ":"))))


class Publisher:
    """Sends events one by one, into one stream after the other."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.streams = itertools.cycle(order.get("streams", [MSP_STREAM]))
        self.seqs: dict[str, int] = dict(order.get("heads", {}))

    async def open(self) -> None:
        """Connect."""

    def close(self) -> None:
        """Disconnect."""

    def publish(self) -> None:
        """Send one event."""
        stream = next(self.streams)
        seq = self.seqs[stream] = self.seqs.get(stream, 0) + 1
        self.send(stream, seq)

    def send(self, stream: str, seq: int) -> None:
        raise NotImplementedError


class Discard(asyncio.Protocol):
    """Reads answers away."""

    def __init__(self) -> None:
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.first.done():
            self.first.set_result(data)


class OnTransport(Publisher):
    """A publisher that writes to one TCP connection."""

    transport: asyncio.Transport
    protocol: Discard

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.transport, self.protocol = await loop.create_connection(Discard, "127.0.0.1", self.order["port"])

    def close(self) -> None:
        self.transport.close()


class Redis(OnTransport):
    """PUBLISH to the channel of a group, as channels_redis' pub/sub layer does it."""

    async def open(self) -> None:
        url = urlsplit(self.order["redis"])
        self.order["port"] = url.port
        await super().open()
        self.transport.write(_resp(b"AUTH", (url.password or "").encode()))
        answer = await asyncio.wait_for(self.protocol.first, 5)
        if not answer.startswith(b"+OK"):
            raise ConnectionError(f"Redis: {answer!r}")

    def publish_message(self, group: str, message: dict[str, Any]) -> None:
        channel = f"{self.order['prefix']}__group__{group}".encode()
        self.transport.write(_resp(b"PUBLISH", channel, msgpack.packb(message)))


class Announcement(Redis):
    """An announcement of the portal's publisher: one event in a message to a stream's group."""

    def send(self, stream: str, seq: int) -> None:
        made = event(seq, stream, FILLER)
        data = json.dumps(made["data"], separators=(",", ":"))
        announced = (seq, seq, "alert", CLIENT, "high", made["timestamp"], data)
        self.publish_message(stream, {"type": "stream.events", "stream": stream, "events": [announced]})


class TutorialGroup(Redis):
    """A `group_send` to the consumers of the tutorial, over the pub/sub layer."""

    def send(self, stream: str, seq: int) -> None:
        self.publish_message("events", {"type": "portal.event", "event": event(seq, stream, FILLER)})


class TutorialCore(Publisher):
    """The same over the core layer: `group_send` is a script in Redis that writes to every member's queue."""

    async def open(self) -> None:
        from channels_redis.core import RedisChannelLayer

        self.layer = RedisChannelLayer(hosts=[self.order["redis"]], prefix=self.order["prefix"])
        self.running: set[asyncio.Task[None]] = set()

    def send(self, stream: str, seq: int) -> None:
        message = {"type": "portal.event", "event": event(seq, stream, FILLER)}
        task = asyncio.get_running_loop().create_task(self.layer.group_send("events", message))
        self.running.add(task)
        task.add_done_callback(self.running.discard)


class Inlet(OnTransport):
    """A line of JSON to a peer's inlet: the cheapest way into a server, so no peer is charged for it."""

    def send(self, stream: str, seq: int) -> None:
        self.transport.write(json.dumps(event(seq, stream, FILLER), separators=(",", ":")).encode() + b"\n")


class Nchan(OnTransport):
    """A POST to nchan's publisher location, on one connection."""

    def send(self, stream: str, seq: int) -> None:
        body = json.dumps(event(seq, stream, FILLER), separators=(",", ":")).encode()
        head = f"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


KINDS: dict[str, type[Publisher]] = {
    "announcement": Announcement,
    "tutorial-pubsub": TutorialGroup,
    "tutorial-core": TutorialCore,
    "inlet": Inlet,
    "nchan": Nchan,
}


def _resp(*parts: bytes) -> bytes:
    """Return a command in Redis's protocol."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
