"""Presence: who watches which client, by user and not by socket, right across processes.

It is read from the connection rows, every `presence_interval`, and only in processes where somebody asked for
it; what changed since goes out as one frame for each client and listener, however many users came and went. A
user who comes back within `presence_damping` never left. Who watches all of an MSP is told once, for the MSP
(`client_id` null), not for each of its clients.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from engagement import access
from realtime import conf, metrics, presence
from realtime.hub import threads
from realtime.presence import Place, Watcher
from realtime.protocol import groups, outbound

if TYPE_CHECKING:
    from realtime.hub.connection import Connection, Following
    from realtime.hub.hub import Hub

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Damped:
    """Who is at a place, as it was told: those who are gone stay until the damping is over."""

    told: dict[UUID, Watcher] = field(default_factory=dict)
    gone_since: dict[UUID, float] = field(default_factory=dict)

    def update(
        self, now: dict[UUID, Watcher], at: float, damping: float
    ) -> tuple[list[Watcher], list[Watcher]]:
        """Take in who is there now. Return who joined and who left."""
        joined = [watcher for key, watcher in now.items() if key not in self.told]
        for key in self.told.keys() & now.keys():
            self.gone_since.pop(key, None)
        left = []
        for key in self.told.keys() - now.keys():
            since = self.gone_since.setdefault(key, at)
            if at - since >= damping:
                left.append(self.told[key])
        for watcher in left:
            del self.told[watcher.user_id], self.gone_since[watcher.user_id]
        self.told.update(now)
        return joined, left


class PresenceWatch:
    """One hub's view of presence, for its connections that asked."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._places: dict[Place, Damped] = {}
        self._known: set[UUID] = set()
        self._telling: set[Connection] = set()

    def begin(
        self, msp_id: UUID, found: Mapping[Place, dict[UUID, Watcher]]
    ) -> dict[Place, dict[UUID, Watcher]]:
        """Return who a new listener of an MSP is told is there: who was `found`, and who is only just gone.

        Those come back without being told of again. What the first listener is told is that against which changes are.
        """
        if msp_id not in self._known:
            self._known.add(msp_id)
            self._places |= {
                place: Damped(dict(watchers)) for place, watchers in found.items() if place.msp_id == msp_id
            }
        places = found.keys() | {place for place in self._places if place.msp_id == msp_id}
        return {place: self._told(place) | found.get(place, {}) for place in places}

    async def look_when_due(self) -> None:
        """Look and tell."""
        await asyncio.sleep(conf.current().presence_interval)
        listening = list(self._listening())
        if listening:
            await self._look(listening)
        else:
            self._places.clear()
            self._known.clear()

    def _listening(self) -> Iterable[tuple[Connection, Following]]:
        for connection in self._hub.roster.connections.values():
            if not connection.is_closing:
                for following in connection.following.values():
                    if following.selection.wants_presence:
                        yield connection, following

    async def _look(self, listening: list[tuple[Connection, Following]]) -> None:
        msps = {connection.identity.scope.msp_id for connection, _ in listening}
        now = await threads.run("reading", presence.places, msps)
        at, damping = time.monotonic(), conf.current().presence_damping
        changes: dict[Place, tuple[list[Watcher], list[Watcher]]] = {}
        for place in now.keys() | self._places.keys():
            joined, left = self._places.setdefault(place, Damped()).update(now.get(place, {}), at, damping)
            # A place of an MSP that is looked at for the first time is not news: its listeners were told when
            # they subscribed.
            if (joined or left) and place.msp_id in self._known:
                changes[place] = (joined, left)
            if not self._places[place].told:
                del self._places[place]
        self._known = msps
        for connection, following in listening:
            frames = [
                self._frame(connection, place, joined, left)
                for place, (joined, left) in changes.items()
                if _concerns(place, following, connection)
            ]
            if frames and connection not in self._telling:
                self._telling.add(connection)
                self._hub.spawn(self._tell(connection, frames))

    async def _tell(self, connection: Connection, frames: list[outbound.Presence]) -> None:
        """Send without holding up the others.

        A socket that takes nothing gets the state as a whole with a later frame.
        """
        try:
            for frame in frames:
                await connection.send(frame)
                metrics.presence_frames.inc()
        finally:
            self._telling.discard(connection)

    def _frame(
        self, connection: Connection, place: Place, joined: list[Watcher], left: list[Watcher]
    ) -> outbound.Presence:
        client_id = place.client_id
        if connection.scope == "client" and connection.route_client is not None:
            client_id = UUID(connection.route_client)
        here = self._told(Place(place.msp_id, client_id))
        everywhere = self._told(Place(place.msp_id, None)) if client_id is not None else {}
        return frame_of(connection, client_id, here | everywhere, joined, left)

    def _told(self, place: Place) -> dict[UUID, Watcher]:
        damped = self._places.get(place)
        return dict(damped.told) if damped else {}


def _concerns(place: Place, following: Following, connection: Connection) -> bool:
    """Return whether what changed at `place` is to be told to who follows a stream."""
    if place.msp_id != connection.identity.scope.msp_id:
        return False
    stream = following.tail.stream
    if place.client_id is None:
        whole = stream == groups.msp(place.msp_id) and "presence" in following.selection.whole.topics
        return whole or connection.scope == "client"
    if stream == groups.client(place.client_id):
        return True
    return (
        stream == groups.msp(place.msp_id)
        and "presence" in following.selection.of(str(place.client_id)).topics
    )


def frame_of(
    connection: Connection,
    client_id: UUID | None,
    watchers: dict[UUID, Watcher],
    joined: Iterable[Watcher] = (),
    left: Iterable[Watcher] = (),
) -> outbound.Presence:
    """Return who is there, as this connection's user may see it.

    An MSP's people by name for their MSP only.
    """
    may_name = _naming(connection.identity.scope)
    named = presence.named
    return outbound.Presence(
        client_id=str(client_id) if client_id else None,
        msp_watchers=sum(watcher.is_msp for watcher in watchers.values()),
        client_watchers=sum(not watcher.is_msp for watcher in watchers.values()),
        watchers=named(watchers.values(), may_name),
        joined=named(joined, may_name),
        left=named(left, may_name),
        timestamp=datetime.now(UTC).isoformat(),
    )


def _naming(scope: access.Scope) -> bool:
    return scope.is_msp
