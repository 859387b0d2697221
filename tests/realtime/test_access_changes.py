"""Access that changes while sockets are open: taken away, moved, kept; and tokens that end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.contrib.auth import logout
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.utils import timezone

from engagement.models import User
from tests.factories import AlertFactory, UserFactory
from tests.realtime.conftest import Tenant, make_tenant
from tests.realtime.doors import GENERAL, client_route, cookie, knock, session_of, token_ending_in
from tests.sockets import Socket, is_event, token_for

pytestmark = pytest.mark.django_db(transaction=True)

PROMPT = 2.0
"""Seconds from the commit to the close."""


def change(**values: Any) -> Callable[[User], None]:
    def deed(user: User) -> None:
        for name, value in values.items():
            setattr(user, name, value)
        user.save()

    return deed


def new_password(user: User) -> None:
    user.set_password("another")
    user.save()


def to_another_msp(user: User) -> None:
    user.msp = make_tenant().msp
    user.save()


def to_a_client(user: User) -> None:
    user.role, user.client, user.msp = "client_user", user.msp.clients.first(), None
    user.save()


ENDS: dict[str, Callable[[User], None]] = {
    "deactivated": change(is_active=False),
    "deactivated by an update of rows": lambda user: (
        User.objects.filter(pk=user.pk).update(is_active=False) and None
    ),
    "role taken away": change(role="", msp=None),
    "password changed": new_password,
    "moved to another MSP": to_another_msp,
    "made a client's user": to_a_client,
    "deleted": lambda user: user.delete() and None,
}


async def end_of(socket: Socket) -> tuple[list[dict[str, Any]], int | None, str | None]:
    """Take all frames to the close; return them, the code and the reason."""
    frames = []
    try:
        while True:
            frames.append(await socket.receive())
    except websockets.ConnectionClosed:
        return frames, socket.raw.close_code, socket.raw.close_reason


async def assert_revoked(socket: Socket, within: float = PROMPT) -> None:
    begin = time.monotonic()
    frames, code, reason = await end_of(socket)
    assert time.monotonic() - begin < within
    assert [frame for frame in frames if is_event(frame)] == [], "committed after the change"
    assert frames[-1]["type"] == "error"
    assert frames[-1]["code"] == "access_revoked"
    assert (code, reason) == (4003, frames[-1]["message"][:120])


async def hears(tenant: Tenant, *sockets: Socket) -> None:
    """Save an alert of the tenant's client, and see that every socket gets it."""
    alert = await sync_to_async(AlertFactory)(client=tenant.client)
    for socket in sockets:
        [event] = await socket.events(1)
        assert event["data"]["id"] == str(alert.pk)


@pytest.mark.parametrize("name", ENDS)
async def test_a_socket_ends_with_its_users_access_and_hears_nothing_after(tenant, server, name):
    user = await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp)

    def deed() -> None:
        ENDS[name](User.objects.get(pk=user.pk))
        AlertFactory(client=tenant.client, details="after")

    async with (
        tenant.socket(server, user) as general,
        tenant.socket(server, user, path=client_route(tenant.client.pk)) as one,
        tenant.socket(server) as colleague,
    ):
        await hears(tenant, general, one, colleague)
        await sync_to_async(deed)()
        for socket in (general, one):
            await assert_revoked(socket)
        [event] = await colleague.events(1)
        assert event["data"]["details"] == "after"
        answer = await knock(f"{server.ws_url}{GENERAL}", token=token_for(user))
        assert answer.close_code in (1008, None)
        if answer.is_open:  # a user with another tenant comes back to that
            assert f"msp.{tenant.msp.pk}" not in answer.frame["positions"]


async def test_a_clients_user_who_moves_to_another_client_is_cut_off_from_the_first(tenant, daphne):
    async with tenant.socket(daphne, tenant.client_user) as socket:
        user = await User.objects.aget(pk=tenant.client_user.pk)
        await sync_to_async(change(client=tenant.other_client))(user)
        await sync_to_async(AlertFactory)(client=tenant.client)
        await assert_revoked(socket)


@pytest.mark.parametrize(
    ("role", "becomes"),
    [
        ("msp_admin", "msp_user"),
        ("msp_user", "msp_admin"),
        ("client_admin", "client_user"),
        ("client_user", "client_admin"),
    ],
)
async def test_another_role_in_the_same_tenant_keeps_the_socket(tenant, daphne, role, becomes):
    place = {"msp": tenant.msp} if role.startswith("msp") else {"client": tenant.client}
    user = await sync_to_async(UserFactory)(role=role, **place)
    async with tenant.socket(daphne, user) as socket:
        await sync_to_async(change(role=becomes))(await User.objects.aget(pk=user.pk))
        await hears(tenant, socket)
        # The new role is the connection's, soon: then a token of it is taken in place.
        deadline = time.monotonic() + PROMPT
        while (await socket.ask({"type": "authenticate", "token": token_for(user)}))[
            "type"
        ] != "authenticated":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        await hears(tenant, socket)


async def test_a_client_that_goes_to_another_msp_takes_its_own_users_along_and_leaves_the_others(
    tenant, server
):
    other = await sync_to_async(make_tenant)()
    client = str(tenant.client.pk)

    async with (
        tenant.socket(server, path=f"{GENERAL}?scope=selected") as selected,
        tenant.socket(server, path=client_route(client)) as one,
        tenant.socket(server) as whole,
        tenant.socket(server, tenant.client_user) as own,
        other.socket(server) as new,
    ):
        await selected.ask({"type": "subscribe", "client_id": client})
        await selected.ask({"type": "subscribe", "client_id": str(tenant.other_client.pk)})

        def move() -> None:
            tenant.client.msp = other.msp
            tenant.client.save()
            AlertFactory(client=tenant.client, details="in the new home")
            AlertFactory(client=tenant.other_client, details="at home")

        await sync_to_async(move)()
        await assert_revoked(one)
        frames = [await selected.receive() for _ in range(2)]
        assert {"type": "unsubscribed", "client_id": client, "topics": []} in frames
        assert [frame["data"]["details"] for frame in frames if is_event(frame)] == ["at home"]
        for socket, details in ((whole, "at home"), (own, "in the new home"), (new, "in the new home")):
            [event] = await socket.events(1)
            assert event["data"]["details"] == details
        assert (await selected.ask({"type": "subscribe", "client_id": client}))["code"] == "not_found"
        assert (await whole.ask({"type": "request_update", "client_id": client}))["code"] == "not_found"
        assert (await new.ask({"type": "request_update", "client_id": client}))["type"] == "engagement_update"
        assert (await own.ask({"type": "request_update"}))["type"] == "engagement_update"


async def test_signing_out_ends_the_sockets_of_that_session_only(tenant, server):
    def sessions() -> list[str]:
        return [session_of(tenant.msp_user) for _ in range(2)]

    def sign_out(key: str) -> None:
        request = HttpRequest()
        request.session, request.user = SessionStore(key), tenant.msp_user
        logout(request)
        AlertFactory(client=tenant.client, details="after")

    left, kept = await sync_to_async(sessions)()
    url = f"{server.ws_url}{GENERAL}"
    async with (
        Socket(url, headers=cookie(left), origin=server.url) as ends,
        Socket(url, headers=cookie(kept), origin=server.url) as stays,
        tenant.socket(server) as by_token,
    ):
        await sync_to_async(sign_out)(left)
        await assert_revoked(ends)
        for socket in (stays, by_token):
            [event] = await socket.events(1)
            assert event["data"]["details"] == "after"
    answer = await knock(url, headers=cookie(left), origin=server.url)
    assert answer.frame["code"] == "authentication_required"


async def test_other_changes_of_a_user_change_nothing(tenant, daphne):
    async with tenant.socket(daphne, tenant.client_user) as socket:
        await sync_to_async(change(first_name="Ana", email="ana@example.com"))(tenant.client_user)
        await hears(tenant, socket)


# Tokens that end


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_token_that_ends_is_announced_then_renewed_or_closed_after_a_grace(
    tenant, portal_server, kind
):
    env = {"REALTIME_EXPIRY_WARNING": "4.5", "REALTIME_EXPIRY_GRACE": "1", "REALTIME_SWEEP_LOCAL": "0.05"}
    server = await sync_to_async(portal_server)(server=kind, env=env)
    url = f"{server.ws_url}{GENERAL}"
    async with (
        Socket(url, token=token_ending_in(tenant.msp_user, 5)) as ends,
        Socket(url, token=token_ending_in(tenant.msp_user, 5)) as renews,
        Socket(
            url, headers=cookie(await sync_to_async(session_of)(tenant.msp_user)), origin=server.url
        ) as session,
    ):
        for socket in (renews, ends):
            end = datetime.fromisoformat(socket.hello["token_expires_at"])
            warning = await socket.receive()
            assert (warning["type"], warning["expiring"]) == ("authenticated", True)
            assert datetime.fromisoformat(warning["token_expires_at"]) == end
            assert timezone.now() < end
        answer = await renews.ask({"type": "authenticate", "token": token_ending_in(tenant.msp_user, 600)})
        assert answer["type"] == "authenticated"
        assert "expiring" not in answer

        frames, code, reason = await end_of(ends)
        late = (timezone.now() - end).total_seconds()
        assert 0.9 < late < 6, "after the grace"
        assert frames[-1]["code"] == "token_expired"
        assert (code, reason) == (4001, frames[-1]["message"])
        await hears(tenant, renews, session)
