"""With CHANNEL_ENCRYPTION_KEY, what goes over Redis is unreadable without it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis.asyncio
from channels_redis.pubsub import RedisPubSubChannelLayer

from tests.servers import RedisServer

pytestmark = pytest.mark.slow

SECRET = "Customer list pasted into a prompt"
MESSAGE = {
    "type": "stream.events",
    "stream": "client.1",
    "events": [[1, 1, "alert", "1", "high", "now", SECRET]],
}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def layer(server: RedisServer, keys: list[str]) -> Any:
    return RedisPubSubChannelLayer(hosts=[server.url], prefix="portal", symmetric_encryption_keys=keys)


async def heard_on_redis(server: RedisServer, sender: Any) -> bytes:
    """Return what somebody who listens to all of Redis hears of one message."""
    async with redis.asyncio.Redis.from_url(server.url) as client, client.pubsub() as eavesdropper:
        await eavesdropper.psubscribe("*")
        await eavesdropper.get_message(timeout=5)
        await sender.group_send("client.1", MESSAGE)
        heard = await eavesdropper.get_message(timeout=5)
        assert heard
        return bytes(heard["data"])


async def test_what_goes_over_redis_cannot_be_read_without_the_key(server):
    assert SECRET.encode() in await heard_on_redis(server, layer(server, []))
    assert SECRET.encode() not in await heard_on_redis(server, layer(server, ["a key"]))


async def test_a_new_key_reads_what_the_old_one_wrote(server):
    old, both = layer(server, ["old"]), layer(server, ["new", "old"])
    channel = await both.new_channel()
    await both.group_add("client.1", channel)
    await old.group_send("client.1", MESSAGE)
    assert await asyncio.wait_for(both.receive(channel), 5) == MESSAGE
