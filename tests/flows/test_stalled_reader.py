"""One socket that takes nothing among a hundred that do: they get everything, and so does it, once it reads on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import websockets
from asgiref.sync import sync_to_async
from websockets.asyncio.client import connect

from tests.factories import AlertFactory
from tests.sockets import Socket, is_event

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = 99
EVENTS = 60
SIZE = 40_000
"""Characters of an event: sixty fill all buffers between two sockets on loopback several times."""


@asynccontextmanager
async def stalled(socket: Socket) -> AsyncIterator[Socket]:
    """Connect `socket` so that it reads no frame that is not asked for: then TCP stops the server."""
    socket.raw = await connect(
        socket.url,
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
            AlertFactory(client=tenant.client, details=f"{number} {'x' * SIZE}")  # type: ignore[attr-defined]

    await sync_to_async(work)()


@pytest.mark.slow
async def test_a_stalled_reader_holds_up_nobody_and_loses_nothing(tenant, server):
    async with stalled(tenant.socket(server)) as slow, AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(
                tenant.socket(
                    server,
                    tenant.client_user if n % 3 == 0 else tenant.msp_user,
                    f"/ws/engagement?batch={n % 2}",
                    subprotocols=["compliance.v1+deflate"] if n % 2 else None,
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

