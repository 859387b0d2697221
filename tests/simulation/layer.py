"""A channel layer, shared by all processes, that loses, doubles and reorders messages, and goes away for a while."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import redis

from tests.simulation import workers


class Layer:
    """What Channels' layers do, and how Redis fails."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lossy: float, slow: float) -> None:
        self._loop = loop
        self.lossy = lossy
        """How likely a message is lost, and how likely it comes twice."""
        self.slow = slow
        """How likely a message or an answer takes long."""
        self.is_away = False
        self._members: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, deque[bytes]] = {}
        self._receivers: dict[str, asyncio.Future[None]] = {}
        self._channels = 0
        self._flushed = 0

    def clear_up(self) -> None:
        """Let nothing fail from now on."""
        self.lossy, self.slow, self.is_away = 0.0, 0.0, False

    def flush(self) -> None:
        """Lose all that is on its way."""
        self._flushed += 1

    async def new_channel(self) -> str:
        """Return a channel of its own for a process."""
        await self._answer()
        self._channels += 1
        channel = f"channel.{self._channels}"
        self._waiting[channel] = deque()
        return channel

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel."""
        waiting = self._waiting[channel]
        while not waiting:
            receiver = self._receivers[channel] = self._loop.create_future()
            await receiver
        message: dict[str, Any] = msgspec.msgpack.decode(waiting.popleft())
        return message

    async def group_add(self, group: str, channel: str) -> None:
        """Join."""
        await self._answer()
        self._members.setdefault(group, {})[channel] = None

    async def group_discard(self, group: str, channel: str) -> None:
        """Leave."""
        await self._answer()
        self._members.get(group, {}).pop(channel, None)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send, from a coroutine."""
        await self._answer()
        self._publish(group, message)

    def send(self, sends: Sequence[tuple[str, dict[str, Any]]], **_: Any) -> int:
        """Send many messages, from a worker: what `RedisGroups` does."""
        workers.sleep(self._delay())
        if self.is_away:
            raise redis.ConnectionError("injected by the simulation")
        for group, message in sends:
            self._publish(group, message)
        return len(sends)

    def close(self) -> None:
        """Close the connections."""

    def _publish(self, group: str, message: dict[str, Any]) -> None:
        body = msgspec.msgpack.encode(message)
        for channel in self._members.get(group, {}):
            if random.random() < self.lossy:
                continue
            copies = 2 if random.random() < self.lossy else 1
            for _ in range(copies):
                self._loop.call_later(self._delay(), self._deliver, channel, body, self._flushed)

    def _deliver(self, channel: str, body: bytes, flushed: int) -> None:
        if flushed != self._flushed:
            return
        self._waiting[channel].append(body)
        receiver = self._receivers.pop(channel, None)
        if receiver is not None and not receiver.done():
            receiver.set_result(None)

    async def _answer(self) -> None:
        await asyncio.sleep(self._delay())
        if self.is_away:
            if random.random() < 0.3:
                await asyncio.sleep(3600)  # it hangs: the caller has a time limit
            raise redis.ConnectionError("injected by the simulation")

    def _delay(self) -> float:
        if self.slow and random.random() < self.slow:
            return random.uniform(0.02, 0.5)
        return random.random() * 0.003
