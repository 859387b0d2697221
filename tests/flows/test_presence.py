"""Presence: who watches which client, by user and not by socket, damped, and named only where names may be seen."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from tests.factories import UserFactory
from tests.realtime.conftest import Tenant, make_tenant
from tests.servers import PortalServer
from tests.sockets import Socket, token_for

pytestmark = pytest.mark.django_db(transaction=True)

SEEN = 10.0
"""Seconds within which presence shows what changed (a look, the heartbeat, the damping, and room)."""
STILL = 1.2
"""Seconds without a frame in which a look and the damping fit, twice."""


def client_path(tenant: Tenant) -> str:
    return f"/api/v1/ws/client/{tenant.client.pk}/engagement"


async def listen(socket: Socket, user: Any) -> dict[str, Any]:
    """Ask for presence; return who is there once that is oneself too: one's own row is written a moment later."""
    await socket.send({"type": "subscribe", "topics": ["presence"]})
    while True:
        frame = await socket.receive(SEEN)
        if user.username in names(frame):
            return frame
        assert frame["type"] in {"subscribed", "presence"}


async def news(socket: Socket, key: str, name: str | None = None) -> dict[str, Any]:
    """Return the next presence frame in which somebody (of that name) `joined` or `left`."""
    deadline = time.monotonic() + SEEN
    while True:
        frame = await socket.receive(max(0.01, deadline - time.monotonic()))
        names = [watcher["user"] for watcher in frame.get(key, [])]
        if frame["type"] == "presence" and (name in names if name else True):
            return frame


def names(frame: dict[str, Any]) -> set[str]:
    return {watcher["user"] for watcher in frame.get("watchers", [])}


async def overview(server: PortalServer, user: Any, client: Any = None) -> httpx.Response:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token_for(user)}"}) as http:
        return await http.get(
            f"{server.url}/api/v1/ws/presence", params={"client": str(client)} if client else {}
        )


async def shows(server: PortalServer, user: Any, client: Any, expected: dict[str, Any] | None) -> None:
    """Wait until `GET ws/presence` says this of a client."""
    deadline = time.monotonic() + SEEN
    while True:
        found = (await overview(server, user)).json()["clients"].get(str(client))
        if found == expected:
            return
        assert time.monotonic() < deadline, f"{found} instead of {expected}"
        await asyncio.sleep(0.05)


async def test_who_reloads_the_page_is_still_told_to_be_there(tenant, present):
    """The row of the new socket is written a moment after it asks, and coming back within the damping is no news."""
    for _ in range(5):
        async with tenant.socket(present) as reloaded:
            await listen(reloaded, tenant.msp_user)


async def test_who_comes_and_goes_is_told_with_their_name(tenant, present):
    async with tenant.socket(present) as msp:
        await listen(msp, tenant.msp_user)
        async with tenant.socket(present, tenant.client_user):
            frame = await news(msp, "joined", tenant.client_user.username)
            assert frame["client_id"] == str(tenant.client.pk)
            assert frame["client_watchers"] == 1
            assert names(frame) == {tenant.client_user.username, tenant.msp_user.username}
        frame = await news(msp, "left", tenant.client_user.username)
        assert (frame["client_watchers"], frame["client_id"]) == (0, str(tenant.client.pk))


async def test_a_user_counts_once_on_however_many_sockets(tenant, present):
    async with tenant.socket(present) as msp:
        await listen(msp, tenant.msp_user)
        async with tenant.socket(present, tenant.client_user):
            assert (await news(msp, "joined", tenant.client_user.username))["client_watchers"] == 1
            async with tenant.socket(present, tenant.client_user), tenant.socket(present, tenant.client_user):
                await msp.silence(STILL)
            await msp.silence(STILL)
        assert (await news(msp, "left", tenant.client_user.username))["client_watchers"] == 0


async def test_who_comes_back_at_once_never_left(tenant, present):
    async with tenant.socket(present) as msp:
        await listen(msp, tenant.msp_user)
        async with tenant.socket(present, tenant.client_user):
            await news(msp, "joined", tenant.client_user.username)
        for _ in range(3):
            await asyncio.sleep(0.25)  # shorter than the damping
            async with tenant.socket(present, tenant.client_user):
                await asyncio.sleep(0.25)
        async with tenant.socket(present, tenant.client_user):
            await msp.silence(STILL)


async def test_a_clients_people_see_that_their_msp_watches_and_not_who(tenant, present):
    colleague = await sync_to_async(UserFactory)(role="client_admin", client=tenant.client)
    async with tenant.socket(present, tenant.client_user) as own:
        await listen(own, tenant.client_user)
        async with tenant.socket(present):
            frame = await news(own, "joined")
            assert frame["msp_watchers"] == 1
            assert tenant.msp_user.username not in str(frame)
        frame = await news(own, "left")
        assert frame["msp_watchers"] == 0
        assert tenant.msp_user.username not in str(frame)
        async with tenant.socket(present, path=client_path(tenant)):  # the MSP's, on this client alone
            frame = await news(own, "joined")
            assert (frame["msp_watchers"], names(frame)) == (1, {tenant.client_user.username})
            async with tenant.socket(present, colleague):
                frame = await news(own, "joined", colleague.username)
                assert names(frame) == {colleague.username, tenant.client_user.username}


async def test_nobody_hears_of_other_tenants(tenant, present):
    foreign = await sync_to_async(make_tenant)()
    neighbour = await sync_to_async(UserFactory)(role="client_user", client=tenant.other_client)
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(tenant.socket(present, tenant.client_user))
        away = await stack.enter_async_context(foreign.socket(present))
        assert names(await listen(own, tenant.client_user)) == {tenant.client_user.username}
        assert names(await listen(away, foreign.msp_user)) == {foreign.msp_user.username}
        await stack.enter_async_context(tenant.socket(present, neighbour))
        await asyncio.gather(own.silence(STILL), away.silence(STILL))


async def test_presence_of_one_client_is_told_to_who_asked_for_that_client(tenant, present):
    neighbour = await sync_to_async(UserFactory)(role="client_user", client=tenant.other_client)
    async with tenant.socket(present) as msp:
        await msp.send({"type": "subscribe", "client_id": str(tenant.client.pk), "topics": ["presence"]})
        assert {(await msp.receive())["type"], (await msp.receive())["type"]} == {"subscribed", "presence"}
        async with tenant.socket(present, neighbour):
            await msp.silence(STILL)
        async with tenant.socket(present, tenant.client_user):
            await news(msp, "joined", tenant.client_user.username)


async def test_a_selected_client_is_watched_until_it_is_unsubscribed(tenant, present):
    watcher = {
        "msp_watchers": 1,
        "client_watchers": 0,
        "watchers": [{"user": tenant.msp_user.username, "role": "msp_admin"}],
    }
    async with tenant.socket(present, path="/ws/engagement?scope=selected") as socket:
        await shows(present, tenant.msp_user, tenant.client.pk, None)
        await socket.ask({"type": "subscribe", "client_id": str(tenant.client.pk)})
        await shows(present, tenant.msp_user, tenant.client.pk, watcher)
        await socket.ask({"type": "unsubscribe", "client_id": str(tenant.client.pk)})
        await shows(present, tenant.msp_user, tenant.client.pk, None)


async def test_the_overview_shows_each_viewer_what_they_may_see(tenant, present):
    foreign = await sync_to_async(make_tenant)()
    own_people = [{"user": tenant.client_user.username, "role": "client_user"}]
    async with tenant.socket(present), tenant.socket(present, tenant.client_user), foreign.socket(present):
        await shows(
            present,
            tenant.client_user,
            tenant.client.pk,
            {"msp_watchers": 1, "client_watchers": 1, "watchers": own_people},
        )
        of_client = (await overview(present, tenant.client_user)).json()
        assert (set(of_client["clients"]), of_client["msp"]) == ({str(tenant.client.pk)}, None)
        of_msp = (await overview(present, tenant.msp_user)).json()
        assert of_msp["msp"]["watchers"] == [{"user": tenant.msp_user.username, "role": "msp_admin"}]
        assert of_msp["clients"][str(tenant.client.pk)]["client_watchers"] == 1
        assert foreign.msp_user.username not in str(of_msp)
        assert tenant.msp_user.username not in str((await overview(present, foreign.msp_user)).json())
        one = (await overview(present, tenant.msp_user, tenant.client.pk)).json()
        assert set(one["clients"]) == {str(tenant.client.pk)}
    refusals = [
        await overview(present, tenant.client_user, client)
        for client in (
            foreign.client.pk,
            tenant.other_client.pk,
            "00000000-0000-4000-8000-000000000000",
            "nonsense",
        )
    ]
    assert {answer.status_code for answer in refusals} == {404}
    assert len({answer.text for answer in refusals}) == 1


async def test_a_dead_process_takes_its_watchers_with_it(tenant, present, portal_server):
    dying = portal_server(env={"REALTIME_HEARTBEAT": "0.3", "REALTIME_HEARTBEAT_EXPIRY": "1.5"})
    async with tenant.socket(present) as msp:
        await listen(msp, tenant.msp_user)
        async with tenant.socket(dying, tenant.client_user):
            assert (await news(msp, "joined", tenant.client_user.username))["client_watchers"] == 1
            await sync_to_async(dying.kill)()
            frame = await news(msp, "left", tenant.client_user.username)
            assert frame["client_watchers"] == 0


@pytest.mark.slow
async def test_sixty_users_coming_and_going_are_few_frames(tenant, present):
    """Everybody listens. One frame for each change and listener would be some 60 × 60 × 2 = 7,200."""
    users = await sync_to_async(
        lambda: [UserFactory(role="client_user", client=tenant.client) for _ in range(60)]
    )()
    everybody = {user.username for user in users}
    seen: set[str] = set()
    gone: set[str] = set()
    all_seen = asyncio.Event()
    frames = own_frames = 0
    began = time.monotonic()

    async def count(socket: Socket) -> None:
        nonlocal frames
        while True:
            frames += (await socket.receive())["type"] == "presence"

    async def come_and_go(index: int, user: Any) -> None:
        async with tenant.socket(present, user) as socket:
            await socket.send({"type": "subscribe", "topics": ["presence"]})
            counting = asyncio.create_task(count(socket))
            await all_seen.wait()
            await asyncio.sleep(index * 0.02)
            counting.cancel()

    async def watch(msp: Socket) -> None:
        nonlocal own_frames
        while gone != everybody:
            frame = await msp.receive(SEEN)
            own_frames += 1
            seen.update(watcher["user"] for watcher in frame.get("joined", ()))
            gone.update(watcher["user"] for watcher in frame.get("left", ()))
            if seen == everybody:
                all_seen.set()

    async with tenant.socket(present) as msp:
        await listen(msp, tenant.msp_user)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(msp))
            for index, user in enumerate(users):
                group.create_task(come_and_go(index, user))
    looks = (time.monotonic() - began) / 0.2 + 1
    assert own_frames <= looks
    assert frames <= 60 * (looks + 1)
    assert frames < 1500
