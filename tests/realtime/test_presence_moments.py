"""Presence between two awaits: nothing that changes while rows are read or a frame is sent is lost, or told wrongly."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from engagement.models import Client
from realtime import presence, subscriptions
from realtime.hub.arrivals import AccessChange
from realtime.hub.filters import Filter
from realtime.hub.hub import Hub
from realtime.models import LiveConnection
from realtime.presence import Place, Watcher
from realtime.protocol import groups, inbound
from tests.factories import MSPFactory, UserFactory
from tests.realtime.conftest import Tenant
from tests.realtime.hubs import ONLY_WHEN_ASKED, Wire, connect, running_hub, settled

pytestmark = pytest.mark.django_db(transaction=True)

Where = dict[Place, dict[uuid.UUID, Watcher]]


@pytest.fixture(autouse=True)
def _only_when_asked(settings: Any) -> None:
    settings.REALTIME = {**ONLY_WHEN_ASKED, "PRESENCE_DAMPING": "0"}


def person(name: str) -> Watcher:
    return Watcher(uuid.uuid5(uuid.NAMESPACE_DNS, name), name, "client_user")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Where:
    """Return who is where, as a look reads it; change it at will."""
    where: Where = {}
    monkeypatch.setattr(
        presence,
        "places",
        lambda msps: {place: dict(who) for place, who in where.items() if place.msp_id in msps},
    )
    return where


def be(rows: Where, tenant: Tenant, client: Client, *names: str) -> None:
    rows[Place(tenant.msp.pk, client.pk)] = {one.user_id: one for one in map(person, names)}


async def listen(hub: Hub, tenant: Tenant, *clients: Client) -> tuple[Any, Wire]:
    """Connect an MSP's user who watches these clients, one by one."""
    connection, wire = await connect(hub, tenant.msp_user, selective=True)
    for client in clients:
        await subscriptions.subscribe(connection, inbound.Subscribe(client_id=client.pk, topics=["presence"]))
    connection.start()
    return connection, wire


async def look(hub: Hub) -> None:
    await hub.presence._look(hub.presence._listened_to())
    await asyncio.sleep(0)


def told(wire: Wire) -> dict[str, set[str]]:
    """Return who is where by the last frame of each client."""
    return {
        frame["client_id"]: {watcher["user"] for watcher in frame["watchers"]}
        for frame in wire.of_type("presence")
    }


def news(wire: Wire) -> list[tuple[str, set[str], set[str]]]:
    return [
        (
            frame["client_id"],
            {one["user"] for one in frame.get("joined", [])},
            {one["user"] for one in frame.get("left", [])},
        )
        for frame in wire.of_type("presence")
    ]


async def test_who_watches_two_clients_is_told_of_both_at_each_look(tenant, rows):
    first, second = tenant.client, tenant.other_client
    async with running_hub() as hub:
        _, wire = await listen(hub, tenant, first, second)
        wire.frames.clear()
        for names in (["a", "b"], ["b"], [], ["c"]):
            before = len(wire.frames)
            be(rows, tenant, first, *names)
            be(rows, tenant, second, *names)
            await look(hub)
            await settled(lambda before=before: len(wire.frames) == before + 2)
            assert told(wire) == {str(first.pk): set(names), str(second.pk): set(names)}


async def test_what_changes_while_a_frame_is_sent_is_told_after_it_folded(tenant, rows):
    first, second = tenant.client, tenant.other_client
    async with running_hub() as hub:
        _, wire = await listen(hub, tenant, first, second)
        wire.frames.clear()
        wire.open.clear()
        be(rows, tenant, first, "a")
        await look(hub)
        await settled(lambda: len(wire.frames) == 1)  # taken, and its sender waits
        for names in (["a", "b"], ["a", "b", "c"], ["b", "c"], ["b"]):  # c came and went
            be(rows, tenant, first, *names)
            be(rows, tenant, second, *names[:1])
            await look(hub)
        be(rows, tenant, second)  # whoever came to the second has gone
        await look(hub)
        assert len(wire.frames) == 1
        wire.open.set()
        await settled(lambda: len(wire.frames) == 2)
        await look(hub)
        assert news(wire) == [(str(first.pk), {"a"}, set()), (str(first.pk), {"b"}, {"a"})]
        assert told(wire)[str(first.pk)] == {"b"}
        assert (hub.presence._pending, hub.presence._telling) == ({}, set())


@pytest.mark.parametrize("end", ["unsubscribed", "access checked", "moved"])
async def test_who_may_not_be_told_any_more_is_not_told_what_was_pending(tenant, rows, monkeypatch, end):
    """Between the look and the frame: the subscription ends, access is being checked, the user has another MSP."""
    async with running_hub() as hub:
        connection, wire = await listen(hub, tenant, tenant.client)
        wire.frames.clear()
        be(rows, tenant, tenant.client, "a")

        def change() -> None:
            if end == "unsubscribed":
                stream = groups.client(tenant.client.pk)
                connection.following[stream].selection.set(None, Filter(frozenset({"alert"})))
            elif end == "access checked":
                connection.rechecks += 1
            else:
                from dataclasses import replace

                scope = replace(connection.identity.scope, msp_id=uuid.uuid4())
                connection.identity = replace(connection.identity, scope=scope)

        true_spawn = hub.spawn

        def spawn(work: Any) -> None:
            change()
            true_spawn(work)

        monkeypatch.setattr(hub, "spawn", spawn)
        await look(hub)
        await asyncio.sleep(0.01)
        assert wire.of_type("presence") == []
        if end == "access checked":  # and it may: a later look tells
            connection.rechecks -= 1
            monkeypatch.setattr(hub, "spawn", true_spawn)
            await look(hub)
            await settled(lambda: told(wire) == {str(tenant.client.pk): {"a"}})


async def test_who_is_found_by_a_new_listener_and_gone_at_the_next_look_does_not_stay(tenant, rows):
    async with running_hub() as hub:
        await listen(hub, tenant, tenant.client)
        await look(hub)
        be(rows, tenant, tenant.client, "brief")
        _, wire = await listen(hub, tenant, tenant.client)
        assert told(wire) == {str(tenant.client.pk): {"brief"}}
        be(rows, tenant, tenant.client)
        await look(hub)
        await settled(lambda: told(wire) == {str(tenant.client.pk): set()})


async def test_a_listener_that_comes_while_rows_are_read_is_told_of_what_follows(tenant, rows, monkeypatch):
    """Its MSP was not looked at then: that must not make its people look gone, nor its next change old."""
    from realtime.hub import threads
    from tests.realtime.conftest import make_tenant

    foreign = await sync_to_async(make_tenant)()
    be(rows, foreign, foreign.client, "there")
    true_run: Callable[..., Any] = threads.run
    async with running_hub() as hub:
        await listen(hub, tenant, tenant.client)
        came: list[Wire] = []

        async def run(purpose: Any, function: Any, *arguments: Any, **options: Any) -> Any:
            answer = await true_run(purpose, function, *arguments, **options)
            if function is presence.places and arguments == ({tenant.msp.pk},) and not came:
                came.append(Wire())
                _, came[0] = await listen(hub, foreign, foreign.client)
            return answer

        monkeypatch.setattr(threads, "run", run)
        await look(hub)
        be(rows, foreign, foreign.client, "there", "new")
        await look(hub)
        await settled(lambda: told(came[0]) == {str(foreign.client.pk): {"there", "new"}})
        assert news(came[0])[1:] == [(str(foreign.client.pk), {"new"}, set())]


async def test_places_that_nobody_listens_to_are_forgotten(tenant, rows):
    async with running_hub() as hub:
        connection, _ = await listen(hub, tenant, tenant.client)
        be(rows, tenant, tenant.client, "a")
        await look(hub)
        await hub.release(connection, 1000)
        await hub.presence._look({tenant.msp.pk})
        assert (hub.presence._places, hub.presence._known, hub.presence._pending) == ({}, set(), {})


async def test_a_moved_clients_user_is_with_the_new_msp_and_never_with_the_former(tenant):
    """From the move on the former MSP does not see them; the new one does once the row names it."""
    new = await sync_to_async(MSPFactory)()
    user = await sync_to_async(UserFactory)(role="client_user", client=tenant.client)
    read = sync_to_async(presence.places)
    both = {tenant.msp.pk, new.pk}
    async with running_hub() as hub:
        connection, _ = await connect(hub, user, route_client=str(tenant.client.pk))
        await hub.ledger.write()
        assert set(await read(both)) == {Place(tenant.msp.pk, tenant.client.pk)}
        await Client.objects.filter(pk=tenant.client.pk).aupdate(msp=new)
        assert Place(tenant.msp.pk, tenant.client.pk) not in await read(both)
        hub.watch.access_changed(AccessChange(users=frozenset({str(user.pk)})))
        await settled(lambda: connection.identity.scope.msp_id == new.pk)
        await hub.ledger.write()
        assert set(await read(both)) == {Place(new.pk, tenant.client.pk)}
        assert (await LiveConnection.objects.aget()).msp_id == new.pk
