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
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.test import Client as Browser
from django.utils import timezone

from engagement import access
from engagement.models import Client, User
from realtime import consumers, requests
from realtime.auth import identity as identities
from realtime.auth import tickets
from realtime.auth.credentials import Credential
from realtime.auth.identity import Refused
from realtime.hub import hub as hubs
from realtime.hub import streams, threads
from realtime.hub import watch as watches
from realtime.hub.hub import Hub
from realtime.models import Ticket
from realtime.protocol import groups
from tests.factories import AlertFactory, ClientFactory, MSPFactory, SuperuserFactory, UserFactory
from tests.operations.test_metrics import place
from tests.realtime.doors import GENERAL, client_route, session_of
from tests.realtime.hubs import ONLY_WHEN_ASKED, Wire, connect, follow_msp, running_hub, settled
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
            watches.AccessChange(sessions=frozenset({tickets.fingerprint(key)}))
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


# Tickets


def ticket_by_session(tenant: Any) -> tuple[str, str]:
    """Return a ticket that a page asked for, and its session."""
    key = session_of(tenant.msp_user)
    browser = Browser()
    browser.cookies[django_settings.SESSION_COOKIE_NAME] = key
    return browser.post(TICKETS).json()["ticket"], key


def ticket_by_token(tenant: Any) -> str:
    token = token_for(tenant.msp_user)
    return Browser().post(TICKETS, headers={"Authorization": f"Bearer {token}"}).json()["ticket"]


TICKETS = "/api/v1/ws/ticket"


def test_a_ticket_asked_for_before_a_sign_out_lets_nobody_in_after_it(tenant):
    ticket, key = ticket_by_session(tenant)
    sign_out(tenant, key)
    with pytest.raises(Refused):
        identities.identify(Credential("ticket", ticket))


@pytest.mark.parametrize("by", [ticket_by_token, lambda tenant: ticket_by_session(tenant)[0]])
def test_a_ticket_asked_for_before_a_new_password_lets_nobody_in_after_it(tenant, by):
    ticket = by(tenant)
    User.objects.filter(pk=tenant.msp_user.pk).update(password=make_password("other"))
    with pytest.raises(Refused):
        identities.identify(Credential("ticket", ticket))


def test_a_tickets_socket_ends_with_what_asked_for_it(tenant):
    by_token = identities.identify(Credential("ticket", ticket_by_token(tenant)))
    assert by_token.expires_at is not None
    assert by_token.session_key is None
    ticket, key = ticket_by_session(tenant)
    by_session = identities.identify(Credential("ticket", ticket))
    assert (by_session.session_key, by_session.expires_at) == (key, None)
    late = ticket_by_token(tenant)
    Ticket.objects.update(token_expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(Refused) as refused:
        identities.identify(Credential("ticket", late))
    assert refused.value.code == "token_expired"


async def test_a_socket_by_ticket_ends_when_its_page_is_signed_out(tenant):
    ticket, key = await sync_to_async(ticket_by_session)(tenant)
    async with the_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        connection.identity = await sync_to_async(identities.identify)(Credential("ticket", ticket))
        await told(hub, lambda: sign_out(tenant, key))
        await settled(lambda: wire.closed == 4003)


# Changes that nobody tells of


UNTOLD: dict[str, Callable[[Any, str], object]] = {
    "deactivated": lambda t, _: QuerySet(User).filter(pk=t.msp_user.pk).update(is_active=False),
    "new password": lambda t, _: QuerySet(User).filter(pk=t.msp_user.pk).update(password="other"),
    "another MSP": lambda t, _: QuerySet(User).filter(pk=t.msp_user.pk).update(msp=MSPFactory()),
    "session deleted": lambda t, key: Session.objects.filter(pk=key).delete(),
    "session expired": lambda t, key: Session.objects.filter(pk=key).update(expire_date=timezone.now()),
}


@pytest.mark.parametrize("name", UNTOLD)
async def test_a_change_that_nobody_tells_of_is_found_within_the_bound(tenant, settings, name):
    settings.REALTIME = ONLY_WHEN_ASKED | {"RECHECK_SECONDS": "0.2"}
    key = await sync_to_async(session_of)(tenant.msp_user)
    async with the_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        connection.identity = await sync_to_async(identities.identify)(Credential("session", key))
        _, colleague = await follow_msp(hub, SimpleNamespace(msp_user=tenant.client_user, msp=tenant.msp))
        await asyncio.sleep(0.5)
        assert wire.closed is None
        await sync_to_async(UNTOLD[name])(tenant, key)
        await settled(lambda: wire.closed == 4003)
        assert colleague.closed is None


async def test_a_client_moved_without_a_word_is_taken_away(tenant, settings):
    settings.REALTIME = ONLY_WHEN_ASKED | {"RECHECK_SECONDS": "0.2"}
    async with the_hub() as hub:
        connection, wire = await connect(hub, tenant.msp_user, selective=True)
        for client in (tenant.client, tenant.other_client):
            await hub.streams.follow(connection, groups.client(client.pk))
        connection.start()
        await sync_to_async(lambda: QuerySet(Client).filter(pk=tenant.client.pk).update(msp=MSPFactory()))()
        await settled(lambda: bool(wire.of_type("unsubscribed")))
        assert list(connection.following) == [groups.client(tenant.other_client.pk)]
        assert wire.closed is None


async def test_a_database_that_is_away_closes_nobody(tenant, settings, monkeypatch):
    settings.REALTIME = ONLY_WHEN_ASKED | {"RECHECK_SECONDS": "0.2"}
    asked: list[int] = []

    def away(_: Any) -> Any:
        asked.append(1)
        raise OperationalError("away")

    async with the_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        with monkeypatch.context() as patch:
            patch.setattr(identities, "recheck_many", away)
            await settled(lambda: len(asked) >= 2)
        assert wire.closed is None
        await sync_to_async(UNTOLD["deactivated"])(tenant, "")
        await settled(lambda: wire.closed == 4003)


def test_many_are_asked_in_two_queries(tenant, django_assert_num_queries):
    one = identities.identify(Credential("token", token_for(tenant.msp_user)))
    other = identities.identify(Credential("token", token_for(tenant.client_user)))
    with django_assert_num_queries(2):
        found = identities.recheck_many([(one, [tenant.client.pk]), (other, [tenant.other_client.pk])] * 25)
    assert found == [(one, {tenant.client.pk}), (other, set())] * 25


def test_may_see_and_client_filter_agree(tenant):
    clients = [tenant.client, tenant.other_client, ClientFactory()]
    users = [
        *(UserFactory(role=role, msp=tenant.msp) for role in ("msp_admin", "msp_user")),
        *(UserFactory(role=role, client=tenant.client) for role in ("client_admin", "client_user")),
        UserFactory(role="msp_user", msp=tenant.msp, is_active=False),
        UserFactory(role=""),
        SuperuserFactory(),
        AnonymousUser(),
    ]
    for user in users:
        visible = set(Client.objects.visible_to(user))
        assert {client for client in clients if access.may_see(user, client)} == visible & set(clients)
