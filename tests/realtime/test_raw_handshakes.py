"""Handshakes as no library sends them: by hand, byte by byte, with frames behind them, too long, too old."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from benchmarks.attacks import CONTINUATION, TEXT, Target, handshake, masked
from realtime.hub.limits import Counts
from realtime.server import http
from realtime.server.daphne import EARLY_BYTES, WebSocketProtocol
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

PING = b'{"type":"ping","ref":1}'


@pytest.fixture
def target(tenant):
    return lambda server: Target("127.0.0.1", server.port, token_for(tenant.msp_user))


async def answer(target, *parts: str | bytes) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """Send `parts` in one go each; return the answer's header."""
    reader, writer = await target.tcp("127.0.0.1")
    for part in parts:
        writer.write(part if isinstance(part, bytes) else part.encode())
        await writer.drain()
        await asyncio.sleep(0.05)
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10), reader, writer


async def texts(reader: asyncio.StreamReader, count: int) -> list[dict]:
    """Return the objects of the next `count` text frames."""
    found = []
    while len(found) < count:
        first, length = await asyncio.wait_for(reader.readexactly(2), 10)
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        payload = await reader.readexactly(length)
        if first & 0xF == TEXT:
            found.append(json.loads(payload))
    return found


def early(target) -> dict[str, tuple[bytes, ...]]:
    shake, frame = handshake(target).encode(), masked(TEXT, PING)
    return {
        "in the same segment": (shake + frame,),
        "half of it in the same segment": (shake + frame[:7], frame[7:]),
        "while the handshake is under way": (shake, frame),
        "in fragments": (shake + masked(TEXT, PING[:3], final=False) + masked(CONTINUATION, PING[3:]),),
        "in two segments of the header": (shake[:50], shake[50:] + frame),
    }


async def test_a_frame_that_comes_with_the_handshake_is_read(target, daphne, subtests):
    """uvicorn leaves it out; RFC 6455, 4.1, has a client wait for the answer."""
    for name, parts in early(target(daphne)).items():
        with subtests.test(name):
            header, reader, writer = await answer(target(daphne), *parts)
            assert header.startswith(b"HTTP/1.1 101 ")
            hello, pong = await texts(reader, 2)
            assert (hello["type"], pong["type"], pong["ref"]) == ("connection", "pong", 1)
            writer.close()


async def test_a_second_handshake_is_data_and_no_handshake(target, daphne):
    begin = len(daphne.log_text())
    shake = handshake(target(daphne))
    header, reader, writer = await answer(target(daphne), shake + shake)
    assert header.startswith(b"HTTP/1.1 101 ")
    rest = await asyncio.wait_for(reader.read(), 10)
    assert b"HTTP/1.1" not in rest
    assert (1002).to_bytes(2) in rest  # "G" is a frame with reserved bits
    writer.close()
    assert "Traceback" not in daphne.log_text()[begin:]


def test_what_comes_before_the_accept_is_bounded():
    ended = []
    protocol = WebSocketProtocol()
    protocol.dropConnection = lambda abort: ended.append(abort)
    protocol._is_asking, protocol.data = True, b"\r\n\r\n" + b"x" * (EARLY_BYTES - 4)
    protocol.processHandshake()
    assert ended == []
    protocol.data += b"x"
    protocol.processHandshake()
    assert ended == [True]


async def test_an_upgrade_by_http_1_0_is_refused(target, daphne):
    header, _, writer = await answer(target(daphne), handshake(target(daphne), version="HTTP/1.0"))
    assert header.split()[1] == b"505"
    writer.close()


async def test_a_header_that_is_too_long_is_told_so(target, daphne, subtests):
    short = handshake(target(daphne)).removesuffix("\r\n")
    for name, request, status in (
        ("one line", short + f"X-Long: {'x' * 20_000}\r\n\r\n", 431),
        ("one line without an end", short + f"X-Long: {'x' * 40_000}", 431),
        ("many lines", short + "X-Long: y\r\n" * 5000 + "\r\n", 431),
        ("the address", f"GET /{'x' * 20_000} HTTP/1.1\r\n\r\n", 414),
        ("a megabyte", short + f"X-Long: {'x' * 2**20}\r\n\r\n", 431),
        ("nonsense", "nonsense\r\n\r\n", 400),
    ):
        with subtests.test(name):
            header, reader, writer = await answer(target(daphne), request)
            assert header.startswith(f"HTTP/1.1 {status} ".encode())
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()


async def test_a_huge_body_is_refused_while_it_comes(target, daphne):
    head = "POST /api/v1/auth/token/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\n"
    reader, writer = await target(daphne).tcp("127.0.0.1")
    writer.write(head.encode() + b"x" * 12_000_000)
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 413 ")
    writer.close()


class Transport(StringTransport):
    """A transport in memory that tells how it was ended."""

    ended = ""

    def loseWriteConnection(self) -> None:  # noqa: N802
        self.ended = "half"

    def abortConnection(self) -> None:  # noqa: N802
        self.ended = "aborted"

    def loseConnection(self) -> None:  # noqa: N802
        self.ended = "closed"


class Wired(http.Channel):
    """A channel whose requests wait for their answer."""

    def __init__(self, clock: Clock, half_open: Counts) -> None:
        super().__init__()
        self.callLater = clock.callLater
        self.factory = SimpleNamespace(
            server=SimpleNamespace(
                half_open=half_open, protocol_connected=lambda _: None, protocol_disconnected=lambda _: None
            )
        )
        self.timeOut = None
        self.requestsReceived = 0
        transport = Transport()
        transport.protocol = self
        self.makeConnection(transport)
        self.requestFactory = _Waiting


class _Waiting(http.Request):
    def process(self) -> None:
        self.channel.requestsReceived += 1


class TestArriving:
    """With a clock of its own."""

    def channel(self):
        self.clock, self.half_open = Clock(), Counts()
        return Wired(self.clock, self.half_open)

    def drip(self, channel, data: bytes, pause: float) -> None:
        for byte in data:
            channel.dataReceived(bytes([byte]))
            self.clock.advance(pause)

    def test_a_header_byte_by_byte_ends_when_its_time_is_over(self):
        channel = self.channel()
        begun = self.clock.seconds()
        self.drip(channel, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"x" * 10, 1.0)
        assert channel.transport.value().startswith(b"HTTP/1.1 408 ")
        assert channel.transport.ended in {"half", "aborted"}
        assert self.clock.seconds() - begun >= http.HEADER_SECONDS
        self.clock.advance(http.REFUSED_SECONDS)
        assert channel.transport.ended == "aborted"

    def test_a_body_byte_by_byte_too(self):
        channel = self.channel()
        channel.dataReceived(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        self.drip(channel, b"x" * 70, 1.0)
        assert channel.transport.value().startswith(b"HTTP/1.1 408 ")

    def test_nothing_at_all_is_closed_without_a_word(self):
        channel = self.channel()
        self.clock.advance(http.HEADER_SECONDS)
        assert (channel.transport.value(), channel.transport.ended) == (b"", "closed")

    def test_a_slow_answer_has_no_time_limit_and_a_slow_second_request_has(self):
        channel = self.channel()
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        channel.dataReceived(request)
        self.clock.advance(1000)
        channel.dataReceived(request[:5])  # sent ahead
        self.clock.advance(1000)
        assert (channel.requestsReceived, channel.transport.ended) == (1, "")
        channel.requestDone(channel.requests[0])
        self.clock.advance(http.IDLE_SECONDS - 1)
        self.drip(channel, request[5:10], 1)
        self.drip(channel, b"x" * 20, 1.0)
        assert channel.transport.value().startswith(b"HTTP/1.1 408 ")

    def test_half_open_ones_of_an_address_are_bounded_and_counted_out(self, monkeypatch):
        monkeypatch.setattr(http, "HALF_OPEN_PER_ADDRESS", 3)
        clock, half_open = Clock(), Counts()
        channels = [Wired(clock, half_open) for _ in range(5)]
        assert [channel.transport.ended for channel in channels] == ["", "", "", "aborted", "aborted"]
        for channel in channels[3:]:
            channel.connectionLost(None)
        channels[0].dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert Wired(clock, half_open).transport.ended == ""
        channels[1].connectionLost(None)
        clock.advance(http.HEADER_SECONDS)
        for channel in channels:
            channel.connectionLost(None)


async def test_a_dripped_header_holds_up_nobody(target, daphne):
    """Two hundred of them, and a handshake as it should be."""
    shake = handshake(target(daphne)).encode()
    slow = [await target(daphne).tcp("127.0.0.1") for _ in range(200)]
    for _, writer in slow:
        writer.write(shake[:60])
    begun = time.monotonic()
    header, reader, writer = await answer(target(daphne), shake)
    assert header.startswith(b"HTTP/1.1 101 ")
    assert time.monotonic() - begun < 10
    assert (await texts(reader, 1))[0]["type"] == "connection"
    for _, each in [*slow, (reader, writer)]:
        each.close()
