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

from realtime import conf, metrics, portal, presence
from realtime.hub import threads
from realtime.hub.connection import SocketGone
from realtime.presence import Place, Watcher
from realtime.protocol import groups, outbound
from realtime.protocol.groups import Key

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


@dataclass(slots=True)
class Change:
    """Who joined and who left since a connection was told, less those who did both."""

    joined: dict[UUID, Watcher] = field(default_factory=dict)
    left: dict[UUID, Watcher] = field(default_factory=dict)
    is_whole: bool = False
    """True where the connection is to be told who is there even if nobody joined or left."""

    def add(self, joined: Iterable[Watcher], left: Iterable[Watcher]) -> None:
        """Take in what happened next."""
        for watcher in joined:
            if self.left.pop(watcher.user_id, None) is None:
                self.joined[watcher.user_id] = watcher
        for watcher in left:
            if self.joined.pop(watcher.user_id, None) is None:
                self.left[watcher.user_id] = watcher


class PresenceWatch:
    """One hub's view of presence, for its connections that asked."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._places: dict[Place, Damped] = {}
        self._known: set[UUID] = set()
        self._pending: dict[Connection, dict[Place, Change]] = {}
        """What each connection has not been told yet: while a frame is being sent to it, or its access is checked."""
        self._telling: set[Connection] = set()

    def begin(
        self, connection: Connection, msp_id: Key, found: Mapping[Place, dict[UUID, Watcher]]
    ) -> dict[Place, dict[Key, Watcher]]:
        """Return who a new listener of an MSP is told is there: who was `found`, and who is only just gone.

        Those come back without being told of again. What the first listener is told is that against which changes are;
        who was found besides is told of again, to this connection, once the next look has seen whether they stay.
        """
        if msp_id not in self._known:
            self._known.add(msp_id)
            self._places |= {
                place: Damped(dict(watchers)) for place, watchers in found.items() if place.msp_id == msp_id
            }
        places = found.keys() | {place for place in self._places if place.msp_id == msp_id}
        told = {place: self._told(place) for place in places}
        for place in places:
            if found.get(place, {}).keys() - told[place].keys():
                self._pending_of(connection, place).is_whole = True
        return {place: told[place] | found.get(place, {}) for place in places}

    async def look_when_due(self) -> None:
        """Look and tell."""
        await asyncio.sleep(conf.current().presence_interval)
        msps = self._listened_to()
        if msps:
            await self._look(msps)
        else:
            self._places.clear()
            self._known.clear()
            self._pending.clear()

    def _listening(self) -> Iterable[Connection]:
        return (
            connection
            for connection in self._hub.roster.connections.values()
            if not connection.is_closing
            and any(following.selection.wants_presence for following in connection.following.values())
        )

    def _listened_to(self) -> set[Key]:
        return {connection.identity.scope.msp_id for connection in self._listening()}

    async def _look(self, msps: set[UUID]) -> None:
        now = await threads.run("reading", presence.places, msps)
        changes = self._changes(msps, now)
        for connection in list(self._listening()):
            for place, (joined, left) in changes.get(connection.identity.scope.msp_id, {}).items():
                if _concerns(place, connection):
                    self._pending_of(connection, place).add(joined, left)
        for connection in list(self._pending):
            if connection.is_closing or connection.id not in self._hub.roster.connections:
                del self._pending[connection]
            elif connection not in self._telling:
                self._telling.add(connection)
                self._hub.spawn(self._tell(connection))

    def _changes(
        self, msps: set[UUID], now: Mapping[Place, dict[UUID, Watcher]]
    ) -> dict[UUID, dict[Place, tuple[list[Watcher], list[Watcher]]]]:
        """Take in who is where. Return who joined and left, by MSP and place."""
        at, damping = time.monotonic(), conf.current().presence_damping
        changes: dict[UUID, dict[Place, tuple[list[Watcher], list[Watcher]]]] = {}
        for place in now.keys() | {place for place in self._places if place.msp_id in msps}:
            joined, left = self._places.setdefault(place, Damped()).update(now.get(place, {}), at, damping)
            # A place of an MSP that is looked at for the first time is not news: its listeners were told when
            # they subscribed.
            if (joined or left) and place.msp_id in self._known:
                changes.setdefault(place.msp_id, {})[place] = (joined, left)
            if not self._places[place].told:
                del self._places[place]
        # Who listens may have changed while the rows were read.
        listened_to = self._listened_to()
        self._known = (self._known | msps) & listened_to
        for place in [place for place in self._places if place.msp_id not in listened_to]:
            del self._places[place]
        return changes

    def _pending_of(self, connection: Connection, place: Place) -> Change:
        return self._pending.setdefault(connection, {}).setdefault(place, Change())

    async def _tell(self, connection: Connection) -> None:
        """Send all that is pending, without holding up the others.

        To a socket that takes nothing what happens meanwhile is pending too, and goes out as one frame a place. A
        connection whose access is being checked is told by a later look, if it may still be told then.
        """
        try:
            while (pending := self._pending.get(connection)) and not (
                connection.rechecks or connection.is_closing
            ):
                place = next(iter(pending))
                frame = self._frame(connection, place, pending.pop(place))
                if not pending:
                    del self._pending[connection]
                if frame is not None:
                    await connection.send(frame)
                    metrics.presence_frames.inc()
        except SocketGone:
            self._pending.pop(connection, None)
        finally:
            self._telling.discard(connection)

    def _frame(self, connection: Connection, place: Place, change: Change) -> outbound.Presence | None:
        """Return a frame with who is at a place now; None where there is nothing new in it for this connection."""
        if not _concerns(place, connection):
            return None
        client_id = place.client_id
        if connection.scope == "client" and connection.route_client is not None:
            client_id = portal.current().client_key(connection.route_client)
        here = self._told(Place(place.msp_id, client_id))
        everywhere = self._told(Place(place.msp_id, None)) if client_id is not None else {}
        watchers = here | everywhere
        joined = [watcher for key, watcher in change.joined.items() if key in watchers]
        left = [watcher for key, watcher in change.left.items() if key not in watchers]
        if not (joined or left or change.is_whole):
            return None
        return frame_of(connection, client_id, watchers, joined, left)

    def _told(self, place: Place) -> dict[UUID, Watcher]:
        damped = self._places.get(place)
        return dict(damped.told) if damped else {}


def _concerns(place: Place, connection: Connection) -> bool:
    """Return whether what changes at `place` is to be told to a connection, by what it follows now."""
    return place.msp_id == connection.identity.scope.msp_id and any(
        _asked_for(place, following, connection)
        for following in connection.following.values()
        if following.selection.wants_presence
    )


def _asked_for(place: Place, following: Following, connection: Connection) -> bool:
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
    client_id: Key | None,
    watchers: dict[UUID, Watcher],
    joined: Iterable[Watcher] = (),
    left: Iterable[Watcher] = (),
) -> outbound.Presence:
    """Return who is there, as this connection's user may see it.

    An MSP's people by name for their MSP only.
    """
    may_name = connection.identity.scope.is_msp
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
