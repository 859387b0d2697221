"""`resume` with `"last"`: what a user missed since their last connection, from whatever device."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime.models import Bookmark
from tests.factories import AlertFactory, UserFactory
from tests.live import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ROUTES = ["general", "client"]


def path_of(route: str, tenant: Any) -> str:
    return (
        "/api/v1/ws/engagement" if route == "general" else f"/api/v1/ws/client/{tenant.client.pk}/engagement"
    )


def stream_of(route: str, tenant: Any) -> str:
    return f"msp.{tenant.msp.pk}" if route == "general" else f"client.{tenant.client.pk}"


async def save(tenant: Any, count: int) -> None:
    def work() -> None:
        for _ in range(count):
            AlertFactory(client=tenant.client)

    await sync_to_async(work)()


async def marked(user: Any, stream: str, position: int) -> None:
    """Wait until the bookmark is where it should be."""

    def there() -> bool:
        return Bookmark.objects.filter(user=user, stream=stream, position=position).exists()

    await sync_to_async(wait_until)(there, f"the bookmark never came to {position}")


async def read_and_leave(
    tenant: Any, server: Any, route: str, *, saved: int, read: int, user: Any = None
) -> None:
    """Connect, save, say in a ping how far one has read, and go."""
    stream = stream_of(route, tenant)
    async with tenant.socket(server, user, path_of(route, tenant)) as socket:
        await save(tenant, saved)
        await socket.events(saved)
        await socket.ask({"type": "ping", "positions": {stream: read}})
    await marked(user or tenant.msp_user, stream, read)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("how", ["query", "frame"])
async def test_a_second_device_gets_what_its_user_has_not_seen(tenant, server, route, how):
    stream, path = stream_of(route, tenant), path_of(route, tenant)
    await read_and_leave(tenant, server, route, saved=3, read=2)
    await save(tenant, 2)
    async with tenant.socket(server, path=f"{path}?positions=last" if how == "query" else path) as phone:
        answer = await (
            phone.receive() if how == "query" else phone.ask({"type": "resume", "positions": "last"})
        )
        if how == "frame":
            assert answer["to"] >= 2
        assert (answer["type"], answer["stream"], answer["from"]) == ("resumed", stream, 2)
        assert [event["seq"] for event in await phone.events(3)] == [3, 4, 5]
        await save(tenant, 1)
        assert [event["seq"] for event in await phone.events(1)] == [6]


@pytest.mark.parametrize("route", ROUTES)
async def test_the_bookmark_belongs_to_its_user(tenant, daphne, route):
    await read_and_leave(tenant, daphne, route, saved=2, read=1)
    colleague = await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp)
    async with tenant.socket(daphne, colleague, path_of(route, tenant)) as socket:
        answer = await socket.ask({"type": "resume", "positions": "last"})
        assert (answer["type"], answer["reason"]) == ("resync", "unknown")


async def test_each_route_has_a_bookmark_of_its_own(tenant, daphne):
    await read_and_leave(tenant, daphne, "general", saved=2, read=2)
    async with tenant.socket(daphne, path=path_of("client", tenant)) as socket:
        answer = await socket.ask({"type": "resume", "positions": "last"})
        assert (answer["type"], answer["reason"], answer["stream"]) == (
            "resync",
            "unknown",
            stream_of("client", tenant),
        )


async def test_of_two_devices_the_one_further_on_counts(tenant, daphne):
    stream = stream_of("general", tenant)
    await read_and_leave(tenant, daphne, "general", saved=4, read=3)
    async with tenant.socket(daphne) as slow:
        await slow.ask({"type": "ping", "positions": {stream: 1}})
    # The write that its end brings comes after the ping's; another user's bookmark shows that it was done.
    await read_and_leave(
        tenant,
        daphne,
        "general",
        saved=1,
        read=5,
        user=await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp),
    )
    await marked(tenant.msp_user, stream, 3)


async def test_a_position_that_was_never_sent_moves_nothing(tenant, daphne):
    stream = stream_of("general", tenant)
    await read_and_leave(tenant, daphne, "general", saved=2, read=1)
    async with tenant.socket(daphne) as socket:
        await socket.ask(
            {"type": "ping", "positions": {stream: 999, f"client.{tenant.client.pk}": 1, "nonsense": 4}}
        )
    other = await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp)
    await read_and_leave(tenant, daphne, "general", saved=1, read=3, user=other)
    assert await Bookmark.objects.filter(user=tenant.msp_user).acount() == 1
    await marked(tenant.msp_user, stream, 1)


@pytest.mark.parametrize("how", ["query", "frame"])
async def test_a_bookmark_of_another_epoch_cannot_be_resumed(tenant, daphne, how):
    await read_and_leave(tenant, daphne, "general", saved=3, read=2)
    await Bookmark.objects.aupdate(epoch=str(uuid.uuid4()))
    path = "/ws/engagement?positions=last" if how == "query" else "/ws/engagement"
    async with tenant.socket(daphne, path=path) as socket:
        answer = await (
            socket.receive() if how == "query" else socket.ask({"type": "resume", "positions": "last"})
        )
        assert (answer["type"], answer["reason"], answer["seq"]) == ("resync", "epoch", 3)
    # In its new epoch the bookmark counts from anew, though its number is lower.
    async with tenant.socket(daphne) as socket:
        await socket.ask({"type": "ping", "positions": {stream_of("general", tenant): 1}})
    await marked(tenant.msp_user, stream_of("general", tenant), 1)


async def test_selected_clients_have_bookmarks_too(tenant, daphne):
    stream = f"client.{tenant.client.pk}"
    await read_and_leave(tenant, daphne, "client", saved=3, read=1)
    async with tenant.socket(daphne, path="/ws/engagement?scope=selected") as socket:
        await socket.ask({"type": "subscribe", "client_id": str(tenant.client.pk)})
        answer = await socket.ask({"type": "resume", "positions": "last"})
        assert (answer["type"], answer["stream"], answer["count"]) == ("resumed", stream, 2)
        assert [event["seq"] for event in await socket.events(2)] == [2, 3]


async def test_a_deleted_user_stops_nobody_elses_bookmark(tenant, daphne):
    """Their own is waiting to be written when they go."""
    stream = stream_of("general", tenant)
    leaver = await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp)
    async with tenant.socket(daphne, leaver) as socket:
        await save(tenant, 1)
        await socket.events(1)
        await socket.ask({"type": "ping", "positions": {stream: 1}})
        await sync_to_async(leaver.delete)()
    await read_and_leave(tenant, daphne, "general", saved=1, read=2)
