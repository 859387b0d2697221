"""One socket that takes nothing among a hundred that do: they get everything, and so does it, once it reads on."""

from __future__ import annotations

import asyncio
import socket as socketlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import pytest
import websockets
from asgiref.sync import sync_to_async
from websockets.asyncio.client import connect

from realtime.broadcast import broadcast_alert
from tests.factories import UserFactory
from tests.sockets import Socket, is_event

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = 99
EVENTS = 60
SIZE = 40_000
"""Characters of an event: sixty fill all buffers between two sockets on loopback several times."""


@asynccontextmanager
async def stalled(socket: Socket) -> AsyncIterator[Socket]:
    """Connect `socket` so that it reads no frame that is not asked for: then TCP stops the server."""
    parts = urlsplit(socket.url)
    small = socketlib.socket()
    small.setsockopt(socketlib.SOL_SOCKET, socketlib.SO_RCVBUF, 4096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, (parts.hostname, parts.port))
    socket.raw = await connect(
        socket.url,
        sock=small,
        subprotocols=[websockets.Subprotocol(name) for name in socket._subprotocols],
        max_size=2**24,
        max_queue=1,
        compression=None,
        ping_interval=None,
    )
    try:
        socket.hello = await socket.receive()
        yield socket
    finally:
        socket.raw.transport.abort()


async def flood(tenant: object, count: int) -> None:
    def work() -> None:
        for number in range(count):
            broadcast_alert(tenant.client.pk, tenant.msp.pk, {"details": f"{number} {'x' * SIZE}"})  # type: ignore[attr-defined]

    await sync_to_async(work)()


@pytest.mark.slow
async def test_a_stalled_reader_holds_up_nobody_and_loses_nothing(tenant, server):
    async with stalled(tenant.socket(server)) as slow, AsyncExitStack() as stack:
        users = await sync_to_async(
            lambda: [UserFactory(role="client_user", client=tenant.client) for _ in range(3)]
        )()
        others = [
            await stack.enter_async_context(
                tenant.socket(
                    server,
                    users[n % 3],
                    f"/ws/engagement?batch={n % 2}",
                    # Compressed: what fills one socket's buffers is little for the others.
                    subprotocols=["compliance.v1+deflate"] if n % 20 else None,
                )
            )
            for n in range(OTHERS)
        ]
        await flood(tenant, EVENTS)
        for socket in others:
            events = await socket.events(EVENTS, timeout=20)
            assert [event["seq"] for event in events] == list(range(1, EVENTS + 1))
        seqs: list[int] = []
        while len(seqs) < EVENTS:
            frame = await slow.receive()
            if is_event(frame):
                seqs.append(frame["seq"])
        assert seqs == list(range(1, EVENTS + 1))
        await flood(tenant, 1)
        assert (await slow.receive())["seq"] == EVENTS + 1
