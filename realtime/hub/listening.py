"""Listening to the channel layer: one channel for the process, a member of each group that its connections need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from channels.layers import get_channel_layer

from realtime import conf
from realtime.events import announcing

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0


class Listener:
    """The hub's ear. `wanted` says which groups it should be in; `heard` gets every message.

    Where the layer is away, nothing raises: the sweep delivers meanwhile, and groups are joined when it is back.
    """

    def __init__(self, wanted: Callable[[], set[str]], heard: Callable[[dict[str, Any]], None]) -> None:
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

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            layer = get_channel_layer()
            try:
                self._channel = await layer.new_channel()
                await self.join_missing()
                self.sweep_now.set()
                while True:
                    self._heard(await layer.receive(self._channel))
            except Exception as error:
                log.warning(
                    "channel layer not reached", error=repr(error), next="the sweep delivers; trying again"
                )
                self._channel = None
                self._joined.clear()
                await asyncio.sleep(RETRY_SECONDS)

    async def join_missing(self) -> None:
        """Join the wanted groups that could not be joined before."""
        if self._channel is not None:
            for group in sorted(self._wanted() - self._joined):  # in the same order in every run
                await self.join(group)

    async def join(self, group: str) -> None:
        """Join a group."""
        if self._channel is None:
            return
        try:
            await self._within(get_channel_layer().group_add(group, self._channel))
        except Exception as error:
            log.warning(
                "group not joined yet", group=group, error=repr(error), next="the sweep delivers and joins"
            )
        else:
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

    @staticmethod
    async def _within(call: Any) -> None:
        # Not `wait_for`, which loses a cancellation that comes as `call` ends (Python 3.11): then a stopping hub would
        # wait for its listener for ever.
        async with asyncio.timeout(conf.current().announce_timeout):
            await call
