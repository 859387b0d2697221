"""How many HTTP requests are worked on at once.

Django under ASGI starts a thread for each, which takes a connection to the database: 80 sign-ins at once made 93
threads, and other tenants waited ten seconds or got an HTTP 500.

Sign-ins have places of their own, as many as half of the processor's cores: hashing a password takes a second of one.
A place is taken when the whole body has come, so that a slow sender holds none, and given back when the work is done,
also where the client has gone meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse

from engagement.middleware.places import NoPlace, Places
from engagement.middleware.refusals import API_PREFIX
from realtime.addresses import network_of

log = structlog.get_logger(__name__)

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""They take no thread of a request's, and must be answered when all places are taken."""

MAX_BODY = 10 * 2**20
BODY_SECONDS = 60.0
WAITING_SECONDS = 10.0
SIGN_IN_SECONDS = 5.0
MAX_WAITING = 200
MAX_SIGN_INS_WAITING = 16


class Refused(Exception):
    """A request that is not worked on."""

    def __init__(self, status: int, code: str, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.retry_after = status, code, sentence, retry_after


TOO_MANY_SIGN_INS = Refused(429, "busy", "Many people sign in just now: try again in a few seconds.", 5)
TOO_MANY_REQUESTS = Refused(503, "busy", "The portal is busy just now: try again in a few seconds.", 5)
BODY_TOO_LARGE = Refused(413, "too_large", f"The body is over {MAX_BODY:,} bytes: send less at once.")
BODY_TOO_SLOW = Refused(408, "too_slow", f"The body did not come within {BODY_SECONDS:g} seconds.")


class Admission:
    """The ASGI application `pages`, with a bounded number of requests at once."""

    def __init__(self, pages: Application) -> None:
        self._pages = pages
        self._requests = Places(settings.HTTP_REQUESTS_AT_ONCE, MAX_WAITING, WAITING_SECONDS)
        self._sign_ins = Places(settings.SIGN_INS_AT_ONCE, MAX_SIGN_INS_WAITING, SIGN_IN_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["path"] in PROBES:
            await self._pages(scope, receive, send)
            return
        signs_in = scope["method"] == "POST" and _hashes_a_password(scope["path"])
        visit = _Visit(self._sign_ins if signs_in else self._requests, scope, receive, send)
        try:
            await self._pages(scope, visit.receive, visit.send)
        except NoPlace:
            await _answer(scope, send, TOO_MANY_SIGN_INS if signs_in else TOO_MANY_REQUESTS)
        except Refused as refusal:
            await _answer(scope, send, refusal)
        finally:
            visit.end()


class _Visit:
    """One request, from its body to its answer."""

    def __init__(self, places: Places, scope: Scope, receive: Receive, send: Send) -> None:
        self._places, self._receive, self._send = places, receive, send
        self._network = network_of((scope.get("client") or ("",))[0] or "")
        self._holds_place = False
        self._bytes = 0
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self._is_complete = False

    async def receive(self) -> Message:
        """Receive the next part of the body; with the last one, take a place."""
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise BODY_TOO_SLOW from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > MAX_BODY:
            raise BODY_TOO_LARGE
        if message["type"] == "http.request" and not message.get("more_body"):
            self._is_complete = True
            await self._places.take(self._network)
            self._holds_place = True
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer. A download takes as long as its reader, so it has no place."""
        if message["type"] == "http.response.body" and message.get("more_body"):
            self.end()
        await self._send(message)

    def end(self) -> None:
        """Give the place back."""
        if self._holds_place:
            self._holds_place = False
            self._places.give_back(self._network)


@cache
def _password_paths() -> tuple[frozenset[str], str]:
    names = ("login", "api-token", "admin:login", "admin:password_change")
    return frozenset(map(reverse, names)), reverse("admin:engagement_user_changelist")


def _hashes_a_password(path: str) -> bool:
    exact, users_of_admin_site = _password_paths()
    return path in exact or path.startswith(users_of_admin_site)


async def _answer(scope: Scope, send: Send, refusal: Refused) -> None:
    log.warning("request refused", path=scope["path"], status=refusal.status, reason=str(refusal))
    kind, body = _body(refusal, is_api=scope["path"].startswith(API_PREFIX))
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@cache
def _body(refusal: Refused, *, is_api: bool) -> tuple[bytes, bytes]:
    if is_api:
        return b"application/json", json.dumps({"detail": refusal.sentence, "code": refusal.code}).encode()
    page = render_to_string("refused.html", {"status": refusal.status, "sentence": refusal.sentence})
    return b"text/html; charset=utf-8", page.encode()
