"""The sockets' consumers: they accept, hand frames to `requests`, and clean up. They hold no rules.

Two routes (docs/protocol.md): general engagement, and one client's.
A socket that is refused is accepted first, told why in an `error` frame,
and closed: a browser sees no code that was sent before the accept.

Not Channels' own dispatch: that hops to Django's one thread before every message, where one slow query delays
everybody's (1 s delayed the events of other sockets by 954 ms). And no channel for each consumer: the hub listens
once for the whole process.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error
from msgspec import UNSET

from realtime import conf, metrics, portal, requests
from realtime.addresses import network_of
from realtime.auth import credentials, origins
from realtime.auth import identity as identities
from realtime.auth.credentials import BEARER_PREFIX
from realtime.auth.identity import Identity, Refused
from realtime.hub import hub as hubs
from realtime.hub import threads
from realtime.hub.arrivals import Arrival
from realtime.hub.connection import WRITE_NOW, Connection, SocketGone
from realtime.hub.limits import Bucket
from realtime.hub.pacing import PacedConnection
from realtime.protocol import groups, inbound, outbound, rates
from realtime.protocol.closing import CloseCode
from realtime.protocol.encoding import Encoding, choose, encode
from realtime.protocol.errors import MALFORMED, ErrorCode, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)

FLOOD_FACTOR = 5
"""How many times its message rate a connection may go on sending while it is told that it is rate-limited."""


MAX_READINGS = 5
"""How often a handshake reads who somebody is and what they may follow, where access changes meanwhile."""

DATABASE_AWAY = "The database is not reachable: try again soon."

Entered = tuple[Connection, str | None, requests.Cursor | None]
"""A connection that was let in, the stream that it follows from the start, and where to resume."""


class Closed(Exception):
    """A handshake that ends here: what to say, and the close code."""

    def __init__(self, close: CloseCode, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.close = close
        self.code = code
        self.message = message


class StreamConsumer(AsyncWebsocketConsumer):
    """What both routes share: handshake, receiving, clean-up.

    A subclass says which client its route names.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket from its connect to its end."""
        self.scope = scope
        self.base_send = send
        self.parameters: Mapping[str, str] = {}
        self.encoding: Encoding | None = None
        self.refused_subprotocol: str | None = None
        self.connection: Connection | None = None
        self.accepted = False
        code = 1006
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            if await self._open():
                code = await self._converse(receive)
        except SocketGone:
            log.debug("socket gone while it was greeted")
        finally:
            await self._clean_up(code)
            structlog.contextvars.clear_contextvars()

    def route_client(self) -> str | None:
        """Return the client that the route names; None for the general one.

        Raise ValueError for what is no id.
        """
        raise NotImplementedError

    async def _open(self) -> bool:
        """Accept the socket and go live, or accept it, say why not, and close it."""
        with hubs.current().watch.arriving() as arrival:
            entered = await self._enter_or_refuse(arrival)
        if entered is None:
            return False
        connection, stream, positions = entered
        structlog.contextvars.bind_contextvars(
            connection=str(connection.id), user=str(connection.identity.user_id)
        )
        log.info(
            "connected",
            scope=connection.scope,
            client=connection.route_client,
            address=connection.address,
            encoding=str(connection.encoding),
        )
        try:
            if stream is not None:
                await connection.hub.streams.follow(connection, stream)
        except Error as error:
            log.warning("connection closed", reason="database away", error=str(error).strip())
            connection.close(CloseCode.TRY_LATER, ErrorCode.UNAVAILABLE, DATABASE_AWAY)
            return True
        await self._greet(connection)
        if positions is not None:
            await self._resume(connection, positions)
        connection.start()
        connection.wake()
        return True

    async def _enter_or_refuse(self, arrival: Arrival) -> Entered | None:
        try:
            self.encoding = self._choose_encoding()
            self.parameters = self._query()
            return await self._handshake(arrival)
        except Closed as refusal:
            metrics.refused.labels(refusal.code).inc()
            log.info(
                "connection refused", reason=refusal.code, address=self._address(), path=self.scope["path"]
            )
            is_repeated = refusal.close is CloseCode.POLICY or refusal.code is ErrorCode.RATE_LIMITED
            if is_repeated and not hubs.current().draining:
                await hubs.current().roster.hold_back(self._address())
            await self._refuse(refusal)
        except Error as error:
            log.warning("connection refused", reason="database away", error=str(error).strip())
            await self._refuse(Closed(CloseCode.TRY_LATER, ErrorCode.UNAVAILABLE, DATABASE_AWAY))
        return None

    def _choose_encoding(self) -> Encoding | None:
        """Return the encoding that is asked for by a subprotocol, if any. Raise Closed for none that we speak."""
        offered = [name for name in self.scope.get("subprotocols", ()) if not name.startswith(BEARER_PREFIX)]
        encoding = choose(offered)
        if offered and encoding is None:
            # A browser gives up without a word where none of what it offered is chosen.
            self.refused_subprotocol = offered[0]
            raise Closed(
                CloseCode.POLICY,
                ErrorCode.INVALID_PARAMETER,
                f"None of these subprotocols is spoken here: offer {', '.join(Encoding)}, or none.",
            )
        return encoding

    async def _resume(self, connection: Connection, positions: requests.Cursor) -> None:
        """Resume from the handshake's cursor; where the database is away, say so and close."""
        try:
            await requests.resume(connection, positions, self.parameters.get("epoch"), None)
        except Error as error:
            log.warning("not resumed", error=str(error).strip())
            connection.close(
                CloseCode.INTERNAL,
                ErrorCode.UNAVAILABLE,
                "The database is not reachable: reconnect and resume.",
            )

    def _query(self) -> dict[str, str]:
        try:
            return credentials.query(self.scope)
        except ValueError:
            raise Closed(
                CloseCode.POLICY, ErrorCode.INVALID_PARAMETER, "Too many parameters in the query."
            ) from None

    async def _handshake(self, arrival: Arrival) -> Entered:
        hub = hubs.current()
        self._limit_handshakes(hub, self._address())
        _refuse_while_draining(hub)
        await hub.start()  # from here on it is told of changes of access
        identity = await self._identify()
        if self.parameters.get("user", str(identity.user_id)) != str(identity.user_id):
            raise Closed(
                CloseCode.POLICY, ErrorCode.USER_CHANGED, "Somebody else is signed in now: reload the page."
            )
        try:
            route_client = self.route_client()
        except ValueError:
            raise _unknown_client() from None
        for _ in range(MAX_READINGS):
            stream = await self._stream(identity, route_client)
            positions, rate = self._positions(), self._rate()
            await self._accept()
            # From here to the registration nothing is awaited: what is told later finds the connection.
            if not arrival.is_overtaken(identity, [stream] if stream else []):
                return self._enter(hub, identity, stream, rate), stream, positions
            arrival.read_anew()
            identity = await self._read_again(identity)
        raise Closed(
            CloseCode.TRY_LATER, ErrorCode.UNAVAILABLE, "Access changes all the time: try again soon."
        )

    def _enter(self, hub: hubs.Hub, identity: Identity, stream: str | None, rate: float | None) -> Connection:
        """Register the connection, unless the process drains or is full."""
        _refuse_while_draining(hub)
        if hub.watch.has_ended(identity.session_mark):
            raise Closed(CloseCode.POLICY, ErrorCode.AUTHENTICATION_REQUIRED, identities.SIGNED_OUT)
        of_client = stream is not None and stream.startswith("client.")
        route_client = groups.parse(stream)[1] if stream and of_client else None
        limit = hub.roster.over_limit(self._address(), identity.user_id, route_client)
        if limit is not None:
            raise Closed(
                CloseCode.TRY_LATER, ErrorCode.TOO_MANY_CONNECTIONS, f"Too many connections: {limit}."
            )
        make = Connection if rate is None else partial(PacedConnection, rate=rate)
        self.connection = connection = make(
            hub,
            self.base_send,
            identity=identity,
            route_client=route_client,
            encoding=self.encoding or Encoding.JSON,
            batches=self.parameters.get("batch") == "1",
            selective=stream is None,
            address=self._address(),
            write_now=self.scope.get("extensions", {}).get(WRITE_NOW),
        )
        hub.register(connection)
        return connection

    async def _read_again(self, identity: Identity) -> Identity:
        """Return who it is now. The credential itself is not read again: a ticket is used up."""
        try:
            return await threads.run("authenticating", identities.recheck, identity)
        except Refused as refusal:
            raise Closed(CloseCode.POLICY, refusal.code, refusal.message) from None

    async def _accept(self) -> None:
        if not self.accepted:
            self.accepted = True
            await self.accept(subprotocol=self.encoding or self.refused_subprotocol)

    @staticmethod
    def _limit_handshakes(hub: hubs.Hub, address: str) -> None:
        """Raise Closed where an address makes too many: those that will be refused count too."""
        if not hub.roster.handshakes.take(network_of(address)):
            metrics.limited.labels("handshakes").inc()
            raise Closed(
                CloseCode.TRY_LATER,
                ErrorCode.RATE_LIMITED,
                "Too many handshakes from this address: try later.",
            )

    async def _identify(self) -> Identity:
        credential = credentials.find(self.scope, self.parameters)
        cookie = credential is not None and credential.kind == "session"
        if not origins.allowed(self.scope, cookie=cookie):
            raise Closed(
                CloseCode.POLICY,
                ErrorCode.ORIGIN_NOT_ALLOWED,
                "This page's origin may not open sockets here: add it to CORS_ALLOWED_ORIGINS.",
            )
        try:
            return await threads.run("authenticating", identities.identify, credential)
        except Refused as refusal:
            metrics.auth_failures.labels(credential.kind if credential else "none", refusal.code).inc()
            raise Closed(CloseCode.POLICY, refusal.code, refusal.message) from None

    async def _stream(self, identity: Identity, route_client: str | None) -> str | None:
        """Return the stream that this socket follows from the start; None with `?scope=selected`."""
        scope = identity.scope
        selected = self.parameters.get("scope")
        if selected not in {None, "selected", "all"}:
            raise Closed(CloseCode.POLICY, ErrorCode.INVALID_PARAMETER, "scope is `all` or `selected`.")
        if route_client is not None:
            key = portal.current().client_key(route_client)
            client = await threads.run("authenticating", identities.visible_client, identity.user_id, key)
            if client is None:
                raise _unknown_client()
            return groups.client(client.pk)
        if scope.client_id is not None:
            return groups.client(scope.client_id)
        return None if selected == "selected" else groups.msp(scope.msp_id)

    def _positions(self) -> requests.Cursor | None:
        """Return the cursor given as `?positions=<stream>:<seq>,…` or `?positions=last`, if any."""
        given = self.parameters.get("positions")
        if given is None or given == "last":
            return given  # type: ignore[return-value]
        positions: dict[str, int] = {}
        try:
            for part in filter(None, given.split(",")):
                stream, _, seq = part.rpartition(":")
                portal.current().stream_key(stream)
                positions[stream] = int(seq)
                if not 0 <= positions[stream] <= 2**53:
                    raise ValueError(seq)
        except ValueError:
            raise Closed(
                CloseCode.POLICY,
                ErrorCode.INVALID_PARAMETER,
                "positions is `last`, or a list such as client.<id>:41,client.<id>:7.",
            ) from None
        return positions

    def _rate(self) -> float | None:
        """Return the rate given as `?rate=`, in rounds a second, if any."""
        given = self.parameters.get("rate")
        try:
            return None if given is None else rates.parse(given)
        except ValueError as error:
            raise Closed(CloseCode.POLICY, ErrorCode.INVALID_PARAMETER, str(error)) from None

    async def _greet(self, connection: Connection) -> None:
        scope = connection.identity.scope
        expires = connection.identity.expires_at
        await connection.send(
            outbound.Connection(
                message=f"Connected to engagement updates ({connection.scope} scope)",
                scope=connection.scope,  # type: ignore[arg-type]
                user_role=scope.role,
                msp_id=str(scope.msp_id) if scope.is_msp else UNSET,
                client_id=connection.route_client or UNSET,
                connection_id=str(connection.id),
                positions=connection.positions(),
                epoch=connection.hub.epoch,
                token_expires_at=expires.isoformat() if expires else None,
                heartbeat_seconds=conf.current().ping_seconds,
                protocol=outbound.PROTOCOL,
                timestamp=datetime.now(UTC).isoformat(),
            )
        )

    async def _refuse(self, refusal: Closed) -> None:
        encoding = self.encoding or Encoding.JSON
        await self._accept()
        wire = encode(outbound.Error(code=refusal.code, message=refusal.message), encoding, 2**30)
        if isinstance(wire, str):
            await self.send(text_data=wire)
        else:
            await self.send(bytes_data=wire)
        await self.close(code=int(refusal.close), reason=refusal.message[:120])

    async def _converse(self, receive: Any) -> int:
        """Take the client's frames until the socket's end. Return its close code."""
        connection = self.connection
        if connection is None:
            raise RuntimeError("A conversation needs an accepted connection.")
        settings = conf.current()
        rate = Bucket(settings.messages_per_second, settings.messages_burst)
        # Being over the rate is answered, not punished; but whoever ignores the answers for long is closed.
        flood = Bucket(FLOOD_FACTOR * settings.messages_per_second, FLOOD_FACTOR * settings.messages_burst)
        patience = Bucket(settings.errors_per_minute / 60, settings.errors_per_minute)
        while True:
            try:
                async with asyncio.timeout(settings.silence_timeout):
                    message = await receive()
            except TimeoutError:
                connection.close(
                    CloseCode.SILENT, ErrorCode.SILENT, "Nothing was heard for too long: send pings."
                )
                message = await receive()
            if message["type"] == "websocket.disconnect":
                return connection.close_code or message.get("code") or 1005
            if connection.is_closing:
                continue
            try:
                if not rate.take():
                    metrics.limited.labels("messages").inc()
                    raise _over_rate(rate, message)
                await requests.answer(connection, message.get("text"), message.get("bytes"))
            except ProtocolError as error:
                log.info("message error", code=error.code, reason=error.message)
                await connection.error(error)
                if not _tolerated(error, patience, flood):
                    metrics.limited.labels("errors").inc()
                    log.warning("closed for abuse", last=error.code)
                    connection.hub.roster.flooded(connection.address)
                    connection.close(
                        CloseCode.POLICY,
                        ErrorCode.TOO_MANY_ERRORS,
                        "Too many bad frames: mend the client, then reconnect.",
                    )

    async def _clean_up(self, code: int) -> None:
        connection = self.connection
        if connection is None:
            return
        lag = connection.lag()
        async with asyncio.timeout(conf.current().clean_up_timeout):
            await connection.hub.release(connection, code)
        log.info(
            "disconnected",
            code=code,
            seconds=round((datetime.now(UTC) - connection.opened_at).total_seconds(), 3),
            sent=connection.sent,
            lag=lag,
        )

    def _address(self) -> str:
        client = self.scope.get("client")
        return str(client[0]) if client else ""


class EngagementConsumer(StreamConsumer):
    """`/ws/engagement`: all clients of an MSP's user, or the own client of a client's."""

    def route_client(self) -> str | None:
        """Return None: the route names no client."""
        return None


class ClientEngagementConsumer(StreamConsumer):
    """`/ws/client/<client_id>/engagement`: one client."""

    def route_client(self) -> str:
        """Return the route's client, its key in the usual spelling. Raise ValueError where it can be none."""
        key = portal.current().client_key(self.scope["url_route"]["kwargs"]["client_id"])
        if key is None:
            raise ValueError("Not the key of a client.")
        return str(key)


class UnknownRouteConsumer(StreamConsumer):
    """Any other path: said so, instead of an HTTP 500."""

    async def _handshake(self, arrival: Arrival) -> Entered:
        self._limit_handshakes(hubs.current(), self._address())
        raise Closed(
            CloseCode.POLICY,
            ErrorCode.UNKNOWN_ROUTE,
            "No such socket: connect to /api/v1/ws/engagement or /api/v1/ws/client/<client_id>/engagement.",
        )


def _refuse_while_draining(hub: hubs.Hub) -> None:
    if hub.draining:
        raise Closed(CloseCode.RESTART, ErrorCode.RESTARTING, "This server is restarting: connect again.")


def _over_rate(rate: Bucket, message: Mapping[str, Any]) -> ProtocolError:
    """Say when to try again, with the frame's own `ref`: a client that paces itself sends that frame again."""
    return ProtocolError(
        ErrorCode.RATE_LIMITED,
        "Too many messages: send fewer a second.",
        inbound.reference(message.get("text"), message.get("bytes")),
        retry_after=rate.wait(),
    )


def _tolerated(error: ProtocolError, patience: Bucket, flood: Bucket) -> bool:
    """Return whether a connection may go on after an error.

    Only malformed frames are abuse, and messages far over the rate. An id that is stale, or a limit reached, is not.
    """
    if error.code in MALFORMED:
        return patience.take()
    return error.code != ErrorCode.RATE_LIMITED or flood.take()


def _unknown_client() -> Closed:
    """Say the same of a client that is not there and of one that is somebody else's."""
    return Closed(
        CloseCode.POLICY, ErrorCode.NOT_FOUND, "There is no such client, or it is not yours to see."
    )
