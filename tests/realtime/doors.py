"""Knocking at a server's doors: handshakes as values, and the credentials to make them with."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import websockets
from django.conf import settings
from django.test import Client as Browser
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken
from websockets.asyncio.client import connect

from tests.servers import PortalServer
from tests.sockets import WAIT

GENERAL = "/api/v1/ws/engagement"


def client_route(client_id: object) -> str:
    """Return the route of one client."""
    return f"/api/v1/ws/client/{client_id}/engagement"


@dataclass(frozen=True)
class Answer:
    """How a handshake was answered: the first frame; the close, where the server closed."""

    frame: dict[str, Any]
    close_code: int | None
    close_reason: str | None
    subprotocol: str | None

    @property
    def is_open(self) -> bool:
        """True where the socket was let in."""
        return self.frame["type"] == "connection"


async def knock(
    url: str,
    *,
    token: str | None = None,
    subprotocols: tuple[str, ...] = ("compliance.v1",),
    headers: dict[str, str] | None = None,
    origin: str | None = None,
    host: str | None = None,
) -> Answer:
    """Open a socket, see how that is answered, and go. `host` is what the Host header says instead of the true one."""
    parts = urlsplit(url)
    offered = [*subprotocols, *([f"bearer.{token}"] if token is not None else [])]
    async with connect(
        parts._replace(netloc=f"{host or parts.hostname}:{parts.port}").geturl(),
        host=parts.hostname,
        port=parts.port,
        subprotocols=[websockets.Subprotocol(name) for name in offered] or None,
        additional_headers=headers,
        origin=websockets.Origin(origin) if origin else None,
        compression=None,
        ping_interval=None,
        proxy=None,
    ) as raw:
        frame = read(await asyncio.wait_for(raw.recv(), WAIT))
        if frame["type"] == "error":
            await asyncio.wait_for(raw.wait_closed(), WAIT)
            return Answer(frame, raw.close_code, raw.close_reason, raw.subprotocol)
        return Answer(frame, None, None, raw.subprotocol)


async def ask(server: PortalServer, path: str = GENERAL, *, query: str = "", **options: Any) -> Answer:
    """Knock at a path of a server, with a query behind it."""
    return await knock(f"{server.ws_url}{path}{'?' if query else ''}{query}", **options)


def assert_refused(answer: Answer, code: str, close: int = 1008) -> None:
    """Assert that the handshake was accepted, told why not, and closed with code and reason."""
    assert answer.frame["type"] == "error"
    assert answer.frame["code"] == code
    assert answer.frame["message"]
    assert answer.close_code == close
    assert answer.close_reason == answer.frame["message"][:120]


def read(wire: str | bytes) -> dict[str, Any]:
    """Return the object of a frame that is JSON or MessagePack."""
    return json.loads(wire) if isinstance(wire, str) else msgspec.msgpack.decode(wire)


def refresh_token(user: Any) -> str:
    """Return a refresh token of `user`: no credential for a socket."""
    return str(RefreshToken.for_user(user))


def token_ending_in(user: Any, seconds: float) -> str:
    """Return an access token of `user` that ends so soon; a negative number: that has ended."""
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=timedelta(seconds=seconds))
    return str(token)


def session_of(user: Any) -> str:
    """Sign `user` in as a browser would; return the value of the session cookie."""
    browser = Browser()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


def cookie(session: str) -> dict[str, str]:
    """Return the header that brings a session."""
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
