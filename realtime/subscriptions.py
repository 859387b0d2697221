"""What `subscribe` and `unsubscribe` do: one client, a list of clients, or all that the connection follows.

A list is answered client by client: what one client is refused does not touch the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from realtime import conf, portal, presence
from realtime.auth import identity as identities
from realtime.hub import threads
from realtime.hub.connection import Connection, Following
from realtime.hub.filters import EVERYTHING, NOTHING, Filter
from realtime.hub.presence import frame_of
from realtime.presence import Place
from realtime.protocol import groups, inbound, outbound
from realtime.protocol.errors import ErrorCode, ProtocolError


async def subscribe(connection: Connection, message: inbound.Subscribe) -> None:
    """Follow the clients that `message` names, or narrow all that is followed."""
    wish = Filter(frozenset(message.topics) if message.topics else EVERYTHING.topics, message.min_severity)
    named = _named(message)
    if not named:
        await _narrow(connection, message, wish, None)
        if "presence" in wish.topics:
            await _tell_presence(connection, [None])
        return
    refusals = await _admit(connection, named)
    subscribed: list[str | None] = []
    for client_id in named:
        try:
            if client_id in refusals:
                raise refusals[client_id]
            await _narrow(connection, message, wish, client_id)
            subscribed.append(client_id)
        except ProtocolError as error:
            await _refuse(connection, message, error)
    if "presence" in wish.topics and subscribed:
        await _tell_presence(connection, subscribed)


async def unsubscribe(connection: Connection, message: inbound.Unsubscribe) -> None:
    """Stop following the clients that `message` names, or leave out some topics."""
    named = _named(message)
    if not named:
        await _leave(connection, message, None)
        return
    seen = await visible(connection, named)
    for client_id in named:
        try:
            if client_id not in seen:
                raise not_found(client_id)
            await _leave(connection, message, client_id)
        except ProtocolError as error:
            await _refuse(connection, message, error)


async def visible(connection: Connection, client_ids: Collection[str]) -> set[str]:
    """Return those of `client_ids` that this connection may ask about now, read in one query.

    A socket on one client's route is about that client, whatever else its user may see.
    """
    client_key = portal.current().client_key
    asked = [client_key(each) for each in client_ids if connection.route_client in {None, each}]
    asked = [key for key in asked if key is not None]
    if not asked:
        return set()
    found = await threads.run("reading", identities.visible_clients, connection.identity.user_id, asked)
    return {str(each) for each in found}


def not_found(client_id: str) -> ProtocolError:
    """Say the same of a client that is not there and of one that is somebody else's."""
    return ProtocolError(
        ErrorCode.NOT_FOUND,
        "There is no such client, or it is not yours to see.",
        client_id=client_id,
    )


def _named(message: inbound.Subscribe | inbound.Unsubscribe) -> list[str]:
    """Return the clients that a message names, each once."""
    if message.client_id is not None and message.client_ids is not None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "Send client_id or client_ids, not both.")
    single = [message.client_id] if message.client_id is not None else []
    return list(dict.fromkeys(map(usual_spelling, message.client_ids or single)))


def usual_spelling(client_id: str) -> str:
    """Return the key of a client as everybody else writes it. Raise ProtocolError for what can be none's."""
    key = portal.current().client_key(client_id)
    if key is None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "client_id is no id of a client.")
    return str(key)


async def _refuse(
    connection: Connection, message: inbound.Subscribe | inbound.Unsubscribe, error: ProtocolError
) -> None:
    """Answer for one client of a list; a message about a single client fails as a whole."""
    if message.client_ids is None:
        raise error
    error.ref = message.ref
    await connection.error(error)


async def _admit(connection: Connection, named: Sequence[str]) -> dict[str, ProtocolError]:
    """Follow the named clients where the connection selects them one by one. Return the refusals, by client."""
    seen = await visible(connection, named)
    refusals = {each: not_found(each) for each in named if each not in seen}
    if _whole_stream(connection) is not None:
        return refusals
    wanted = [each for each in named if each in seen and groups.client(each) not in connection.following]
    free = max(0, conf.current().subscriptions - len(connection.following))
    refusals |= {each: _too_many(each) for each in wanted[free:]}
    if wanted[:free]:
        refusals |= await _join(connection, wanted[:free])
    return refusals


async def _join(connection: Connection, client_ids: Sequence[str]) -> dict[str, ProtocolError]:
    """Follow clients, then ask again whether they may be seen: return why not, for those that may not.

    Access may be lost while a stream is being opened. The re-check of an access change finds streams that are followed
    already; what changed before is found here. Nothing is sent until then.
    """
    streams = connection.hub.streams
    joined = await asyncio.gather(
        *(streams.follow(connection, groups.client(each), held=True) for each in client_ids),
        return_exceptions=True,
    )
    try:
        for failure in joined:
            if isinstance(failure, BaseException):
                raise failure
        seen = await visible(connection, client_ids)
    except BaseException:
        for each in client_ids:
            streams.unfollow(connection, groups.client(each))
        raise
    for each in client_ids:
        following_now = connection.following.get(groups.client(each))
        if each not in seen:
            streams.unfollow(connection, groups.client(each))
        elif following_now is not None:
            following_now.release()
    return {each: not_found(each) for each in client_ids if each not in seen}


async def _narrow(
    connection: Connection,
    message: inbound.Subscribe,
    wish: Filter,
    client_id: str | None,
) -> None:
    """Set the filter of one client, or of the whole stream, and answer with the subscription as it now stands."""
    following, part = _place(connection, client_id)
    if part is not None and part not in following.selection.clients:
        _room_among(following.selection.clients, part)
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


async def _leave(connection: Connection, message: inbound.Unsubscribe, client_id: str | None) -> None:
    whole = _whole_stream(connection)
    stream = whole or (groups.client(client_id) if client_id else None)
    if stream is None or stream not in connection.following:
        raise _not_subscribed(client_id)
    following = connection.following[stream]
    part = client_id if stream.startswith("msp.") else None
    left = following.selection.of(part).without(frozenset(message.topics)) if message.topics else NOTHING
    if whole is None and not left.topics:
        connection.hub.streams.unfollow(connection, stream)
        connection.hub.ledger.selected(connection, str(client_id), chosen=False)
    else:
        following.selection.set(part, left)
    await connection.send(outbound.Unsubscribed(ref=message.ref, client_id=client_id, topics=left.listed()))


def _place(connection: Connection, client_id: str | None) -> tuple[Following, str | None]:
    """Return the followed stream that a client's events come in, and which part of it they are."""
    whole = _whole_stream(connection)
    if whole is not None:
        # On an MSP's stream a client is a part of it; on a client's own stream it is all of it.
        followed = connection.following.get(whole)
        if followed is None:  # access was lost since, and the socket is about to be closed
            raise _not_subscribed(client_id)
        return followed, client_id if whole.startswith("msp.") else None
    if client_id is None:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "With scope=selected, say which client: client_id.")
    following = connection.following.get(groups.client(client_id))
    if following is None:  # access was lost since it was followed
        raise not_found(client_id)
    return following, None


def _not_subscribed(client_id: str | None) -> ProtocolError:
    return ProtocolError(
        ErrorCode.NOT_SUBSCRIBED, "This connection does not follow that client.", client_id=client_id
    )


def _whole_stream(connection: Connection) -> str | None:
    """Return the stream that the route itself follows; None where clients are selected one by one."""
    if connection.route_client is not None:
        return groups.client(connection.route_client)
    stream = groups.msp(connection.identity.scope.msp_id)
    return stream if stream in connection.following else None


def _room_among(subscribed: Collection[str], client_id: str) -> None:
    if len(subscribed) >= conf.current().subscriptions:
        raise _too_many(client_id)


def _too_many(client_id: str) -> ProtocolError:
    return ProtocolError(
        ErrorCode.TOO_MANY_SUBSCRIPTIONS,
        f"This connection has {conf.current().subscriptions} subscriptions already.",
        client_id=client_id,
    )


async def _tell_presence(connection: Connection, client_ids: Sequence[str | None]) -> None:
    """Answer who is there now, for each client (None: everywhere); what changes comes by itself."""
    msp_id = connection.identity.scope.msp_id
    found = await threads.run("reading", presence.places, {msp_id})
    if connection.identity.scope.msp_id != msp_id:
        return  # its client moved to another MSP meanwhile: the next look tells who is there
    told = connection.hub.presence.begin(connection, msp_id, found)
    everywhere = told.get(Place(msp_id, None), {})
    for client_id in client_ids:
        of = client_id or connection.route_client
        key = portal.current().client_key(of) if of else None
        here = told.get(Place(msp_id, key), {}) if of else {}
        await connection.send(frame_of(connection, key, here | everywhere))
