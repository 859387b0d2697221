"""A real WebSocket client for tests: frames as dictionaries, waits with a limit, close codes as they arrive."""

from __future__ import annotations

import asyncio
import json
import time
from types import TracebackType
from typing import Any, Self

import msgspec
import websockets
from rest_framework_simplejwt.tokens import AccessToken
from websockets.asyncio.client import ClientConnection, connect

WAIT = 10.0
"""Seconds that a test waits for what must come."""
QUIET = 0.4
"""Seconds without a frame that count as silence."""


def token_for(user: Any) -> str:
    """Return an access token of `user`."""
    return str(AccessToken.for_user(user))


def is_event(frame: dict[str, Any]) -> bool:
    """Return whether a frame is an event in its stream."""
    return frame["type"] in {"alert", "engagement_update", "interaction_update"} and "seq" in frame


class Socket:
    """`async with Socket(url, token=...) as socket`: connected, with its first frame in `hello`."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        subprotocols: list[str] | None = None,
        headers: dict[str, str] | None = None,
        origin: str | None = None,
    ) -> None:
        self.url = url
        self._subprotocols = [*(subprotocols or ["compliance.v1"]), *([f"bearer.{token}"] if token else [])]
        self._headers = headers or {}
        self._origin = origin
        self.hello: dict[str, Any] = {}
        self.raw: ClientConnection

    async def __aenter__(self) -> Self:
        self.raw = await connect(
            self.url,
            subprotocols=[websockets.Subprotocol(name) for name in self._subprotocols],
            additional_headers=self._headers,
            origin=websockets.Origin(self._origin) if self._origin else None,
            max_size=2**24,
            compression=None,
            open_timeout=20,
            ping_interval=None,
        )
        self.hello = await self.receive()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.raw.close()

    async def send(self, frame: Any) -> None:
        """Send a frame: an object as JSON, text and bytes as they are."""
        await self.raw.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def receive(self, timeout: float = WAIT) -> dict[str, Any]:
        """Return the next frame."""
        return self.decode(await asyncio.wait_for(self.raw.recv(), timeout))

    def decode(self, raw: str | bytes) -> dict[str, Any]:
        """Return a frame's object."""
        if isinstance(raw, bytes):
            if (self.raw.subprotocol or "").endswith("+deflate"):
                import zlib

                return json.loads(zlib.decompress(raw))
            return msgspec.msgpack.decode(raw)
        return json.loads(raw)

    async def ask(self, frame: Any) -> dict[str, Any]:
        """Send a frame and return the answer: the next frame that is no event."""
        await self.send(frame)
        while True:
            answer = await self.receive()
            if answer["type"] != "batch" and not is_event(answer):
                return answer

    async def events(self, count: int, timeout: float = WAIT) -> list[dict[str, Any]]:
        """Return the next `count` events, out of batches too; frames of other types are passed over."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            frame = await self.receive(max(0.01, deadline - time.monotonic()))
            found.extend(
                frame["messages"] if frame["type"] == "batch" else [frame] if is_event(frame) else []
            )
        return found

    async def silence(self, seconds: float = QUIET) -> None:
        """Fail if any frame comes within `seconds`."""
        try:
            frame = await self.receive(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"A frame came: {frame}")

    async def closed(self, timeout: float = WAIT) -> tuple[int | None, str | None]:
        """Wait for the server's close; return its code and reason. Frames before it are passed over."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self.raw.recv()
        except websockets.ConnectionClosed:
            return self.raw.close_code, self.raw.close_reason
