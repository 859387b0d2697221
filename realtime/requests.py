"""What each client frame does.

A frame that cannot be honoured raises ProtocolError; the consumer answers it and goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from django.core.exceptions import ObjectDoesNotExist
from django.db import InterfaceError, OperationalError

from realtime import bookmarks, metrics, portal, subscriptions
from realtime.auth import identity as identities
from realtime.auth.identity import Identity, Refused
from realtime.events import reading
from realtime.events.reading import Replay
from realtime.hub import threads
from realtime.hub.connection import Connection, SocketGone
from realtime.protocol import inbound, outbound
from realtime.protocol.encoding import Encoding
from realtime.protocol.errors import ErrorCode, ProtocolError

log = structlog.get_logger(__name__)


async def answer(connection: Connection, text: str | None, data: bytes | None) -> None:
    """Do what one frame asks.

    A fault of the server is answered here with an `error` frame: it is no abuse of the client's, and the socket lives
    on.
    """
    message = inbound.decode(text, data, binary=connection.encoding is Encoding.MSGPACK)
    try:
        await _ANSWERS[type(message)](connection, message)
    except ProtocolError as error:
        error.ref = message.ref
        raise
    except SocketGone:
        log.debug("socket gone while answering", connection=str(connection.id))
    except (OperationalError, InterfaceError) as error:
        log.warning("command not answered", command=type(message).__name__, error=str(error).strip())
        away = "The database is not reachable: try again soon."
        await connection.error(ProtocolError(ErrorCode.UNAVAILABLE, away, message.ref))
    except Exception:
        log.exception("command failed", command=type(message).__name__, connection=str(connection.id))
        fault = "A fault of the server: try again."
        await connection.error(ProtocolError(ErrorCode.INTERNAL, fault, message.ref))


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
        following.release()
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
    given = message.client_id
    client_id = subscriptions.usual_spelling(given) if given else connection.route_client
    if client_id is None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "Say of which client: client_id.")
    positions, data = await threads.run("reading", _snapshot, client_id, list(connection.following))
    # Asked after reading: what was read goes only to who may see it now.
    if client_id not in await subscriptions.visible(connection, [client_id]):
        raise subscriptions.not_found(client_id)
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
    return positions, portal.current().snapshot(portal.current().client_key(client_id))


async def _acknowledge(connection: Connection, message: inbound.Acknowledge) -> None:
    key = portal.current().alert_key(message.alert_id)
    if key is None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "alert_id is no id of an alert.")
    acknowledged = await threads.run("reading", _acknowledge_alert, connection.identity, key)
    if acknowledged is None:
        raise ProtocolError(ErrorCode.NOT_FOUND, "There is no such alert, or it is not yours to see.")
    by, at = acknowledged
    await connection.send(
        outbound.Acknowledged(
            ref=message.ref,
            alert_id=str(key),
            acknowledged_by=by,
            acknowledged_at=at.isoformat(),
        )
    )


def _acknowledge_alert(identity: Identity, alert_id: Any) -> tuple[str, datetime] | None:
    try:
        user = identities.user_of(identity)
    except ObjectDoesNotExist:  # the user is gone
        return None
    return portal.current().acknowledge(user, alert_id)


_ANSWERS: dict[type, Callable[[Connection, Any], Awaitable[None]]] = {
    inbound.Ping: _ping,
    inbound.Subscribe: subscriptions.subscribe,
    inbound.Unsubscribe: subscriptions.unsubscribe,
    inbound.Resume: _resume,
    inbound.Authenticate: _authenticate,
    inbound.RequestUpdate: _request_update,
    inbound.Acknowledge: _acknowledge,
}
