"""Sockets that count events and take their time, with no WebSocket library in the way.

Every event carries `MARK` and the nanosecond of the monotonic clock at which it was sent (one clock for all
processes of a machine). Counting marks in what arrives counts events in single frames and in batches alike.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
import zlib
from array import array
from typing import Any

MARK = b"sent:"
DIGITS = 19
STAMP = len(MARK) + DIGITS
NEAREST = 720
"""Bytes from one mark to the next in what is counted without its times, at least: so many need not be looked at."""

MARKS = re.compile(rb"(?s:%b().{0,%d})" % (MARK, NEAREST - len(MARK)))
"""A mark and what follows it. The empty group is what `findall` returns of each: nothing is copied."""

READ_BYTES = 256 * 1024
PAYLOADS_KEPT = 64


class Tally:
    """What all sockets of a run have received."""

    def __init__(self) -> None:
        self.delivered = 0
        self.bytes = 0
        self.closed = 0
        self.timing = False
        self.latencies = array("q")
        """Nanoseconds from an event's stamp to its receipt, in timing mode."""
        self.buffer = bytearray(READ_BYTES)
        self.view = memoryview(self.buffer)
        self.payloads: dict[bytes, tuple[int, list[int]]] = {}
        self.known: dict[bytes, tuple[list[int], bytes]] = {}
        """What was read lately: found once for all sockets that receive the same, as the cores are the servers' too."""

    def read(self, data: bytes) -> tuple[list[int], bytes]:
        """Return the stamps in what a socket received, and its end, which may be half of one; and keep it."""
        stamps, end = _stamps(data)
        if len(self.known) >= PAYLOADS_KEPT:
            self.known.clear()
        known = self.known[data] = stamps, data[max(end, len(data) - STAMP + 1) :]
        return known

    def time(self, stamps: list[int]) -> None:
        """Take the latency of each event that arrived."""
        now = time.monotonic_ns()
        for stamp in stamps:
            self.latencies.append(now - stamp)


class Socket(asyncio.BufferedProtocol):
    """One connection: the handshake, then marks. All sockets read into one buffer, each at its turn."""

    def __init__(self, tally: Tally, request: bytes, ready_mark: bytes, hello: bytes) -> None:
        self._tally = tally
        self._request = request
        self._ready_mark = ready_mark
        self._hello = hello
        self._tail = b""
        self._is_ready = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"closed in the handshake: {self._tail[-300:]!r}"))
        self._tally.closed += 1

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._tally.view

    def buffer_updated(self, nbytes: int) -> None:
        tally = self._tally
        tally.bytes += nbytes
        if not self._is_ready:
            self._shake_hands(bytes(tally.view[:nbytes]))
        elif tally.buffer[0] == 0x89 and nbytes < 132:  # a ping on a quiet socket
            self.transport.write(_masked(0xA, bytes(tally.view[2:nbytes])))
        elif tally.timing:
            self.take(tally.buffer[:nbytes])
        else:
            self._count(tally.buffer, nbytes)

    def reset(self) -> None:
        """Forget half an event: nothing is on the way."""
        self._tail = b""

    def _shake_hands(self, chunk: bytes) -> None:
        self._tail += chunk
        if self._hello and b"\r\n\r\n" in self._tail:
            self.transport.write(_masked(0x1, self._hello))
            self._hello = b""
        if not self._tail.startswith(b"HTTP/1.1 101"[: len(self._tail)]):
            self.transport.close()
            return
        found = self._tail.find(self._ready_mark)
        if found >= 0:
            rest, self._tail = self._tail[found + len(self._ready_mark) :], b""
            self.ready.set_result(None)
            self._is_ready = True
            if rest:
                self.take(rest)

    def _count(self, buffer: bytearray, nbytes: int) -> None:
        edge = len(MARK) - 1
        seam = self._tail + buffer[: min(edge, nbytes)]
        found = len(MARKS.findall(buffer, 0, nbytes)) + seam.count(MARK)
        self._tail = seam[-edge:] if nbytes < edge else bytes(buffer[nbytes - edge : nbytes])
        self._tally.delivered += found

    def take(self, chunk: bytes | bytearray) -> None:
        """Count what arrived and take its latency."""
        tally, data = self._tally, self._tail + chunk
        stamps, self._tail = tally.known.get(data) or tally.read(data)
        tally.delivered += len(stamps)
        if stamps:
            tally.time(stamps)


class FrameSocket(Socket):
    """The same for compressed frames: cuts the stream into frames and inflates each payload once for all sockets."""

    def buffer_updated(self, nbytes: int) -> None:
        self._tally.bytes += nbytes
        chunk = bytes(self._tally.view[:nbytes])
        if self.ready.done():
            self.take(chunk)
        else:
            self._shake_hands(chunk)

    def take(self, chunk: bytes) -> None:
        data = self._tail + chunk
        at = 0
        while (frame := _frame(data, at)) is not None:
            opcode, start, at = frame
            payload = data[start:at]
            if opcode == 0x9:
                self.transport.write(_masked(0xA, payload))
            elif opcode in {0x1, 0x2}:
                self._payload(opcode, payload)
        self._tail = data[at:]

    def _payload(self, opcode: int, payload: bytes) -> None:
        kept = self._tally.payloads.get(payload)
        if kept is None:
            text = zlib.decompress(payload) if opcode == 0x2 else payload
            stamps, _ = _stamps(text)
            kept = (len(stamps), stamps)
            if len(self._tally.payloads) >= PAYLOADS_KEPT:
                self._tally.payloads.clear()
            self._tally.payloads[payload] = kept
        self._tally.delivered += kept[0]
        if self._tally.timing and kept[1]:
            self._tally.time(kept[1])


def stamp(nanoseconds: int) -> str:
    """Return the mark of an event that is sent at this time of the monotonic clock."""
    return f"{MARK.decode()}{nanoseconds:0{DIGITS}d}"


def _stamps(data: bytes) -> tuple[list[int], int]:
    """Return the stamps in `data`, and where the last one ends."""
    stamps, at = [], 0
    while (found := data.find(MARK, at)) >= 0 and found + STAMP <= len(data):
        at = found + STAMP
        stamps.append(int(data[found + len(MARK) : at]))
    return stamps, (at if found < 0 else max(at, found))


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return (opcode, begin, end) of the payload of the frame at `at`; None where it is not all there.

    Servers send no masks (RFC 6455, 5.1), and none of ours sends fragments.
    """
    if len(data) < at + 2:
        return None
    length, start = data[at + 1] & 0x7F, at + 2
    if length == 126:
        length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
    elif length == 127:
        length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
    return (
        (data[at] & 0x0F, start, start + length)
        if len(data) >= start + length and len(data) >= start
        else None
    )


def _masked(opcode: int, payload: bytes) -> bytes:
    """Return a short client frame (a mask of zeros leaves the payload as it is)."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def request(port: int, path: str, headers: dict[str, str]) -> bytes:
    """Return a WebSocket handshake."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
