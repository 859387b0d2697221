"""How an HTTP request arrives at our Daphne: within a time, within sizes, and so many at once from an address.

Twisted gives a sender another minute with every byte, drops a long header without a word, keeps a body of any size
on disk before anybody looks at it, and holds what comes with a handshake back for a next request.
"""

from __future__ import annotations

from typing import Any

import structlog
from daphne.http_protocol import WebRequest
from twisted.protocols.basic import LineReceiver
from twisted.web.http import HTTPChannel

from realtime import metrics
from realtime.addresses import network_of

log = structlog.get_logger(__name__)

_HTTPChannel: Any = HTTPChannel  # its methods have no types

HEADER_SECONDS = 20.0
"""How long a header may take from the connection, or from its first byte on one that is used again."""

BODY_SECONDS = 60.0
"""The same for a body."""

MAX_BODY = 10 * 2**20
"""Bytes of a body. The application sees it when it is whole; it may take less."""

IDLE_SECONDS = 60.0
"""How long a connection is kept for another request."""

REFUSED_SECONDS = 2.0
"""How long what is still sent after a refusal is read, unseen: closed at once, TCP's reset may overtake the answer."""

HALF_OPEN_PER_ADDRESS = 500
"""Connections of an address whose request has not come whole. A proxy connects when it has the header."""

REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
}


class Request(WebRequest):
    """A request; one that asks for a socket becomes one."""

    def process(self) -> Any:
        """Answer, or become a socket. HTTP/1.0 knows no upgrade (RFC 6455, 4.1)."""
        upgrade = self.requestHeaders.getRawHeaders(b"Upgrade", [b""])[0]
        if upgrade.lower() == b"websocket" and self.clientproto != b"HTTP/1.1":
            self.basic_error(505, b"HTTP Version Not Supported", "A WebSocket handshake takes HTTP/1.1.")
            return None
        return super().process()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's names
        """Keep a part of the body, up to what is taken."""
        if self.content.tell() + len(data) > MAX_BODY:
            self.channel.refuse(413)
        else:
            super().handleContentChunk(data)


class Channel(_HTTPChannel):
    """One connection, until it becomes a socket."""

    _arriving = False
    """Whether a request has begun to come, and not ended."""
    _has_begun = False
    """Whether anything of it has come."""
    _refused = False

    def connectionMade(self) -> None:  # noqa: N802
        """Expect a request."""
        self.requestFactory = Request
        super().connectionMade()
        peer = self.transport.getPeer()
        self._network = network_of(getattr(peer, "host", ""))
        self._begin()
        half_open = self.factory.server.half_open
        if self._network and half_open[self._network] > HALF_OPEN_PER_ADDRESS:
            metrics.limited.labels("half_open").inc()
            if half_open[self._network] == HALF_OPEN_PER_ADDRESS + 1:
                log.warning("limit hit", limit="half_open", address=self._network)
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Read on. Not every byte gives the sender more time."""
        if self._refused:
            return
        if not self._arriving and self.timeOut is not None:
            self._begin()
        self._has_begun = True
        LineReceiver.dataReceived(self, data)  # type: ignore[no-untyped-call] # not HTTPChannel's: it resets the timeout

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        """Take a line of the header."""
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self.refuse(431)
        else:
            super().lineReceived(line)

    def headerReceived(self, line: bytes) -> bool:  # noqa: N802
        """Take one field of the header; return whether to go on."""
        if self._receivedHeaderCount >= self.maxHeaders:
            self.refuse(431)
            return False
        return bool(super().headerReceived(line))

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802
        """Refuse a line that is too long, in words."""
        self.refuse(431 if hasattr(self, "_command") else 414)

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802
        """Take a part of the body; or what came with a handshake, for the socket that there is now."""
        if self._refused:
            return
        taker = self.transport.protocol
        if taker is self:
            super().rawDataReceived(data)
        else:
            taker.dataReceived(data)

    def allHeadersReceived(self) -> None:  # noqa: N802
        """Expect the body."""
        self.setTimeout(BODY_SECONDS)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:  # noqa: N802
        """Handle the request."""
        if self._refused:
            return
        self._end()
        self.setTimeout(IDLE_SECONDS)  # what Twisted sets again after the answer
        super().allContentReceived()

    def timeoutConnection(self) -> None:  # noqa: N802
        """Give up on a request that does not come, or a connection that rests."""
        if self._arriving and self._has_begun and not self._refused:
            metrics.limited.labels("slow_request").inc()
            self.refuse(408)
        else:
            super().timeoutConnection()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        """Forget it."""
        self._end()
        super().connectionLost(reason)

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802
        self.refuse(400)

    def refuse(self, status: int) -> None:
        """Answer with `status` and no body, and take nothing more."""
        if self._refused:
            return
        self._refused = True
        self._buffer = b""
        self._end()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, REASONS[status])
        )
        self._networkProducer.unregisterProducer()
        self.transport.loseWriteConnection()
        self.setTimeout(None)
        self._abortingCall = self.callLater(REFUSED_SECONDS, self.forceAbortClient)

    def _begin(self) -> None:
        self._arriving, self._has_begun = True, False
        self.factory.server.half_open.add(self._network)
        self.setTimeout(HEADER_SECONDS)

    def _end(self) -> None:
        if self._arriving:
            self._arriving = False
            self.factory.server.half_open.remove(self._network)
