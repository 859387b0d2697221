"""Access that changes while a handshake, a renewal or a re-check is under way: each at the very moment it hurts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth import logout
from django.contrib.auth.hashers import make_password
from django.db.models import QuerySet
from django.http import HttpRequest

from engagement.models import Client, User
from realtime import consumers, requests
from realtime.auth import identity as identities
from realtime.auth.credentials import Credential
from realtime.auth.identity import Refused
from realtime.hub import hub as hubs
from realtime.hub import streams, threads
from realtime.hub import watch as watches
from realtime.hub.hub import Hub
from tests.factories import AlertFactory, MSPFactory
from tests.operations.test_metrics import place
from tests.realtime.doors import GENERAL, client_route, session_of
from tests.realtime.hubs import ONLY_WHEN_ASKED, Wire, follow_msp, running_hub, settled
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_when_asked(settings: Any) -> None:
    settings.REALTIME = ONLY_WHEN_ASKED


class Visit:
    """A handshake in the loop of the test: what it is sent, and the moments at which something happens meanwhile."""

    def __init__(self, path: str, token: str | None = None, session: str | None = None) -> None:
        self.wire = Wire()
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self.at_accept: Callable[[], Awaitable[Any]] | None = None
        headers = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
        if session:
            headers.append((b"cookie", f"{django_settings.SESSION_COOKIE_NAME}={session}".encode()))
        query = f"token={token}".encode() if token else b""
        client = path.split("/")[-2] if "/client/" in path else None
        self.scope = {
            "type": "websocket",
            "path": path,
            "headers": headers,
            "query_string": query,
            "client": ("127.0.0.1", 1),
            "subprotocols": [],
            "url_route": {"kwargs": {"client_id": client}},
        }
        kind = consumers.ClientEngagementConsumer if client else consumers.EngagementConsumer
        self.consumer = kind()

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] != "websocket.accept":
            await self.wire.send(message)
        elif self.at_accept is not None:
            await self.at_accept()

    async def serve(self) -> None:
        """Run the consumer to the end of the socket."""
        await self.consumer(self.scope, self._inbox.get, self._send)

    def leave(self) -> None:
        """Close the socket from the client's side."""
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})


@asynccontextmanager
async def the_hub() -> AsyncIterator[Hub]:
    """Run a hub that consumers find."""
    async with running_hub() as hub:
        hubs._hubs[asyncio.get_running_loop()] = hub
        try:
            yield hub
        finally:
            hubs._hubs.pop(asyncio.get_running_loop())


async def told(hub: Hub, change: Callable[[], object]) -> None:
    """Commit a change, and have the hub told of it."""

    def commit() -> None:
        change()
        place()

    await sync_to_async(commit)()
    await hub.sweep()


def after(module: Any, calls: int, then: Callable[[], Awaitable[Any]], monkeypatch: Any) -> None:
    """Let `then` happen once the `calls`-th read by `module` has its answer, before that goes on."""
    made = 0

    async def run(*arguments: Any, **options: Any) -> Any:
        nonlocal made
        try:
            return await threads.run(*arguments, **options)
        finally:
            made += 1
            if made == calls:
                await then()

    monkeypatch.setattr(module, "threads", SimpleNamespace(run=run))


def to_another_msp(tenant: Any) -> None:
    User.objects.filter(pk=tenant.msp_user.pk).update(msp=MSPFactory())


CHANGES: dict[str, Callable[[Any], object]] = {
    "deactivated": lambda t: User.objects.filter(pk=t.msp_user.pk).update(is_active=False),
    "new password": lambda t: User.objects.filter(pk=t.msp_user.pk).update(password=make_password("other")),
    "another MSP": to_another_msp,
    "deleted": lambda t: User.objects.get(pk=t.msp_user.pk).delete(),
}
OF_A_CLIENT: dict[str, Callable[[Any], object]] = {
    "client moved": lambda t: Client.objects.filter(pk=t.client.pk).update(msp=MSPFactory())
}
MOMENTS = ("identity", "stream", "accept", "follow")
CASES = [
    (route, change, moment)
    for route in ("general", "client")
    for change in (CHANGES if route == "general" else CHANGES | OF_A_CLIENT)
    for moment in MOMENTS
    if not (route == "general" and moment == "stream")  # nothing is read for it there
]


@pytest.mark.parametrize(("route", "change", "moment"), CASES)
async def test_a_change_at_any_moment_of_a_handshake_is_noticed(tenant, monkeypatch, route, change, moment):
    path = GENERAL if route == "general" else client_route(tenant.client.pk)
    visit = Visit(path, token=await sync_to_async(token_for)(tenant.msp_user))
    happened = asyncio.Event()
    async with the_hub() as hub:

        async def now() -> None:
            if not happened.is_set():
                happened.set()
                await told(hub, lambda: (CHANGES | OF_A_CLIENT)[change](tenant))

        if moment == "accept":
            visit.at_accept = now
        else:
            after(
                streams if moment == "follow" else consumers, 2 if moment == "stream" else 1, now, monkeypatch
            )
        task = asyncio.ensure_future(visit.serve())
        await settled(lambda: happened.is_set() and (task.done() or bool(visit.wire.frames)))
        await told(hub, lambda: AlertFactory(client=tenant.client, details="after"))
        if change == "another MSP" and route == "general" and visit.wire.closed is None:
            [hello] = visit.wire.of_type("connection")
            assert f"msp.{tenant.msp.pk}" not in hello["positions"]
        else:
            await settled(lambda: visit.wire.closed in {1008, 4003})
            assert [frame["type"] for frame in visit.wire.frames][-1:] == ["error"]
        assert visit.wire.events() == []
        visit.leave()
        await task


async def test_access_that_changes_all_the_time_is_refused_for_now(tenant, monkeypatch):
    visit = Visit(GENERAL, token=await sync_to_async(token_for)(tenant.msp_user))
    async with the_hub() as hub:

        async def run(*arguments: Any, **options: Any) -> Any:
            answer = await threads.run(*arguments, **options)
            await told(hub, lambda: User.objects.filter(pk=tenant.msp_user.pk).update(is_active=True))
            return answer

        monkeypatch.setattr(consumers, "threads", SimpleNamespace(run=run))
        await visit.serve()
    assert (visit.wire.frames[-1]["code"], visit.wire.closed) == ("unavailable", 1013)


async def test_a_drain_that_begins_in_a_handshake_is_told_to_it(tenant):
    """The drain waits for it: it is refused with 1012, and not dropped."""
    visit = Visit(GENERAL, token=await sync_to_async(token_for)(tenant.msp_user))
    async with the_hub() as hub:

        async def drain() -> None:
            draining.append(asyncio.ensure_future(hub.drain(0)))
            await asyncio.sleep(0.3)
            assert not draining[0].done()

        draining: list[asyncio.Future[None]] = []
        visit.at_accept = drain
        await visit.serve()
        await draining[0]
    assert (visit.wire.frames[-1]["code"], visit.wire.closed) == ("restarting", 1012)


async def test_a_connection_that_a_drain_finds_late_is_handed_over(tenant):
    async with the_hub() as hub:
        _, first = await follow_msp(hub, tenant)
        draining = asyncio.ensure_future(hub.drain(0))
        await settled(lambda: first.closed is not None)
        _, late = await follow_msp(hub, tenant)
        await settled(lambda: late.closed == 1012)
        assert late.of_type("reconnect")
        for connection in list(hub.roster.connections.values()):
            await hub.release(connection, 1012)
        await draining


# Sessions


def sign_out(tenant: Any, key: str) -> None:
    request = HttpRequest()
    request.session = import_module(django_settings.SESSION_ENGINE).SessionStore(key)
    request.user = tenant.msp_user
    logout(request)


async def test_a_session_whose_end_was_told_lets_nobody_in_while_its_row_is_there(tenant, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    key = await sync_to_async(session_of)(tenant.msp_user)
    async with the_hub() as hub:
        let_in = Visit(GENERAL, session=key)
        task = asyncio.ensure_future(let_in.serve())
        await settled(lambda: bool(let_in.wire.of_type("connection")))
        hub.watch.access_changed(
            watches.AccessChange(sessions=frozenset({identities.fingerprint(key)}))
        )  # told, and the row not deleted yet
        await settled(lambda: let_in.wire.closed == 4003)
        let_in.leave()
        await task
        late = Visit(GENERAL, session=key)
        await late.serve()
    assert (late.wire.frames[-1]["code"], late.wire.closed) == ("authentication_required", 1008)


@pytest.mark.parametrize(
    "engine",
    ["django.contrib.sessions.backends.signed_cookies", "django.contrib.sessions.backends.cached_db"],
)
def test_whatever_session_lets_a_page_in_lets_its_socket_in(tenant, settings, engine):
    settings.SESSION_ENGINE = engine
    key = session_of(tenant.msp_user)
    assert identities.identify(Credential("session", key)).user_id == tenant.msp_user.pk
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret key, of at least fifty characters, to sign with"
    assert identities.identify(Credential("session", key)).user_id == tenant.msp_user.pk
    User.objects.filter(pk=tenant.msp_user.pk).update(password=make_password("other"))
    with pytest.raises(Refused):
        identities.identify(Credential("session", key))


async def test_a_socket_opened_by_a_session_that_takes_a_token_still_ends_with_the_session(tenant):
    key = await sync_to_async(session_of)(tenant.msp_user)
    async with the_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        connection.identity = await sync_to_async(identities.identify)(Credential("session", key))
        token = await sync_to_async(token_for)(tenant.msp_user)
        await requests.answer(connection, f'{{"type":"authenticate","token":"{token}"}}', None)
        assert wire.of_type("authenticated")
        assert connection.identity.expires_at is not None
        await told(hub, lambda: sign_out(tenant, key))
        await settled(lambda: wire.closed == 4003)


# Re-checks


async def test_a_recheck_under_way_does_not_undo_a_renewed_token(tenant, monkeypatch):
    later = datetime.now(UTC) + timedelta(hours=1)
    async with the_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        before = connection.identity

        async def renew() -> None:
            connection.identity = replace(before, expires_at=later)

        after(watches, 1, renew, monkeypatch)
        await told(hub, lambda: User.objects.filter(pk=tenant.msp_user.pk).update(role="msp_user"))
        await settled(lambda: not connection.rechecks)
        assert connection.identity.expires_at == later
        assert connection.identity.scope.role == "msp_user"
        assert wire.closed is None


async def test_nothing_is_sent_while_access_is_rechecked_and_nothing_after_it_ended(tenant, monkeypatch):
    checking, go_on = asyncio.Event(), asyncio.Event()

    async def wait(*arguments: Any, **options: Any) -> Any:
        checking.set()
        await go_on.wait()
        return await threads.run(*arguments, **options)

    async with the_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        monkeypatch.setattr(watches, "threads", SimpleNamespace(run=wait))
        await told(hub, lambda: User.objects.filter(pk=tenant.msp_user.pk).update(is_active=False))
        await checking.wait()
        answering = asyncio.ensure_future(requests.answer(connection, '{"type":"ping"}', None))
        await asyncio.sleep(0.05)
        assert wire.frames == []
        go_on.set()
        await answering
        await settled(lambda: wire.closed == 4003)
        assert [frame["type"] for frame in wire.frames] == ["error"]


async def test_another_log_has_everybody_checked_again(tenant):
    """A change that was told in the log before is not told in a restored one."""
    async with the_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        await sync_to_async(lambda: QuerySet(User).filter(pk=tenant.msp_user.pk).update(is_active=False))()
        assert wire.closed is None
        hub.streams.epoch = "another"
        await hub.sweep()
        await settled(lambda: wire.closed == 4003)
        assert connection.is_closing
