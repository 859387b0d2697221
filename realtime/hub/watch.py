"""What a hub watches over its live connections.

Whether their access still holds, their tokens' end, and who cannot keep up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from realtime import conf, metrics, portal
from realtime.auth import identity as identities
from realtime.auth.identity import Identity, Refused
from realtime.hub import threads
from realtime.hub.arrivals import AccessChange, Arrival
from realtime.hub.sharing import share
from realtime.hub.turns import AT_ONCE
from realtime.protocol import groups, outbound
from realtime.protocol.closing import CloseCode
from realtime.protocol.errors import ErrorCode

if TYPE_CHECKING:
    from realtime.hub.connection import Connection
    from realtime.hub.hub import Hub

log = structlog.get_logger(__name__)

MAX_ENDED_SESSIONS = 10_000
"""So many sessions that ended last are remembered, by mark."""


class Answers:
    """What the database says to one change of access: each question is asked once, however many connections need it."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, asyncio.Future[Any]] = {}

    async def identity(self, identity: Identity) -> Identity:
        """Return `identities.recheck(identity)`. Raise Refused."""
        key = (identity.user_id, identity.password_mark, identity.session_key)
        now: Identity = await self._ask(key, identities.recheck, identity)
        return replace(identity, scope=now.scope)

    async def may_follow(self, identity: Identity, stream: str) -> bool:
        """Return whether this user may follow a stream now."""
        kind, key = groups.parse(stream)
        if kind == "msp":
            return identity.scope.is_msp and str(identity.scope.msp_id) == key
        client = await self._ask(
            (identity.user_id, key), identities.visible_client, identity.user_id, _client_of(stream)
        )
        return client is not None

    async def _ask(self, key: Hashable, question: Callable[..., Any], *arguments: Any) -> Any:
        if key not in self._asked:
            self._asked[key] = share(threads.run("authenticating", question, *arguments))
        return await asyncio.shield(self._asked[key])


class Watch:
    """The watch over one hub's connections."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.arrivals: set[Arrival] = set()
        """The handshakes under way."""
        self._ended_sessions: dict[str, None] = {}

    @contextmanager
    def arriving(self) -> Iterator[Arrival]:
        """Let a handshake collect the changes of access that are told meanwhile."""
        arrival = Arrival()
        self.arrivals.add(arrival)
        try:
            yield arrival
        finally:
            self.arrivals.discard(arrival)

    def has_ended(self, session_mark: str | None) -> bool:
        """Return whether a session was told to have ended: its row may be there for a moment longer."""
        return session_mark in self._ended_sessions

    def access_changed(self, change: AccessChange) -> None:
        """Ask again for every connection that a change of access may touch.

        From now on none of them is sent an event, until the answer is there: nothing committed after the change
        goes to somebody who lost access by it.
        """
        answers = Answers()
        self._remember_ended(change.sessions)
        for arrival in self.arrivals:
            arrival.note(change)
        for connection in list(self._hub.roster.connections.values()):
            if connection.identity.session_mark in change.sessions:
                # Not asked again: Django tells of a logout before it deletes the session.
                self._revoke(connection, "You are signed out: sign in again.")
            elif change.touches(connection.identity, connection.following):
                connection.begin_recheck()
                self._hub.spawn(self._recheck_and_go_on(connection, answers))

    def _remember_ended(self, sessions: Iterable[str]) -> None:
        for mark in sessions:
            self._ended_sessions[mark] = None
        while len(self._ended_sessions) > MAX_ENDED_SESSIONS:
            del self._ended_sessions[next(iter(self._ended_sessions))]

    async def _recheck_and_go_on(self, connection: Connection, answers: Answers) -> None:
        try:
            while not await self._recheck(connection, answers):
                answers = Answers()
        except Exception:
            # Whatever it was, the database's fault or ours: who may have lost access is not let go on.
            log.exception("access not re-checked: closing", connection=str(connection.id))
            metrics.task_failures.labels("access re-check").inc()
            connection.close(
                CloseCode.INTERNAL,
                ErrorCode.UNAVAILABLE,
                "Access could not be checked: reconnect and resume.",
            )
        finally:
            connection.end_recheck()

    async def _recheck(self, connection: Connection, answers: Answers) -> bool:
        """Ask again. Return False where the answer is about an identity that the connection has no longer.

        Another token was taken meanwhile, or another re-check found another scope: neither is undone.
        """
        before = connection.identity
        found: Identity | Refused
        streams: list[str] = []
        visible: set[str] = set()
        try:
            found = await answers.identity(before)
            streams = list(connection.following)
            visible = {stream for stream in streams if await answers.may_follow(found, stream)}
        except Refused as refusal:
            found = refusal
        if connection.identity is not before:
            return False
        self._settle(connection, found, [stream for stream in streams if stream not in visible])
        return True

    async def recheck_due(self, connections: Iterable[Connection]) -> None:
        """Ask anew for those whose turn it is: a change that nobody told of is found here.

        Raises the database's error where that is away, and closes nobody for it: the next round asks again.
        """
        before = time.monotonic() - conf.current().recheck_seconds
        due = [each for each in connections if each.checked_at <= before and not each.is_closing]
        for start in range(0, len(due), AT_ONCE):
            await self._recheck_some(due[start : start + AT_ONCE])

    async def _recheck_some(self, connections: Sequence[Connection]) -> None:
        now = time.monotonic()
        asked = [(each, each.identity, list(each.following)) for each in connections]
        answers = await threads.run(
            "authenticating",
            identities.recheck_many,
            [
                (identity, [_client_of(s) for s in streams if not _is_msps(s)])
                for _, identity, streams in asked
            ],
        )
        for (connection, identity, streams), (found, clients) in zip(asked, answers, strict=True):
            connection.checked_at = now
            if connection.identity is identity and not connection.is_closing:
                gone = [s for s in streams if not _is_msps(s) and _client_of(s) not in clients]
                self._settle(connection, found, gone)

    def _settle(self, connection: Connection, found: Identity | Refused, gone: Iterable[str]) -> None:
        """Do what a re-check has found: end the connection, or take the streams `gone` away from it."""
        if isinstance(found, Refused):
            self._revoke(connection, found.message)
            return
        if not _same_tenant(connection.identity, found):
            self._revoke(connection, "Your role or tenant changed: sign in again.")
            return
        self._take_away(connection, gone)
        if connection.identity.scope != found.scope:
            connection.identity = found
            self._hub.ledger.identity_changed(connection)

    def _take_away(self, connection: Connection, streams: Iterable[str]) -> None:
        for stream in streams:
            if stream not in connection.following:
                continue  # another re-check was quicker
            if connection.route_client is not None and stream == groups.client(connection.route_client):
                self._revoke(connection, "This client is not yours to see any more.")
                return
            self._hub.streams.unfollow(connection, stream)
            if connection.selective:
                self._hub.ledger.selected(connection, groups.parse(stream)[1], chosen=False)
            gone = outbound.Unsubscribed(client_id=groups.parse(stream)[1], topics=[])
            self._hub.spawn(connection.tell(gone))

    def _revoke(self, connection: Connection, message: str) -> None:
        metrics.revoked.inc()
        log.info("access revoked", connection=str(connection.id), user=str(connection.identity.user_id))
        for stream in list(connection.following):
            self._hub.streams.unfollow(connection, stream)
        connection.close(CloseCode.REVOKED, ErrorCode.ACCESS_REVOKED, message)

    def look(self, connections: Iterable[Connection]) -> None:
        """Look for expiring tokens and for connections that cannot keep up."""
        settings = conf.current()
        now, clock = datetime.now(UTC), time.monotonic()
        expired = now - timedelta(seconds=settings.expiry_grace)
        expiring = now + timedelta(seconds=settings.expiry_warning)
        for connection in connections:
            if connection.is_closing:
                continue
            end = connection.identity.expires_at
            if end is not None and end <= expiring:
                self._expire(connection, end, expired)
            for following in list(connection.following.values()):
                if not following.is_behind:
                    following.fell_behind_at = None
                elif following.fell_behind_at is None:
                    following.fell_behind_at = clock
                    metrics.catch_ups.inc()
                elif clock - following.fell_behind_at > settings.catch_up_timeout:
                    metrics.limited.labels("catch_up_timeout").inc()
                    log.warning("limit hit", limit="catch_up_timeout", connection=str(connection.id))
                    connection.close(
                        CloseCode.TOO_SLOW, ErrorCode.TOO_SLOW, "Too slow to keep up: reconnect and resume."
                    )

    def _expire(self, connection: Connection, end: datetime, expired: datetime) -> None:
        if end <= expired:
            connection.close(
                CloseCode.TOKEN_EXPIRED,
                ErrorCode.TOKEN_EXPIRED,
                "The token has expired: refresh it, then reconnect.",
            )
        elif not connection.expiry_announced:
            connection.expiry_announced = True
            self._hub.spawn(
                connection.tell(outbound.Authenticated(token_expires_at=end.isoformat(), expiring=True))
            )


def _is_msps(stream: str) -> bool:
    return stream.startswith("msp.")


def _client_of(stream: str) -> Any:
    return portal.current().stream_key(stream)


def _same_tenant(before: Identity, now: Identity) -> bool:
    """Return whether a connection's streams still fit its user.

    A role may change within its MSP or its client, not across.
    """
    if now.scope.is_msp:
        return before.scope.is_msp and before.scope.msp_id == now.scope.msp_id
    return before.scope.client_id == now.scope.client_id
