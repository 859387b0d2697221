"""What each client frame does.

A frame that cannot be honoured raises ProtocolError; the consumer answers it and goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from django.db import Error

from engagement import actions, figures
from engagement.models import Alert
from realtime import bookmarks, conf, metrics, presence
from realtime.auth import identity as identities
from realtime.auth.identity import Identity, Refused
from realtime.events import reading
from realtime.events.reading import Replay
from realtime.hub import threads
from realtime.hub.connection import Connection
from realtime.hub.filters import EVERYTHING, NOTHING, Filter
from realtime.hub.presence import frame_of
from realtime.presence import Place
from realtime.protocol import groups, inbound, outbound
from realtime.protocol.encoding import Encoding
from realtime.protocol.errors import ErrorCode, ProtocolError


async def answer(connection: Connection, text: str | None, data: bytes | None) -> None:
    """Do what one frame asks."""
    message = inbound.decode(text, data, binary=connection.encoding is Encoding.MSGPACK)
    try:
        await _ANSWERS[type(message)](connection, message)
    except ProtocolError as error:
        error.ref = message.ref
        raise
    except Error:
        raise ProtocolError(
            ErrorCode.UNAVAILABLE, "The database is not reachable: try again soon.", message.ref
        ) from None


async def _ping(connection: Connection, message: inbound.Ping) -> None:
    for stream, position in (message.positions or {}).items():
        following = connection.following.get(stream)
        if following is None or position > following.cursor:
            metrics.position_checks.labels("unknown" if following is None else "ahead").inc()
        else:
            metrics.position_checks.labels("level" if position == following.cursor else "behind").inc()
            connection.hub.ledger.reached(connection, stream, position)
    await connection.send(
        outbound.Pong(
            ref=message.ref,
            timestamp=message.timestamp,
            server_time=datetime.now(UTC).isoformat(),
            positions=connection.positions(),
        )
    )


async def _subscribe(connection: Connection, message: inbound.Subscribe) -> None:
    client_id = str(message.client_id) if message.client_id else None
    if client_id is not None:
        await _check_visible(connection, client_id)
    whole = _whole_stream(connection)
    if client_id is not None and whole is None:
        await _room_for(connection, client_id)
        following = await connection.hub.streams.follow(connection, groups.client(client_id))
        part = None
    else:
        following = connection.following[whole] if whole else _nothing_followed()
        # On an MSP's stream a client is a part of it; on a client's own stream it is all of it.
        part = client_id if whole and whole.startswith("msp.") else None
        if part is not None and part not in following.selection.clients:
            _room_among(len(following.selection.clients))
    wish = Filter(frozenset(message.topics) if message.topics else EVERYTHING.topics, message.min_severity)
    following.selection.set(part, wish)
    if connection.selective and client_id is not None:
        connection.hub.ledger.selected(connection, client_id, chosen=True)
    await connection.send(
        outbound.Subscribed(
            ref=message.ref,
            client_id=client_id,
            topics=wish.listed(),
            min_severity=wish.min_severity,
            stream=following.tail.stream,
            seq=following.cursor,
        )
    )
    connection.wake()
    if "presence" in wish.topics:
        await _tell_presence(connection, client_id)


async def _tell_presence(connection: Connection, client_id: str | None) -> None:
    """Answer who is there now; what changes comes by itself."""
    of = client_id or connection.route_client
    msp_id = connection.identity.scope.msp_id
    found = await threads.run("reading", presence.places, {msp_id})
    told = connection.hub.presence.begin(msp_id, found)
    here = told.get(Place(msp_id, UUID(of)), {}) if of else {}
    everywhere = told.get(Place(msp_id, None), {})
    await connection.send(frame_of(connection, UUID(of) if of else None, here | everywhere))


async def _unsubscribe(connection: Connection, message: inbound.Unsubscribe) -> None:
    client_id = str(message.client_id) if message.client_id else None
    if client_id is not None:
        await _check_visible(connection, client_id)
    whole = _whole_stream(connection)
    stream = whole or (groups.client(client_id) if client_id else None)
    if stream is None or stream not in connection.following:
        raise ProtocolError(ErrorCode.NOT_SUBSCRIBED, "This connection does not follow that client.")
    following = connection.following[stream]
    part = client_id if stream.startswith("msp.") else None
    left = following.selection.of(part).without(frozenset(message.topics)) if message.topics else NOTHING
    if whole is None and not left.topics:
        connection.hub.streams.unfollow(connection, stream)
        connection.hub.ledger.selected(connection, str(client_id), chosen=False)
    else:
        following.selection.set(part, left)
    await connection.send(outbound.Unsubscribed(ref=message.ref, client_id=client_id, topics=left.listed()))


async def _resume(connection: Connection, message: inbound.Resume) -> None:
    await resume(connection, message.positions, message.epoch, message.ref)


Cursor = dict[str, int] | Literal["last"]
"""Where to resume: a position for each stream, or the server's bookmarks of this user."""


async def resume(connection: Connection, cursor: Cursor, epoch: str | None, ref: str | int | None) -> None:
    """Resume each stream, all or nothing.

    One that this connection does not follow, or has no bookmark in, cannot be.
    """
    if cursor == "last":
        streams = list(connection.following)
        marks = await threads.run("reading", bookmarks.of, connection.identity.user_id, streams)
        for stream in streams:
            mark = marks.get(stream)
            await _resume_stream(
                connection, stream, mark.position if mark else None, mark.epoch if mark else None, ref
            )
        return
    for stream, position in cursor.items():
        await _resume_stream(connection, stream, position, epoch, ref)


async def _resume_stream(
    connection: Connection, stream: str, position: int | None, epoch: str | None, ref: str | int | None
) -> None:
    following = connection.following.get(stream)
    if following is None or position is None:
        head = following.cursor if following else 0
        metrics.resumes.labels("resync_unknown").inc()
        await connection.send(
            outbound.Resync(ref=ref, stream=stream, reason="unknown", seq=head, epoch=connection.hub.epoch)
        )
        return
    try:
        decision = await connection.hub.streams.resume(following, position, epoch)
        if isinstance(decision, Replay):
            answer: outbound.Frame = outbound.Resumed(
                ref=ref, stream=stream, from_=position, to=decision.head, count=decision.count
            )
        else:
            answer = outbound.Resync(
                ref=ref,
                stream=stream,
                reason=decision.reason,
                seq=following.cursor,
                epoch=connection.hub.epoch,
            )
        await connection.send(answer)
    finally:
        following.held = False
        connection.wake()


async def _authenticate(connection: Connection, message: inbound.Authenticate) -> None:
    try:
        renewed = await threads.run("authenticating", identities.renew, connection.identity, message.token)
    except Refused as refusal:
        metrics.auth_failures.labels("authenticate", refusal.code).inc()
        raise ProtocolError(refusal.code, refusal.message) from None
    if renewed.scope != connection.identity.scope:
        raise ProtocolError(ErrorCode.USER_CHANGED, "Your role or tenant changed: open a new connection.")
    connection.identity = renewed
    connection.expiry_announced = False
    expires = renewed.expires_at.isoformat() if renewed.expires_at else None
    await connection.send(outbound.Authenticated(ref=message.ref, token_expires_at=expires))


async def _request_update(connection: Connection, message: inbound.RequestUpdate) -> None:
    client_id = str(message.client_id) if message.client_id else connection.route_client
    if client_id is None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "Say of which client: client_id.")
    await _check_visible(connection, client_id)
    positions, data = await threads.run("reading", _snapshot, client_id, list(connection.following))
    await connection.send(
        outbound.EngagementUpdate(
            ref=message.ref,
            client_id=client_id,
            timestamp=datetime.now(UTC).isoformat(),
            data=data,
            snapshot=True,
            positions=positions,
        )
    )


def _snapshot(client_id: str, streams: list[str]) -> tuple[dict[str, int], dict[str, Any]]:
    """Read the positions first.

    What happens while the figures are read comes again as an event, and is never missed.
    """
    positions = reading.heads(streams)
    key = UUID(client_id)
    data: dict[str, Any] = {
        "departments": figures.departments(key),
        "applications": figures.applications(key),
        "agents": figures.agents(key),
    }
    return positions, data


async def _acknowledge(connection: Connection, message: inbound.Acknowledge) -> None:
    acknowledged = await threads.run("reading", _acknowledge_alert, connection.identity, message.alert_id)
    if acknowledged is None:
        raise ProtocolError(ErrorCode.NOT_FOUND, "There is no such alert, or it is not yours to see.")
    by, at = acknowledged
    await connection.send(
        outbound.Acknowledged(
            ref=message.ref,
            alert_id=str(message.alert_id),
            acknowledged_by=by,
            acknowledged_at=at.isoformat(),
        )
    )


def _acknowledge_alert(identity: Identity, alert_id: UUID) -> tuple[str, datetime] | None:
    user = identities.user_of(identity)
    alert = Alert.objects.visible_to(user).filter(pk=alert_id).first()
    if alert is None:
        return None
    alert = actions.acknowledge_alert(alert, user)
    if alert.acknowledged_by is None or alert.acknowledged_at is None:
        raise RuntimeError("An acknowledged alert names nobody.")
    return alert.acknowledged_by.get_username(), alert.acknowledged_at


async def _check_visible(connection: Connection, client_id: str) -> None:
    visible = await threads.run(
        "reading", identities.visible_client, connection.identity.user_id, UUID(client_id)
    )
    # A socket on one client's route is about that client, whatever else its user may see.
    if visible is None or connection.route_client not in {None, client_id}:
        raise ProtocolError(ErrorCode.NOT_FOUND, "There is no such client, or it is not yours to see.")


def _whole_stream(connection: Connection) -> str | None:
    """Return the stream that the route itself follows; None where clients are selected one by one."""
    if connection.route_client is not None:
        return groups.client(connection.route_client)
    stream = groups.msp(connection.identity.scope.msp_id)
    return stream if stream in connection.following else None


def _nothing_followed() -> Any:
    raise ProtocolError(ErrorCode.INVALID_MESSAGE, "With scope=selected, say which client: client_id.")


async def _room_for(connection: Connection, client_id: str) -> None:
    if groups.client(client_id) not in connection.following:
        _room_among(len(connection.following))


def _room_among(count: int) -> None:
    most = conf.current().subscriptions
    if count >= most:
        raise ProtocolError(
            ErrorCode.TOO_MANY_SUBSCRIPTIONS, f"This connection has {most} subscriptions already."
        )


_ANSWERS: dict[type, Callable[[Connection, Any], Awaitable[None]]] = {
    inbound.Ping: _ping,
    inbound.Subscribe: _subscribe,
    inbound.Unsubscribe: _unsubscribe,
    inbound.Resume: _resume,
    inbound.Authenticate: _authenticate,
    inbound.RequestUpdate: _request_update,
    inbound.Acknowledge: _acknowledge,
}
