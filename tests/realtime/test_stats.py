"""`GET /api/v1/ws/stats`: counts, for each viewer their part, right across processes and a kill."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from engagement.models import User
from realtime.models import LiveConnection, ServerProcess
from tests.factories import SuperuserFactory, UserFactory
from tests.realtime.conftest import make_tenant
from tests.realtime.doors import GENERAL, client_route, knock
from tests.servers import PortalServer
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

HEARTBEATS = {
    "REALTIME_HEARTBEAT": "0.3",
    "REALTIME_HEARTBEAT_EXPIRY": "0.9",
    "REALTIME_CONNECTIONS_FLUSH": "0.02",
    "REALTIME_SWEEP_LOCAL": "0.2",
}
WITHIN = 10.0
"""Seconds in which counts must be right: an expiry, and a busy test machine."""


async def stats(server: PortalServer, user: User) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        answer = await http.get("/api/v1/ws/stats", headers={"Authorization": f"Bearer {token_for(user)}"})
    assert answer.status_code == 200
    return answer.json()


async def becomes(server: PortalServer, user: User, wanted: dict[str, Any]) -> None:
    """Wait until the statistics are as wanted."""
    deadline = time.monotonic() + WITHIN
    while (found := await stats(server, user)) != wanted:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


def counted(clients: dict[object, int], msps: dict[object, int], processes: int) -> dict[str, Any]:
    return {
        "total_connections": sum(clients.values()) + sum(msps.values()),
        "client_connections": {str(getattr(key, "pk", key)): n for key, n in clients.items()},
        "msp_connections": {str(getattr(key, "pk", key)): n for key, n in msps.items()},
        "processes": processes,
    }


async def test_two_processes_count_as_one_and_a_killed_one_counts_no_more(tenant, portal_server):
    other = await sync_to_async(make_tenant)()
    superuser = await sync_to_async(SuperuserFactory)()
    nobody = await sync_to_async(UserFactory)(role="")
    first = await sync_to_async(portal_server)(server="daphne", env=HEARTBEATS)
    second = await sync_to_async(portal_server)(server="uvicorn", env=HEARTBEATS)
    async with AsyncExitStack() as stack:
        for socket in (
            tenant.socket(first),
            tenant.socket(second),
            tenant.socket(second, path=f"{GENERAL}?scope=selected"),
            tenant.socket(first, path=client_route(tenant.client.pk)),
            tenant.socket(second, tenant.client_user),
            tenant.socket(second, path=client_route(tenant.other_client.pk)),
            other.socket(first),
            other.socket(second, other.client_user),
        ):
            await stack.enter_async_context(socket)
        own, sibling, foreign = tenant.client, tenant.other_client, other.client
        viewers = {
            tenant.msp_user: counted({own: 2, sibling: 1}, {tenant.msp: 3}, 2),
            tenant.client_user: counted({own: 2}, {}, 2),
            other.msp_user: counted({foreign: 1}, {other.msp: 1}, 2),
            other.client_user: counted({foreign: 1}, {}, 2),
            superuser: counted({own: 2, sibling: 1, foreign: 1}, {tenant.msp: 3, other.msp: 1}, 2),
            nobody: counted({}, {}, 2),
        }
        for server in (first, second):
            for viewer, wanted in viewers.items():
                await becomes(server, viewer, wanted)

        await sync_to_async(second.kill)()
        await becomes(first, superuser, counted({own: 1}, {tenant.msp: 1, other.msp: 1}, 1))
        await becomes(first, tenant.msp_user, counted({own: 1}, {tenant.msp: 1}, 1))


async def test_opened_and_closed_sockets_are_counted_soon_and_kept_as_rows(tenant, portal_server):
    server = await sync_to_async(portal_server)(env=HEARTBEATS)
    async with tenant.socket(server) as socket, tenant.socket(server, tenant.client_user):
        await becomes(server, tenant.msp_user, counted({tenant.client: 1}, {tenant.msp: 1}, 1))
    await becomes(server, tenant.msp_user, counted({}, {}, 1))
    row = await LiveConnection.objects.aget(pk=socket.hello["connection_id"])
    assert (row.user_id, row.role, row.scope) == (tenant.msp_user.pk, "msp_admin", "msp")
    assert (row.msp_id, row.client_id, row.address) == (tenant.msp.pk, None, "127.0.0.1")
    assert (row.close_code, row.closed_at is not None) == (1000, True)
    assert await ServerProcess.objects.filter(pid=server.pid).aexists()


async def test_refused_sockets_count_nothing(tenant, portal_server):
    server = await sync_to_async(portal_server)(env=HEARTBEATS)
    for _ in range(3):
        await knock(f"{server.ws_url}{GENERAL}")
        await knock(f"{server.ws_url}{client_route('nonsense')}", token=token_for(tenant.msp_user))
    async with tenant.socket(server):
        await becomes(server, tenant.msp_user, counted({}, {tenant.msp: 1}, 1))
    assert await LiveConnection.objects.acount() == 1


async def test_a_stopped_server_leaves_no_open_rows(tenant, portal_server):
    server = await sync_to_async(portal_server)(env={**HEARTBEATS, "REALTIME_DRAIN_SECONDS": "0"})
    async with tenant.socket(server) as socket:
        await becomes(server, tenant.msp_user, counted({}, {tenant.msp: 1}, 1))
        pid = server.pid
        await sync_to_async(server.stop)()
        assert (await socket.closed())[0] == 1012
    row = await LiveConnection.objects.aget()
    assert (row.close_code, row.closed_at is not None) == (1012, True)
    assert (await ServerProcess.objects.aget(pid=pid)).stopped_at is not None
