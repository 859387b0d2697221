"""The connections of a process, and how many of each kind it takes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from realtime import conf, metrics
from realtime.addresses import network_of
from realtime.hub.limits import Buckets, Counts

if TYPE_CHECKING:
    from realtime.hub.connection import Connection

log = structlog.get_logger(__name__)


class Roster:
    """Who is connected, counted by process, user, address and client."""

    def __init__(self) -> None:
        settings = conf.current()
        self.connections: dict[UUID, Connection] = {}
        self.handshakes = Buckets(settings.handshakes_per_second, settings.handshakes_burst)
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

    def over_limit(self, address: str, user_id: UUID, client_id: str | None) -> str | None:
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
