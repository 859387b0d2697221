"""Daphne, made to keep what the application promises.

- Close codes 1008, 1012 and 1013, and close reasons, reach the client: autobahn refuses them as codes that an
  application may send.
- A reader that stops reading stops its sender: without that, one stalled reader took the server from 76 to
  1,057 MB.
- Timeouts and pings are looked after a few sockets at a time, not all at once.
- A request has a time to arrive in (`http`); what comes before a handshake is accepted waits, and is no second one.
- SIGTERM drains: connections are handed over before they are closed, their rows are written, and no
  application is killed half-way.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import structlog
from daphne.server import Server as DaphneServer
from daphne.ws_protocol import WebSocketProtocol as DaphneProtocol
from twisted.internet import defer, reactor
from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

from realtime import conf, metrics
from realtime.hub import hub as hubs
from realtime.hub.connection import WRITE_NOW
from realtime.hub.limits import Bucket, Counts
from realtime.hub.turns import in_turns
from realtime.protocol.closing import CloseCode
from realtime.server.http import Channel

log = structlog.get_logger(__name__)

FRAMES_KEPT = 512

CLOSE_HANDSHAKE_SECONDS = 10
"""How long a client may take to answer a close frame. After autobahn's one second a slow line lost the code."""

HANDSHAKE_SECONDS = 30
"""How long a handshake may wait for the application. With Daphne's five seconds, half of 2,000 sockets that came back
to one core at once were dropped, to come again."""

CHECK_SECONDS = 2.0
"""How often a socket is looked at for a timeout and for its ping, as Daphne does."""

FRAMES_PER_SECOND, FRAMES_BURST = 100.0, 400.0
"""Frames of any kind that a socket may send, lasting and at once. Messages have a limit of their own, which is lower;
this one bounds pings, pongs and fragments, of which a megabyte holds 170,000, and each costs the loop some
microseconds."""

EARLY_BYTES = 64 * 1024
"""How much a client may send before its handshake is accepted."""

REASON_BYTES = 123
"""Longest close reason (RFC 6455, 5.5: a control frame carries 125 bytes, two of them the code)."""


@implementer(IPushProducer)
class SocketFlow:
    """Tells the application whether the socket takes more.

    The transport pauses it at its high-water mark (64 KiB).
    """

    def __init__(self) -> None:
        self.is_open = True
        self._opened: asyncio.Event | None = None

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's names
        """The transport's buffer is full."""
        self.is_open = False

    def resumeProducing(self) -> None:  # noqa: N802
        """The transport's buffer is empty again."""
        self.is_open = True
        if self._opened is not None:
            self._opened.set()
            self._opened = None

    def stopProducing(self) -> None:  # noqa: N802
        """The transport is gone: whoever waits must go on, and will find the socket closed."""
        self.resumeProducing()

    async def wait(self) -> None:
        """Wait until the socket takes more."""
        if not self.is_open:
            self._opened = self._opened or asyncio.Event()
            await self._opened.wait()


class Frames:
    """WebSocket frames of payloads sent lately: a payload that many sockets get is framed once.

    Payloads are told apart by identity, which is what the hub hands out; a kept frame keeps its payload, so no other
    object takes over its id.
    """

    def __init__(self, most_bytes: int = 4 * 2**20) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: dict[int, tuple[str | bytes, bytes]] = {}

    def of(self, payload: str | bytes) -> bytes:
        """Return the one unmasked, unfragmented frame of `payload` (RFC 6455, 5.2): text for str, else binary."""
        kept = self._kept.get(id(payload))
        if kept is not None:
            return kept[1]
        made = frame(payload)
        self._bytes += len(made)
        if self._bytes > self._most_bytes or len(self._kept) >= FRAMES_KEPT:
            self._kept.clear()
            self._bytes = len(made)
        self._kept[id(payload)] = (payload, made)
        return made


def frame(payload: str | bytes) -> bytes:
    """Return the one unmasked, unfragmented frame of `payload` (RFC 6455, 5.2): text for str, else binary."""
    first, body = (b"\x81", payload.encode()) if isinstance(payload, str) else (b"\x82", payload)
    length = len(body)
    if length < 126:
        return first + bytes((length,)) + body
    if length < 2**16:
        return first + b"\x7e" + length.to_bytes(2, "big") + body
    return first + b"\x7f" + length.to_bytes(8, "big") + body


class WebSocketProtocol(DaphneProtocol):
    """A socket with flow control and honest close codes."""

    flow: SocketFlow | None = None
    _write_to_socket: Callable[[bytes], int] | None = None
    """Of the plain socket below the transport, where there is one."""
    frames = Frames()
    """Of all sockets of the process."""
    _received: Bucket
    """Bounds the frames that the client sends."""
    _is_asking = False
    """Whether the handshake was handed to the application."""

    def processHandshake(self) -> None:  # noqa: N802 - Twisted's and autobahn's names
        """Read the handshake, once: autobahn takes what comes meanwhile for another one if it holds an empty line."""
        if not self._is_asking:
            self._is_asking = True  # the header came whole: an HTTP request was made of it
            super().processHandshake()
        elif len(self.data) > EARLY_BYTES:
            self.dropConnection(abort=True)

    def onOpen(self) -> None:  # noqa: N802
        """Take the transport's flow control over from the HTTP channel that the socket began as."""
        self._received = Bucket(FRAMES_PER_SECOND, FRAMES_BURST)
        super().onOpen()
        self.flow = SocketFlow()
        self.transport.unregisterProducer()
        self.transport.registerProducer(self.flow, True)
        if isinstance(self.transport, Connection):  # not over TLS, or what else may be between
            self._write_to_socket = self.transport.socket.send

    def write_now(self, payload: str | bytes) -> bool:
        """Write a frame if the socket takes it now; return whether it did.

        Where nothing waits to be written it goes to the kernel from here: Twisted would ask the reactor to watch the
        socket, write at its next turn, and watch no more, which took as long as all the rest.
        """
        if self.state != self.STATE_OPEN or self.send_queue or self.flow is None or not self.flow.is_open:
            return False
        data, transport = self.frames.of(payload), self.transport
        if self._write_to_socket is not None and not (
            transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting
        ):
            try:
                sent = self._write_to_socket(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False  # the socket is gone; its reader finds out
            if sent == len(data):
                return True
            data = data[sent:]
        transport.write(data)
        return True

    def onFrameBegin(self) -> None:  # noqa: N802
        """Count a frame; end a socket that sends too many. What else it has sent already is not looked at."""
        if self._received.take():
            super().onFrameBegin()
            return
        metrics.limited.labels("frames").inc()
        log.warning("limit hit", limit="frames", peer=self.peer)
        hubs.current().roster.flooded(str(self.client_addr[0]) if self.client_addr else "")
        self.sendCloseFrame(code=CloseCode.POLICY, reasonUtf8=b"Too many frames: send fewer a second.")
        self.dropConnection(abort=False)

    def _closeConnection(self, abort: bool = False) -> None:  # noqa: N802
        """Close TCP; without a reset, which may overtake the close frame, where frames were exchanged as they should.

        autobahn aborts as soon as the client has answered the close frame.
        """
        super()._closeConnection(abort and not self.wasClean)
        if not abort or self.wasClean:
            reactor.callLater(CLOSE_HANDSHAKE_SECONDS, self._abort_if_still_there)  # type: ignore[arg-type]

    def _abort_if_still_there(self) -> None:
        """Give up on a client that reads nothing more: what waits to be written would hold the socket for ever."""
        if self.transport is not None and self.transport.connected:
            self.transport.abortConnection()

    def onClose(self, was_clean: bool, code: int, reason: str) -> None:  # noqa: N802
        """Let a sender that waits for the socket go on."""
        if self.flow is not None:
            self.flow.stopProducing()
        super().onClose(was_clean, code, reason)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """As Daphne does, but with the close code and reason that the application gave."""
        if message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            reason = message.get("reason", "").encode()[:REASON_BYTES].decode(errors="ignore").encode()
            self.sendCloseFrame(code=message.get("code") or 1000, reasonUtf8=reason or None)
        elif message["type"] == "websocket.send" and self.state == self.STATE_OPEN and not self.send_queue:
            # Straight to the transport: autobahn's own way formats a line for its debug log and serialises the frame
            # anew for every socket, which took longer than the socket itself.
            self.transport.write(self.frames.of(_payload(message)))
        elif message["type"] == "websocket.send" and self.state in {self.STATE_CLOSING, self.STATE_CLOSED}:
            pass  # the socket is going, and the application about to hear of it; autobahn would raise
        else:
            super().handle_reply(message)


def _payload(message: dict[str, Any]) -> str | bytes:
    """Return what an ASGI `websocket.send` sends. An empty text is text."""
    text: str | None = message.get("text")
    return text if text is not None else message.get("bytes") or b""


class Server(DaphneServer):
    """Daphne's server with our protocol, back-pressure and a drain."""

    drain_seconds: float | None = None
    """Over how long SIGTERM hands connections over; None: the setting. SIGINT (Ctrl-C) does not spread it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("server_name", "compliance-portal")
        kwargs.setdefault("websocket_handshake_timeout", HANDSHAKE_SECONDS)
        super().__init__(*args, **kwargs)
        self._interrupted = False
        self.half_open = Counts()
        """Of networks: connections whose request has not come whole."""
        self._checks = chain.from_iterable(
            in_turns(list(self.connections), CHECK_SECONDS) for _ in repeat(None)
        )

    def timeout_checker(self) -> None:
        """Look at the next connections for timeouts and pings: Daphne looks at all at once."""
        some, pause = next(self._checks)
        reactor.callLater(pause, self.timeout_checker)  # type: ignore[arg-type]
        for protocol in some:
            if protocol in self.connections:  # it may have gone meanwhile
                protocol.check_timeouts()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Start an application; let a socket's write at once."""
        if isinstance(protocol, WebSocketProtocol):
            scope.setdefault("extensions", {})[WRITE_NOW] = protocol.write_now
        return super().create_application(protocol, scope)

    def run(self) -> None:
        """Serve until stopped."""
        reactor.callWhenRunning(self._on_running)
        super().run()

    def _on_running(self) -> None:
        self.http_factory.protocol = Channel
        self.ws_factory.protocol = WebSocketProtocol
        # Say 1007 (no UTF-8) and 1009 (too big) in a close frame, instead of dropping TCP. The origin "null" is ours to
        # refuse, in words; left out here, autobahn would put its own HTTP 400 back.
        self.ws_factory.setProtocolOptions(
            failByDrop=False,
            allowNullOrigin=True,
            closeHandshakeTimeout=CLOSE_HANDSHAKE_SECONDS,
            echoCloseCodeReason=True,
        )
        asyncio.ensure_future(hubs.warm_up())  # noqa: RUF006 - the hub keeps its tasks itself
        if self.signal_handlers:
            signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        reactor.callFromThread(reactor.stop)  # type: ignore[misc]

    def listen_success(self, port: Any) -> Any:
        """Keep the port: the end of the server stops listening there."""
        super().listen_success(port)
        return port

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass a message on to the socket; wait while the socket does not take more."""
        if message["type"] != "websocket.send":
            await super().handle_reply(protocol, message)
            return
        details = self.connections.get(protocol)
        if details is None or details.get("disconnected"):
            return
        protocol.handle_reply(message)
        flow = protocol.flow
        if flow is not None:
            await flow.wait()

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """Before the reactor stops: stop listening, drain the sockets, end the rest."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._wind_down()))

    async def _wind_down(self) -> None:
        for listener in self.listeners:
            listener.addCallback(lambda port: port and port.stopListening())
        hub = hubs.current()
        try:
            await hub.drain(0.0 if self._interrupted else self._drain_seconds())
            await hub.stop()
        except Exception:
            log.exception("drain failed")
        running = [
            details["application_instance"]
            for details in self.connections.values()
            if "application_instance" in details and not details["application_instance"].done()
        ]
        for application in running:
            application.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _drain_seconds(self) -> float:
        return conf.current().drain_seconds if self.drain_seconds is None else self.drain_seconds
