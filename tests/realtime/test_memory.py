"""Back-pressure: readers that stop cost the server next to no memory, and nobody else any time."""

from __future__ import annotations

import os
import socket as sockets
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.db import transaction
from websockets.asyncio.client import ClientConnection, connect

from realtime import broadcast
from tests.realtime.conftest import Tenant
from tests.realtime.doors import GENERAL, read
from tests.servers import PortalServer
from tests.sockets import Socket, token_for

# Once: what a socket's reader costs the server has nothing to do with where events come from.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.once]

MIB = 2**20
STALLED = 20
EVENTS = 70
FLOODS = 4
SIZE = 100_000
"""Bytes of an event's data. 20 × 70 × 100 KB: 140 MB that nobody reads, some of it in the kernel's buffers."""


ENVIRONMENT = {
    "REALTIME_SWEEP_LOCAL": "0.05",
    # One arena: how much glibc keeps for each thread is not what is measured here.
    "MALLOC_ARENA_MAX": "1",
}


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    [line] = [row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def flood(tenant: Tenant, count: int, size: int = SIZE) -> None:
    """Broadcast events in one transaction."""
    with transaction.atomic():
        for number in range(count):
            data = {"severity": "low", "details": str(number), "filling": os.urandom(size // 2).hex()}
            broadcast.broadcast_alert(tenant.client.pk, tenant.msp.pk, data)


async def flood_and_take(tenant: Tenant, healthy: Socket) -> None:
    """Flood in ten portions, each taken before the next."""
    for _ in range(10):
        await sync_to_async(flood)(tenant, EVENTS // 10)
        assert len(await healthy.events(EVENTS // 10, 30)) == EVENTS // 10


@pytest.fixture(params=["daphne", "uvicorn"])
def fresh(request: pytest.FixtureRequest, portal_server: Any) -> PortalServer:
    """Return a server that holds no streams of other tests."""
    return portal_server(server=request.param, env=ENVIRONMENT)


async def stall(server: PortalServer, token: str) -> ClientConnection:
    """Connect a socket that reads its first frame and then nothing more, with little room in the kernel."""
    plain = sockets.socket()
    plain.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 16_384)
    plain.connect(("127.0.0.1", server.port))
    raw = await connect(
        f"{server.ws_url}{GENERAL}",
        sock=plain,
        subprotocols=[websockets.Subprotocol("compliance.v1"), websockets.Subprotocol(f"bearer.{token}")],
        compression=None,
        ping_interval=None,
        max_size=2**24,
    )
    assert read(await raw.recv())["type"] == "connection"
    raw.transport.pause_reading()
    return raw


async def test_readers_that_stop_grow_the_server_by_little_and_delay_nobody(tenant, fresh):
    token = token_for(tenant.msp_user)
    async with AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(tenant.socket(fresh))

        before = 0
        for _ in range(
            FLOODS
        ):  # fills what the hub keeps of a stream; the allocator's high water is the measure
            await flood_and_take(tenant, healthy)
            before = max(before, resident(fresh.pid))
        stalled = []
        for _ in range(STALLED):
            stalled.append(await stall(fresh, token))
            stack.callback(stalled[-1].transport.abort)
        await flood_and_take(tenant, healthy)
        grown = resident(fresh.pid) - before
        assert grown < 16 * MIB, f"{grown / MIB:.1f} MiB"

        took = []
        for _ in range(20):
            begin = time.perf_counter()
            await sync_to_async(flood)(tenant, 1, 100)
            await healthy.events(1)
            took.append(time.perf_counter() - begin)
        assert statistics.median(took) < 0.3
        assert max(took) < 2

        stalled[0].transport.resume_reading()
        seqs = [read(await stalled[0].recv())["seq"] for _ in range(EVENTS + 20)]
        assert seqs == list(range(FLOODS * EVENTS + 1, (FLOODS + 1) * EVENTS + 21)), (
            "all of it arrives once it is read"
        )


async def test_what_is_kept_of_a_stream_is_bounded_in_bytes(tenant, fresh):
    """Many large events through one stream: the server holds the newest few megabytes of them, not all."""
    async with tenant.socket(fresh) as healthy:
        sizes = []
        for _ in range(2 * FLOODS):
            await flood_and_take(tenant, healthy)
            sizes.append(resident(fresh.pid))
    first, second = max(sizes[:FLOODS]), max(sizes[FLOODS:])
    grown = second - first
    assert grown < 16 * MIB, f"{grown / MIB:.1f} MiB for {FLOODS * EVENTS * SIZE / MIB:.0f} MiB sent"
