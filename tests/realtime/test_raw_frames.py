"""Frames by hand against our Daphne: cases of the Autobahn suite, which is Python 2 and not installed here.

The suite wants a server that echoes; ours answers each text frame, so that a text that is no message comes back as an
`error`, and a ping as a `pong`. Echoing itself is tried on the protocol, in memory.
"""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from benchmarks.attacks import CLOSE, CONTINUATION, PING, TEXT, Target, handshake, masked
from realtime.server.daphne import WebSocketProtocol, frame
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

BINARY, PONG = 0x2, 0xA
MESSAGE = '{"type":"ping","ref":"κόσμε"}'.encode()


class Raw:
    """A socket whose frames are made by hand."""

    async def open(self, server, user) -> Raw:
        target = Target("127.0.0.1", server.port, token_for(user))
        self.reader, self.writer = await target.tcp("127.0.0.1")
        self.writer.write(handshake(target).encode())
        await self.reader.readuntil(b"\r\n\r\n")
        assert (await self.text())["type"] == "connection"
        return self

    async def send(self, *frames: bytes, chop: int = 0) -> None:
        data = b"".join(frames)
        for start in range(0, len(data), chop or len(data) or 1):
            self.writer.write(data[start : start + (chop or len(data))])
            await self.writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(10):
            first, length = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80  # whole, no reserved bits
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8))
            return first & 0xF, await self.reader.readexactly(length)

    async def text(self) -> dict:
        opcode, payload = await self.frame()
        assert opcode == TEXT
        return json.loads(payload)

    async def close_code(self) -> int | None:
        """Return the code of the server's close frame, and see TCP end without a reset."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                break
        self.writer.write(masked(CLOSE, payload))
        async with asyncio.timeout(20):
            assert await self.reader.read() == b""
        return int.from_bytes(payload[:2]) if payload else None


@pytest.fixture
async def connect(tenant, daphne):
    opened = []

    async def one() -> Raw:
        opened.append(await Raw().open(daphne, tenant.msp_user))
        return opened[-1]

    yield one
    for raw in opened:
        raw.writer.close()


def parts(payload: bytes, size: int, opcode: int = TEXT) -> list[bytes]:
    """Return the fragments of a message, each of `size` bytes."""
    cuts = [payload[start : start + size] for start in range(0, len(payload), size)]
    return [
        masked(opcode if index == 0 else CONTINUATION, cut, final=index == len(cuts) - 1)
        for index, cut in enumerate(cuts)
    ]


ANSWERED = {
    "1.1.1 an empty text": ([masked(TEXT, b"")], "error"),
    "1.1.2 a text of 125": ([masked(TEXT, MESSAGE.ljust(125))], "pong"),
    "1.1.3 a text of 126": ([masked(TEXT, MESSAGE.ljust(126))], "pong"),
    "5.3 two fragments": (parts(MESSAGE, 20), "pong"),
    "5.8 a ping between fragments": (
        [parts(MESSAGE, 20)[0], masked(PING, b"x"), parts(MESSAGE, 20)[1]],
        "pong",
    ),
    "6.1.2 three empty fragments": (
        [masked(TEXT, b"", final=False), masked(CONTINUATION, b"", final=False), masked(CONTINUATION, b"")],
        "error",
    ),
    "6.1.3 empty fragments about a text": (
        [
            masked(TEXT, b"", final=False),
            masked(CONTINUATION, MESSAGE, final=False),
            masked(CONTINUATION, b""),
        ],
        "pong",
    ),
    "6.2.3 a fragment for each byte, in the middle of a letter": (parts(MESSAGE, 1), "pong"),
    "9.7.1 empty texts": ([masked(TEXT, b"")] * 5, "error"),
}


@pytest.mark.parametrize("chop", [0, 1])
async def test_a_message_is_answered_however_it_is_cut(connect, subtests, chop):
    for name, (frames, kind) in ANSWERED.items():
        with subtests.test(name):
            raw = await connect()
            await raw.send(*frames, chop=chop)
            while (answer := await raw.frame())[0] == PONG:
                assert answer[1] == b"x"
            opcode, payload = answer
            assert (opcode, json.loads(payload)["type"]) == (TEXT, kind)


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 125, bytes(range(100))])
async def test_a_ping_comes_back_with_what_it_held(connect, payload):
    raw = await connect()
    await raw.send(masked(PING, payload))
    assert await raw.frame() == (PONG, payload)


REFUSED = {
    "2.5 a ping over 125 bytes": (masked(PING, b"x" * 126), 1002),
    "3.2 a reserved bit": (b"\xc1" + masked(TEXT, MESSAGE)[1:], 1002),
    "3.7 all reserved bits": (b"\xf9" + masked(PING, b"x")[1:], 1002),
    "4.1.1 a reserved opcode": (masked(0x3, b""), 1002),
    "4.2.1 a reserved control opcode": (masked(0xB, b""), 1002),
    "5.1 a ping in fragments": (masked(PING, b"x", final=False), 1002),
    "5.9 a continuation of nothing": (masked(CONTINUATION, b"x"), 1002),
    "5.18 a text within a message": (masked(TEXT, b"x", final=False) + masked(TEXT, b"x"), 1002),
    "6.3.1 no UTF-8": (masked(TEXT, b"\xce\xba\xed\xa0\x80edited"), 1007),
    "6.3.2 no UTF-8, byte by byte": (b"".join(parts(b"\xce\xba\xed\xa0\x80edited", 1)), 1007),
    "6.4.1 no UTF-8 in an early fragment": (masked(TEXT, b"\xf4\x90\x80\x80", final=False), 1007),
    "6.6.1 a letter that is not finished": (masked(TEXT, b"\xce"), 1007),
    "7.3.2 a close code of one byte": (masked(CLOSE, b"\x03"), 1002),
    "7.5.1 a close reason that is no UTF-8": (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    "not masked": (frame(MESSAGE.decode()), 1002),
    "a length over what is taken": (b"\x81\xff" + (2**21).to_bytes(8) + b"\0\0\0\0", 1009),
    "a length with its first bit set": (b"\x81\xff" + (2**63).to_bytes(8) + b"\0\0\0\0", 1002),
}


async def test_what_breaks_the_protocol_is_closed_with_its_code(connect, daphne, subtests):
    begin = len(daphne.log_text())
    for name, (data, code) in REFUSED.items():
        with subtests.test(name):
            raw = await connect()
            await raw.send(data)
            assert await raw.close_code() == code
    assert "Traceback" not in daphne.log_text()[begin:]


async def test_close_codes_come_back_and_wrong_ones_are_1002(connect, subtests):
    for given, answered in (
        (None, None),
        *(
            (code, code)
            for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
        ),
        *((code, 1002) for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)),
    ):
        with subtests.test(code=given):
            raw = await connect()
            await raw.send(masked(CLOSE, b"" if given is None else given.to_bytes(2)))
            assert await raw.close_code() == answered


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"text": ""}, b"\x81\x00"),
        ({"bytes": b""}, b"\x82\x00"),
        ({"text": None, "bytes": b"x"}, b"\x82\x01x"),
        ({"text": "é", "bytes": None}, b"\x81\x02\xc3\xa9"),
        ({"text": "x" * 126}, b"\x81\x7e\x00\x7e" + b"x" * 126),
        ({"text": "x" * 65536}, b"\x81\x7f" + (65536).to_bytes(8) + b"x" * 65536),
    ],
    ids=["an empty text", "empty bytes", "bytes", "text", "126", "65536"],
)
def test_an_empty_text_goes_out_as_text(message, sent):
    written = []
    protocol = WebSocketProtocol()
    protocol.state, protocol.send_queue = protocol.STATE_OPEN, []
    protocol.transport = SimpleNamespace(write=written.append)
    protocol.handle_reply({"type": "websocket.send", **message})
    assert written == [sent]
