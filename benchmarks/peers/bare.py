"""The limit: a loop on uvloop that writes one prepared frame to each socket, and does nothing else.

With `batch`, what was read from the inlet at once goes out as one frame. No authentication, no JSON, no
back-pressure, no order kept but TCP's: what a Python server could do if it had nothing to do.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys

import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
sockets: set[asyncio.Transport] = set()


class Socket(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.head = b""

    def data_received(self, data: bytes) -> None:
        if self.transport in sockets:
            return
        self.head += data
        if b"\r\n\r\n" in self.head:
            key = self.head.lower().index(b"sec-websocket-key:")
            value = self.head[key:].split(b"\r\n", 1)[0].split(b":", 1)[1].strip()
            accept = base64.b64encode(hashlib.sha1(value + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            sockets.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        sockets.discard(self.transport)


class Inlet(asyncio.Protocol):
    def __init__(self) -> None:
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        if BATCH and lines:
            lines = [b'{"type":"batch","messages":[' + b",".join(lines) + b"]}"]
        for line in lines:
            made = frame(line)
            for transport in sockets:
                transport.write(made)


def frame(payload: bytes) -> bytes:
    """Return a text frame."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 2**16:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


async def main() -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Socket, "127.0.0.1", int(os.environ["PORT"]), backlog=4096)
    await loop.create_server(Inlet, "127.0.0.1", int(os.environ["INLET_PORT"]))
    await asyncio.Event().wait()


BATCH = "batch" in sys.argv
uvloop.run(main())
