"""Group messages to Redis from a plain thread, on the channels of channels_redis' pub/sub layer.

The layer's own client runs on asyncio, and takes two to three times the processor time and two round trips for the two
messages of an event; here all messages of a round are one round trip (docs/decisions/0010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from channels_redis.pubsub import RedisPubSubChannelLayer
from channels_redis.utils import _consistent_hash, decode_hosts
from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class RedisGroups:
    """The groups of a layer, from one thread. `timeout` (seconds) holds for each server."""

    def __init__(self, layer: RedisPubSubChannelLayer, timeout: float) -> None:
        self.layer = layer
        self._prefix = layer._kwargs.get("prefix", "asgi")
        self._servers = [_server(host, timeout) for host in _hosts(layer)]

    def send(
        self, sends: Sequence[tuple[str, dict[str, Any]]], otherwise: Callable[[str, Exception], None]
    ) -> int:
        """Send messages to groups: those of one server in the order given. Return how many could be written.

        A message that cannot be written is divided: what stands in the way is one of its events. `otherwise` is told of
        each group that one cannot be written for. Raise redis.RedisError.
        """
        by_server: dict[int, list[tuple[str, bytes]]] = {}
        for group, message in sends:
            channel = f"{self._prefix}__group__{group}"
            number = _consistent_hash(channel, len(self._servers))
            for body in self._written(group, message, otherwise):
                by_server.setdefault(number, []).append((channel, body))
        for number, messages in by_server.items():
            with self._servers[number].pipeline(transaction=False) as pipeline:
                for channel, body in messages:
                    pipeline.publish(channel, body)
                pipeline.execute()
        return sum(map(len, by_server.values()))

    def _written(
        self, group: str, message: dict[str, Any], otherwise: Callable[[str, Exception], None]
    ) -> list[bytes]:
        try:
            return [self.layer.serialize(message)]
        except Exception as error:
            events = message.get("events", ())
            if len(events) < 2:
                otherwise(group, error)
                return []
        alone = ({**message, "events": [event]} for event in events)
        return [body for one in alone for body in self._written(group, one, otherwise)]

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.close()


def reaches(layer: object) -> bool:
    """Return whether `layer` is one whose groups can be sent to from here: pub/sub, on servers named by address."""
    return isinstance(layer, RedisPubSubChannelLayer) and all("address" in host for host in _hosts(layer))


def _hosts(layer: RedisPubSubChannelLayer) -> Iterable[dict[str, Any]]:
    hosts: Iterable[dict[str, Any]] = decode_hosts(layer._kwargs.get("hosts"))
    return hosts


def _server(host: dict[str, Any], timeout: float) -> redis.Redis:
    options = {name: value for name, value in host.items() if name != "address"}
    # Once more where Redis has closed the connection meanwhile; not where it does not answer, which holds up placing.
    again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": again}
    return redis.Redis.from_url(host["address"], **options)
