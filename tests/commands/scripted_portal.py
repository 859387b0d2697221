"""A small real server that speaks the portal's protocol by a script: what a healthy portal does not do on demand.

One address serves both the REST paths that `watch` needs and the WebSocket, under uvicorn on a thread. Each connection
runs the next of `scripts`, coroutines that get a `Peer`; when they are used up, connections are refused.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import uvicorn

from tests.servers.process import LOOPBACK

MSP_STREAM = "msp.00000000-0000-0000-0000-000000000001"
HARBOR = "00000000-0000-0000-0000-00000000000a"
ALDER = "00000000-0000-0000-0000-00000000000b"


def jwt(serial: int, lifetime: float) -> str:
    """Return something that looks like an access token."""
    now = time.time()
    claims = json.dumps({"serial": serial, "iat": now, "exp": now + lifetime}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.sig"


def alert(seq: int, details: str = "", severity: str = "high") -> dict[str, Any]:
    """Return an alert's frame."""
    data = {"severity": severity, "details": details or f"alert {seq}", "app": "ChatGPT", "change": "created"}
    return event("alert", seq, data)


def event(kind: str, seq: int, data: dict[str, Any]) -> dict[str, Any]:
    """Return an event's frame."""
    return {
        "type": kind,
        "client_id": HARBOR,
        "stream": MSP_STREAM,
        "seq": seq,
        "timestamp": "2026-03-05T12:00:00+00:00",
        "data": data,
    }


class Peer:
    """The server's end of one connection."""

    def __init__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        self.path = f"{scope['path']}?{scope['query_string'].decode()}"
        self.subprotocols = scope["subprotocols"]
        self._receive, self._send = receive, send

    async def greet(self, seq: int = 0, *, epoch: str = "e1", heartbeat: float = 30) -> None:
        """Accept, and send the `connection` frame with the stream at `seq`."""
        await self._receive()
        await self._send({"type": "websocket.accept", "subprotocol": "compliance.v1"})
        await self.send(
            {
                "type": "connection",
                "status": "connected",
                "message": "",
                "scope": "msp",
                "user_role": "msp_admin",
                "msp_id": MSP_STREAM[4:],
                "client_id": None,
                "connection_id": "c",
                "positions": {MSP_STREAM: seq},
                "epoch": epoch,
                "token_expires_at": None,
                "heartbeat_seconds": heartbeat,
                "protocol": "compliance.v1",
                "timestamp": "2026-03-05T12:00:00+00:00",
            }
        )

    async def send(self, *frames: dict[str, Any]) -> None:
        """Send frames."""
        for frame in frames:
            await self._send({"type": "websocket.send", "text": json.dumps(frame)})

    async def hear(self) -> dict[str, Any]:
        """Return the next frame from the client, or `{"type": "gone"}`."""
        message = await self._receive()
        return json.loads(message["text"]) if message["type"] == "websocket.receive" else {"type": "gone"}

    async def close(self, code: int, reason: str = "") -> None:
        """Close."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


class Server(uvicorn.Server):
    """uvicorn, which notices at once that it should end and not with its next tick, a tenth of a second later."""

    async def main_loop(self) -> None:
        while not self.should_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class ScriptedPortal:
    """The server. `calls` are the REST requests it got, as (path, body)."""

    def __init__(self) -> None:
        self.scripts: list[Callable[[Peer], Awaitable[None]]] = []
        self.calls: list[tuple[str, Any]] = []
        self.turned_away = asyncio.Event()
        """Set when a socket came that there was no script for."""
        self.lifetime = 600.0
        self.refuse: dict[str, tuple[int, Any]] = {}
        """Answers by path, instead of the usual ones: status and body (text is sent as it is)."""
        config = uvicorn.Config(
            self._serve,
            host=LOOPBACK,
            port=0,
            log_level="error",
            lifespan="off",
            interface="asgi3",
            ws="websockets-sansio",
        )
        self._server = Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://{LOOPBACK}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True  # without a wait for open connections
        self._thread.join(10)
        assert not self._thread.is_alive()

    def paths(self) -> list[str]:
        """Return the REST paths that were called, in order."""
        return [path for path, _ in self.calls]

    async def _serve(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            if not self.scripts:
                await receive()
                await send({"type": "websocket.close", "code": 1000})  # before accept: HTTP 403
                self.turned_away.set()
                return
            await self.scripts.pop(0)(Peer(scope, receive, send))
            return
        body = (await receive())["body"]
        path = scope["path"]
        self.calls.append((path, json.loads(body) if body else None))
        status, answer = self.refuse.get(path) or self._answer(path, scope["query_string"].decode())
        text = answer if isinstance(answer, str) else json.dumps(answer)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    def _answer(self, path: str, query: str) -> tuple[int, Any]:
        serial = len(self.calls)
        if path == "/api/v1/auth/token/":
            if self.calls[-1][1]["password"] != "demo-only":
                return 401, {"detail": "No active account found with the given credentials"}
            return 200, {"access": jwt(serial, self.lifetime), "refresh": "r1"}
        if path == "/api/v1/auth/token/refresh/":
            return 200, {"access": jwt(serial, self.lifetime)}
        if path == "/api/v1/clients/" and not query:
            following = "http://elsewhere.example/api/v1/clients/?page=2"
            return 200, {"count": 2, "next": following, "results": [{"id": HARBOR, "name": "Harbor Dental"}]}
        if path == "/api/v1/clients/":
            return 200, {"count": 2, "next": None, "results": [{"id": ALDER, "name": "Alder & Finch Legal"}]}
        return 404, {"detail": "Not found."}
