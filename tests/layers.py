"""Channel layers that lose and double messages, as bad networks and restarting brokers do."""

from __future__ import annotations

import random
import sys
from typing import Any

from channels.layers import InMemoryChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

LOST = 0.10
DOUBLED = 0.05


class Lossy:
    """Loses a tenth of what is received, and gives a twentieth twice: the second time after the next message, so out of
    order too. It says so on stderr, for tests to see that it did."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chance = random.Random("lossy")
        self._again: list[dict[str, Any]] = []  # to come again after the next message
        self._late: list[dict[str, Any]] = []  # to come again now

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message that is not lost."""
        if self._late:
            return self._late.pop()
        while True:
            message = await self.heard(channel)
            fate = self._chance.random()
            if fate < LOST:
                print("lossy layer: lost", message["type"], file=sys.stderr, flush=True)
                continue
            self._late, self._again = self._again, []
            if fate < LOST + DOUBLED:
                print("lossy layer: doubled", message["type"], file=sys.stderr, flush=True)
                self._again = [message]
            return message


class LossyRedisLayer(Lossy, RedisPubSubChannelLayer):
    """The production layer, made lossy."""

    async def heard(self, channel: str) -> dict[str, Any]:
        """Return the next message. The layer's methods are those of its loop's own layer: `super()` finds none."""
        return await self._get_layer().receive(channel)


class LossyInMemoryLayer(Lossy, InMemoryChannelLayer):
    """The embedded default, made lossy."""

    async def heard(self, channel: str) -> dict[str, Any]:
        """Return the next message."""
        return await InMemoryChannelLayer.receive(self, channel)
