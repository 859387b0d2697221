"""Several Redis servers in REDIS_URL share the groups, and what one of them loses the rows repair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
import redis.asyncio
from asgiref.sync import sync_to_async

from tests.factories import AlertFactory, ClientFactory
from tests.realtime.conftest import tenant
from tests.realtime.doors import client_route
from tests.servers import PortalServer, RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

__all__ = ["tenant"]

CLIENTS = 12
SWEEP_SECONDS = 4


@pytest.fixture
def shards(settings: Any) -> Iterator[list[RedisServer]]:
    """Run two servers, and let this process announce over them too."""
    with ExitStack() as running:
        servers = [running.enter_context(RedisServer()) for _ in range(2)]
        config = settings.CHANNEL_LAYERS["default"]["CONFIG"]
        hosts = [{**config["hosts"][0], "address": server.url} for server in servers]
        settings.CHANNEL_LAYERS = {
            "default": {**settings.CHANNEL_LAYERS["default"], "CONFIG": {**config, "hosts": hosts}}
        }
        yield servers


async def groups_on(shard: RedisServer) -> list[bytes]:
    async with redis.asyncio.Redis.from_url(shard.url) as client:
        names: list[bytes] = await client.pubsub_channels("portal__group__client.*")
        return names


async def seconds_until_heard(sockets: list[Any], clients: list[Any]) -> list[float]:
    """Save an alert of each client; return how long each took to its socket."""

    async def heard(socket: Any) -> float:
        await socket.events(1, timeout=3 * SWEEP_SECONDS)
        return time.monotonic()

    waiting = [asyncio.create_task(heard(socket)) for socket in sockets]
    saved = []
    for client in clients:
        await sync_to_async(AlertFactory)(client=client)
        saved.append(time.monotonic())
    return [at - since for at, since in zip(await asyncio.gather(*waiting), saved, strict=True)]


async def test_groups_are_shared_among_the_servers_and_none_is_lost_with_one(
    tenant: Any, portal_server: Any, shards: list[RedisServer]
) -> None:
    clients = await sync_to_async(lambda: [ClientFactory(msp=tenant.msp) for _ in range(CLIENTS)])()
    env = {"REDIS_URL": ",".join(shard.url for shard in shards), "REALTIME_SWEEP_SHARED": str(SWEEP_SECONDS)}
    server: PortalServer = await sync_to_async(portal_server)(server="daphne", env=env)
    async with AsyncExitStack() as opened:
        sockets = [
            await opened.enter_async_context(tenant.socket(server, path=client_route(client.pk)))
            for client in clients
        ]
        held = [await groups_on(shard) for shard in shards]
        assert all(held)
        assert sum(map(len, held)) == len({name for names in held for name in names}) == CLIENTS

        await sync_to_async(shards[0].kill)()
        await seconds_until_heard(sockets, clients)  # by announcement or by the sweep: none is lost
        await sync_to_async(shards[0].start)()
        deadline = time.monotonic() + 30
        while max(await seconds_until_heard(sockets, clients)) > SWEEP_SECONDS / 8:
            assert time.monotonic() < deadline, "announcements never came back"
