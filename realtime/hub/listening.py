"""Listening to the channel layer: one channel for the process, a member of each group that its connections need.

What goes wrong is told apart. A layer that is away is a warning, and the sweep delivers meanwhile. A message that
cannot be read or handled (of another version, say) is a fault of ours: it costs that message, and the sweep repairs
what it told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from realtime import conf, metrics
from realtime.events import announcing

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0

UNREADABLE_PAUSE = 0.02
"""How long to wait after a message that cannot be read: many of them must not take the loop."""

LAYER_FAULTS = (OSError, RedisError)
"""What a channel layer raises that cannot be reached; a TimeoutError is an OSError."""


class Listener:
    """The hub's ear. `wanted` says which groups it should be in; `heard` gets every message.

    Where the layer is away, nothing raises: the sweep delivers meanwhile, and groups are joined when it is back.
    """

    def __init__(self, wanted: Callable[[], set[str]], heard: Callable[[Any], None]) -> None:
        self.sweep_now = asyncio.Event()
        """Set when something may have gone by unheard: the channel was made (again), or a message tells of another."""
        self._wanted = wanted
        self._heard = heard
        self._channel: str | None = None
        self._joined: set[str] = set()

    @property
    def hears_all(self) -> bool:
        """True where every wanted group was joined and, as far as is known, the layer works and is shared."""
        whole = self._channel is not None and self._joined >= self._wanted()
        return whole and announcing.is_shared() and not announcing.is_failing()

    async def receive(self) -> None:
        """Take the next message; the first time, and after the layer was away, make the channel before."""
        try:
            channel = self._channel or await self._open()
            message = await get_channel_layer().receive(channel)
        except LAYER_FAULTS as error:
            log.warning(
                "channel layer not reached", error=repr(error), next="the sweep delivers; trying again"
            )
            self._channel = None
            self._joined.clear()
            await asyncio.sleep(RETRY_SECONDS)
        except Exception as error:
            if self._channel is None:
                raise  # the channel could not be made, and not because the layer is away
            self._lost_message("group message not read", error)
            await asyncio.sleep(UNREADABLE_PAUSE)
        else:
            try:
                self._heard(message)
            except Exception as error:
                self._lost_message("group message not handled", error)

    def _lost_message(self, what: str, error: Exception) -> None:
        log.error(what, exc_info=error, next="the sweep repairs what it told")
        metrics.task_failures.labels("group message").inc()
        self.sweep_now.set()

    async def _open(self) -> str:
        channel: str = await get_channel_layer().new_channel()
        self._channel = channel
        await self.join_missing()
        self.sweep_now.set()
        return channel

    async def join_missing(self) -> None:
        """Join the wanted groups that could not be joined before."""
        if self._channel is not None:
            for group in sorted(self._wanted() - self._joined):  # in the same order in every run
                await self.join(group)

    async def join(self, group: str) -> None:
        """Join a group."""
        channel = self._channel
        if channel is None:
            return
        try:
            await self._within(get_channel_layer().group_add(group, channel))
        except Exception as error:
            log.warning(
                "group not joined yet", group=group, error=repr(error), next="the sweep delivers and joins"
            )
        else:
            if channel == self._channel:  # else the layer was away meanwhile, and nothing is joined
                self._joined.add(group)

    async def leave(self, group: str) -> None:
        """Leave a group. What still comes of it is ignored."""
        self._joined.discard(group)
        if self._channel is None:
            return
        try:
            await self._within(get_channel_layer().group_discard(group, self._channel))
        except Exception as error:
            log.info("group not left", group=group, error=repr(error))
        if group in self._wanted():  # again, since: what was joined meanwhile has just been left
            await self.join(group)

    @staticmethod
    async def _within(call: Any) -> None:
        # Not `wait_for`, which loses a cancellation that comes as `call` ends (Python 3.11): then a stopping hub would
        # wait for its listener for ever.
        async with asyncio.timeout(conf.current().announce_timeout):
            await call
