"""Announcing: placed events go to the channel-layer groups of their client and their MSP, one message a group
and round.

An announcement may be lost, late or doubled: it is the fast path, and the hub repairs what it misses from the
rows. So a failure costs latency, never an event, and never an exception in the process that saved. After a
failure nothing is announced for a while: a Redis that hangs must not hold up placing.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import TYPE_CHECKING, Any

import redis
import structlog
from channels.layers import InMemoryChannelLayer, get_channel_layer

from realtime import conf, metrics
from realtime.events import redis_groups, rendering
from realtime.events.redis_groups import RedisGroups
from realtime.protocol import groups

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime.events.placing import Placed

log = structlog.get_logger(__name__)

Announced = tuple[int, int, str, str, str, str, str]
"""An event in a group message: (seq, position, type, client_id, severity, timestamp, data as JSON text)."""

UNREACHED = (redis.RedisError, OSError)
"""What is raised where Redis is away, slow or refuses: TimeoutError is an OSError."""

_loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def attach(loop: asyncio.AbstractEventLoop) -> None:
    """Announce to `loop` too, if the layer is in-memory.

    A send from another thread would not wake its receivers.
    """
    _loops.add(loop)


_failing_until = 0.0


def is_failing() -> bool:
    """Return whether the layer refused this process's last announcement a moment ago."""
    return time.monotonic() < _failing_until


def is_shared() -> bool:
    """Return whether the channel layer crosses processes."""
    return not isinstance(get_channel_layer(), InMemoryChannelLayer)


def messages(events: Iterable[Placed]) -> list[tuple[str, dict[str, Any]]]:
    """Return `(group, message)` for all audiences of `events`.

    A message says which change of access came before it (`access`, a position in the log): a hub that has not heard of
    that one yet must not deliver what came after.
    """
    by_group: dict[str, list[Announced]] = {}
    control: list[Placed] = []
    access = 0
    for event in events:
        if event.type == rendering.ACCESS:
            control.append(event)
            continue
        access = event.after_access
        parts = (event.type, str(event.client_id), event.severity, event.occurred_at.isoformat(), event.data)
        if event.client_seq is not None:
            group = by_group.setdefault(groups.client(str(event.client_id)), [])
            group.append((event.client_seq, event.position, *parts))
        if event.msp_seq is not None:
            group = by_group.setdefault(groups.msp(str(event.msp_id)), [])
            group.append((event.msp_seq, event.position, *parts))
    sends: list[tuple[str, dict[str, Any]]] = [
        (name, {"type": "stream.events", "stream": name, "events": announced, "access": access})
        for name, announced in by_group.items()
    ]
    sends.extend(
        (
            groups.CONTROL,
            {
                "type": "control.access",
                "data": event.data,
                "position": event.position,
                "access": event.after_access,
            },
        )
        for event in control
    )
    return sends


class Announcer:
    """Sends group messages from a thread that is not an event loop's."""

    def __init__(self) -> None:
        self._groups: RedisGroups | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def announce(self, sends: list[tuple[str, dict[str, Any]]]) -> None:
        """Send, within `announce_timeout`; log and count a failure.

        Control goes first, and is heard first: who lost access gets nothing of what was placed with or after it.
        """
        global _failing_until
        if not sends:
            return
        if is_shared() and is_failing():
            metrics.announcements_failed.inc(len(sends))
            return
        sends = sorted(sends, key=lambda send: send[0] != groups.CONTROL)
        try:
            sent = self._send(sends)
        except UNREACHED as error:
            _failing_until = time.monotonic() + conf.current().announce_pause
            metrics.announcements_failed.inc(len(sends))
            log.warning(
                "broadcast failed",
                groups=len(sends),
                error=f"{type(error).__name__}: {error}",
                next="rows will repair it",
            )
        except Exception:
            # Not the layer's: to pause would only delay all others.
            metrics.announcements_failed.inc(len(sends))
            log.exception("publishing failed, by a fault of the portal", groups=len(sends))
        else:
            metrics.published.inc(sent)

    def _send(self, sends: list[tuple[str, dict[str, Any]]]) -> int:
        """Send; return how many messages could be."""
        layer = get_channel_layer()
        if not is_shared():
            for loop in list(_loops):
                if loop.is_running():
                    asyncio.run_coroutine_threadsafe(_send_by(layer, sends), loop)
            return len(sends)
        if redis_groups.reaches(layer):
            if self._groups is None or self._groups.layer is not layer:
                self._groups = RedisGroups(layer, conf.current().announce_timeout)
            return self._groups.send(sends, otherwise=_not_written)
        self._loop = self._loop or asyncio.new_event_loop()
        limit = conf.current().announce_timeout
        return self._loop.run_until_complete(asyncio.wait_for(_send_by(layer, sends), limit))

    def close(self) -> None:
        """Close what it sends by."""
        if self._groups is not None:
            self._groups.close()
        if self._loop is not None:
            self._loop.close()
        self._groups = self._loop = None


async def _send_by(layer: Any, sends: list[tuple[str, dict[str, Any]]]) -> int:
    sent = 0
    for group, message in sends:
        try:
            await layer.group_send(group, message)
        except UNREACHED:
            raise
        except Exception as error:
            _not_written(group, error)
        else:
            sent += 1
    return sent


def _not_written(group: str, error: Exception) -> None:
    """Say that one group's message cannot be written; those of other groups are sent."""
    metrics.announcements_failed.inc()
    log.error("group message cannot be encoded", group=group, next="rows will repair it", exc_info=error)
