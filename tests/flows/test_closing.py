"""How a socket ends on TCP, seen by a client that speaks the protocol by hand: its last frames arrive, and no reset."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.servers import PortalServer
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

WAIT = 20
TEXT, CONTINUATION, CLOSE, PING, PONG = 1, 0, 8, 9, 10


class Line:
    """One TCP connection to a server, after a handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))
        await self._writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload of the next frame."""
        first, second = await self._read(2)
        length = second & 0x7F
        if length == 126:
            [length] = struct.unpack("!H", await self._read(2))
        return first & 0x0F, await self._read(length)

    async def closed(self) -> int:
        """Return the code of the close frame that comes, after whatever else."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                return struct.unpack("!H", payload[:2])[0]

    async def end(self) -> bytes:
        """Return what comes until the server ends TCP. Raise ConnectionResetError for a reset."""
        return await asyncio.wait_for(self._reader.read(), WAIT)

    async def _read(self, count: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(count), WAIT)


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    mask = b"\x01\x02\x03\x04"
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((0x80 * fin | opcode, 0x80 | len(payload))) + mask + body


def close(code: int) -> bytes:
    return masked(CLOSE, struct.pack("!H", code))


@asynccontextmanager
async def line(server: PortalServer, path: str, *headers: str) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    ]
    writer.write("".join(f"{each}\r\n" for each in [*lines, ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT)
    assert head.startswith(b"HTTP/1.1 101"), head
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


def opened(server: PortalServer, user: Any) -> Any:
    return line(server, f"/api/v1/ws/engagement?token={token_for(user)}")


@pytest.mark.parametrize(
    "path", ["/nope", "/nope%0a", "/%0a", "/api/v1/ws/engagement%0a", "/api/v1/ws/engagement"]
)
async def test_a_refusal_ends_without_a_reset(transactional_db, server, path):
    async with line(server, path) as raw:
        assert await raw.closed() == 1008
        await raw.send(close(1008))
        assert await raw.end() == b""
    assert "No route found" not in server.log_text()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535])
async def test_a_close_code_that_must_not_be_sent_is_answered_with_1002(tenant, daphne, code):
    async with opened(daphne, tenant.client_user) as raw:
        await raw.frame()
        await raw.send(close(code))
        assert await raw.closed() == 1002
        await raw.end()


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4000, 4999])
async def test_a_clients_close_code_comes_back(tenant, server, code):
    async with opened(server, tenant.client_user) as raw:
        await raw.frame()
        await raw.send(close(code))
        assert await raw.closed() == code
        assert await raw.end() == b""


async def test_a_client_that_does_not_answer_the_close_goes_at_last(tenant, portal_server):
    server = portal_server()
    async with line(server, "/nope") as raw:
        assert await raw.closed() == 1008
        with pytest.raises(ConnectionResetError):
            await raw.end()


FLOODS = {
    "pings": masked(PING),
    "pongs": masked(PONG, b"x"),
    "empty fragments": masked(CONTINUATION, fin=False),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_of_frames_ends_its_socket_and_nobody_elses(tenant, daphne, kind):
    async with opened(daphne, tenant.client_user) as other, opened(daphne, tenant.client_user) as raw:
        await other.frame()
        await raw.frame()
        if kind == "empty fragments":
            await raw.send(masked(TEXT, b"[", fin=False))
        try:
            await raw.send(FLOODS[kind] * 20_000)
            codes = await raw.closed()
        except ConnectionResetError:  # what it sent and nobody read makes TCP reset
            codes = 1008
        assert codes == 1008

        await other.send(masked(TEXT, b'{"type":"ping","ref":"still here"}'))
        while b"still here" not in (await other.frame())[1]:
            pass


async def test_what_a_client_may_send_at_once_is_taken(tenant, daphne):
    async with opened(daphne, tenant.client_user) as raw:
        await raw.frame()
        await raw.send(masked(PING) * 200)
        pongs = [await raw.frame() for _ in range(200)]
        assert [opcode for opcode, _ in pongs] == [PONG] * 200


async def test_unknown_subprotocols_are_refused_in_words(tenant, server):
    offered = "Sec-WebSocket-Protocol: graphql-ws, compliance.v9"
    async with line(server, f"/api/v1/ws/engagement?token={token_for(tenant.client_user)}", offered) as raw:
        opcode, payload = await raw.frame()
        assert opcode == TEXT
        assert b"offer compliance.v1" in payload
        assert await raw.closed() == 1008


def test_the_mask_is_right():
    payload = os.urandom(9)
    frame = masked(TEXT, payload)
    assert bytes(byte ^ frame[2:6][index % 4] for index, byte in enumerate(frame[6:])) == payload
