"""The connections of a process, and how many of each kind it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from realtime import conf, metrics
from realtime.addresses import network_of
from realtime.hub.limits import Buckets, Counts, Refusals
from realtime.protocol.groups import Key

if TYPE_CHECKING:
    from realtime.hub.connection import Connection

MAX_HELD_BACK = 1000
"""Refusals that are held back at once; more are told at once."""

FLOOD_COSTS = 50
"""Handshakes that a socket closed for a flood costs its address: it would flood again with the next one."""

log = structlog.get_logger(__name__)


class Roster:
    """Who is connected, counted by process, user, address and client."""

    def __init__(self) -> None:
        settings = conf.current()
        self.connections: dict[UUID, Connection] = {}
        self.handshakes = Buckets(settings.handshakes_per_second, settings.handshakes_burst)
        self._refusals = Refusals(settings.refusals_at_once)
        self._held_back = 0
        self._counts = Counts()

    def add(self, connection: Connection) -> None:
        """Take a connection in."""
        self.connections[connection.id] = connection
        for key in _counted(connection):
            self._counts.add(key)
        metrics.opened.labels(connection.scope).inc()

    def remove(self, connection: Connection) -> bool:
        """Let a connection go. Return False where it had gone already."""
        if self.connections.pop(connection.id, None) is None:
            return False
        for key in _counted(connection):
            self._counts.remove(key)
        return True

    async def hold_back(self, address: str) -> None:
        """Wait before one more refusal of an address: some clients try for ever, as they were accepted to be told.

        Nobody waits who has a good connection open: behind one address there may be many.
        """
        network = network_of(address)
        if self._counts["address", network] or self._held_back >= MAX_HELD_BACK:
            return
        seconds = self._refusals.delay(network)
        if seconds:
            metrics.limited.labels("refusals").inc()
            self._held_back += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self._held_back -= 1

    def flooded(self, address: str) -> None:
        """Have an address whose socket was closed for a flood make fewer handshakes for a while."""
        self.handshakes.take(network_of(address), FLOOD_COSTS)

    def over_limit(self, address: str, user_id: Key, client_id: str | None) -> str | None:
        """Return which limit one more connection would break, in words; None where there is room."""
        settings = conf.current()
        limits: list[tuple[tuple[Hashable, ...], int, str]] = [
            (("process",), settings.connections_per_process, "this server process"),
            (("user", user_id), settings.connections_per_user, "this user"),
            (("address", network_of(address)), settings.connections_per_address, "this address"),
        ]
        if client_id is not None:
            limits.append((("client", client_id), settings.connections_per_client, "this client"))
        for key, most, name in limits:
            if self._counts[key] >= most:
                metrics.limited.labels(f"connections_per_{key[0]}").inc()
                log.warning(
                    "limit hit", limit=f"connections_per_{key[0]}", address=address, user=str(user_id)
                )
                return f"{name} has {most} connections already"
        return None


def _counted(connection: Connection) -> list[tuple[Hashable, ...]]:
    keys: list[tuple[Hashable, ...]] = [
        ("process",),
        ("user", connection.identity.user_id),
        ("address", network_of(connection.address)),
    ]
    if connection.route_client is not None:
        keys.append(("client", connection.route_client))
    return keys
