"""What an MSP's stream says of a client that another MSP looks after now: it is read by nobody there any more.

Whoever was live when it happened was told. Who resumes later, or is behind, or was hired since, gets everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection as database

from engagement.models import Client
from realtime import requests
from realtime.events import reading
from realtime.hub import threads
from realtime.models import Event
from realtime.protocol import groups
from tests.factories import AlertFactory, MSPFactory, UserFactory
from tests.live import wait_until
from tests.realtime.hubs import ONLY_WHEN_ASKED, announced, follow_msp, meanwhile, running_hub, settled
from tests.realtime.tight import TAIL_EVENTS

pytestmark = pytest.mark.django_db(transaction=True)


def by_sql(client: Client, msp: Any) -> None:
    with database.cursor() as cursor:
        values = [value if database.vendor == "postgresql" else value.hex for value in (msp.pk, client.pk)]
        cursor.execute("UPDATE engagement_client SET msp_id = %s WHERE id = %s", values)


MOVES: dict[str, Callable[[Client, Any], object]] = {
    "saved": lambda client, msp: (setattr(client, "msp", msp), client.save()),
    "added to the new MSP": lambda client, msp: msp.clients.add(client),
    "updated": lambda client, msp: Client.objects.filter(pk=client.pk).update(msp=msp),
}


def save(*clients: Client) -> None:
    """Save an alert of each, in this order, and wait until they are in the log."""
    before = Event.objects.exclude(client_id=None).count()
    for client in clients:
        AlertFactory(client=client, details=f"of {client.name}")
    wait_until(
        lambda: Event.objects.exclude(client_id=None).count() == before + len(clients), "not published"
    )


async def resumed(tenant: Any, server: Any, user: Any, count: int, **options: Any) -> list[dict[str, Any]]:
    """Resume the MSP's stream from its beginning, as `user`; return `count` events and look that no more comes."""
    async with tenant.socket(server, user, **options) as socket:
        positions = {groups.msp(tenant.msp.pk): 0}
        answer = await socket.ask({"type": "resume", "positions": positions, "epoch": socket.hello["epoch"]})
        assert answer["type"] == "resumed"
        events = await socket.events(count)
        assert (await socket.ask({"type": "ping"}))["type"] == "pong"
        return events


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("more", [0, TAIL_EVENTS + 3])
async def test_who_is_hired_after_a_client_left_does_not_read_its_past(tenant, tight, move, more):
    """From memory, and from the rows."""
    left, stays = tenant.client, tenant.other_client
    hired = await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp)
    new = await sync_to_async(MSPFactory)()
    async with tenant.socket(tight) as live:
        await sync_to_async(save)(left, stays, left, left, stays, *[left] * more)
        await live.events(5 + more, timeout=20)  # they are in the server's memory
        await sync_to_async(MOVES[move])(await Client.objects.aget(pk=left.pk), new)
        await sync_to_async(save)(stays)
        [after] = await live.events(1)
        assert (after["seq"], after["client_id"]) == (6 + more, str(stays.pk))
        events = await resumed(tenant, tight, hired, 3)
    assert [event["seq"] for event in events] == [2, 5, 6 + more]
    assert {event["client_id"] for event in events} == {str(stays.pk)}


@pytest.mark.parametrize("path", ["?rate=5", "?batch=1"])
async def test_neither_folded_nor_in_batches(tenant, tight, path):
    left, stays = tenant.client, tenant.other_client
    new = await sync_to_async(MSPFactory)()
    await sync_to_async(save)(left, stays, left)
    await sync_to_async(MOVES["updated"])(left, new)
    [event] = await resumed(tenant, tight, None, 1, path=f"/api/v1/ws/engagement{path}")
    assert event["client_id"] == str(stays.pk)


async def test_the_new_msp_reads_the_clients_own_stream_and_its_own(tenant, tight):
    new = await sync_to_async(MSPFactory)()
    hired = await sync_to_async(UserFactory)(role="msp_user", msp=new)
    await sync_to_async(save)(tenant.client, tenant.client)
    await sync_to_async(MOVES["saved"])(tenant.client, new)
    await sync_to_async(save)(tenant.client)
    async with tenant.socket(tight, hired, path="/api/v1/ws/engagement?scope=selected") as socket:
        await socket.ask({"type": "subscribe", "client_id": str(tenant.client.pk)})
        await socket.ask({"type": "resume", "positions": {groups.client(tenant.client.pk): 0}})
        assert [event["seq"] for event in await socket.events(3)] == [1, 2, 3]


def test_a_client_that_comes_back_shows_its_past_again(tenant):
    new = MSPFactory()
    save(tenant.client)
    stream = groups.msp(tenant.msp.pk)
    MOVES["updated"](tenant.client, new)
    assert [(row.hidden, row.data) for row in reading.page(stream, 0, 10).rows] == [(True, "")]
    MOVES["updated"](tenant.client, tenant.msp)
    assert [row.hidden for row in reading.page(stream, 0, 10).rows] == [False]


@pytest.mark.parametrize("moved", [False, True])
def test_a_deleted_client_stays_with_the_msp_that_had_it_last(tenant, moved):
    new = MSPFactory()
    save(tenant.client)
    if moved:
        MOVES["saved"](tenant.client, new)
    Client.objects.get(pk=tenant.client.pk).delete()
    wait_until(lambda: Event.objects.exclude(client_id=None).count() == 2, "not published")
    hidden = [row.hidden for row in reading.page(groups.msp(tenant.msp.pk), 0, 10).rows]
    assert hidden == ([True] if moved else [False, False])
    assert [row.hidden for row in reading.page(groups.msp(new.pk), 0, 10).rows] == ([False] if moved else [])


class TestMoments:
    """A hub that does nothing by itself, with few events in memory."""

    @pytest.fixture(autouse=True)
    def _only_when_asked(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.REALTIME = ONLY_WHEN_ASKED
        monkeypatch.setattr("realtime.events.publisher.messages", lambda events: [])

    async def moved(self, tenant: Any) -> None:
        """Move the client; the hub has not been told yet."""
        new = await sync_to_async(MSPFactory)()
        before = await Event.objects.acount()
        await sync_to_async(MOVES["updated"])(tenant.client, new)
        await sync_to_async(wait_until)(lambda: Event.objects.count() == before + 1, "not published")

    async def position(self) -> int:
        return (await Event.objects.order_by("position").alast()).position

    def read_stale_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the next page be as it was before the client left: its read was under way."""
        true_left = reading.clients_left
        stale = iter([lambda clients: {msp: set() for msp in clients}])
        monkeypatch.setattr(reading, "clients_left", lambda clients: next(stale, true_left)(clients))

    async def test_a_page_that_is_read_while_a_client_leaves_is_not_sent(self, tenant, monkeypatch):
        await sync_to_async(save)(*[tenant.client] * 8, tenant.other_client)
        async with running_hub() as hub:
            connection, wire = await follow_msp(hub, tenant)
            await self.moved(tenant)
            meanwhile(hub.streams.pages, "after", hub.sweep, monkeypatch)
            self.read_stale_once(monkeypatch)
            await requests.resume(connection, {groups.msp(tenant.msp.pk): 0}, None, None)
            await settled(lambda: wire.seqs() == [9])

    async def test_a_repair_that_is_read_while_a_client_leaves_keeps_nothing_of_it(self, tenant, monkeypatch):
        stream = groups.msp(tenant.msp.pk)
        async with running_hub() as hub:
            connection, wire = await follow_msp(hub, tenant)
            await sync_to_async(save)(tenant.client, tenant.other_client)
            await self.moved(tenant)
            self.read_stale_once(monkeypatch)
            position = await self.position()
            meanwhile(
                threads,
                "run",
                lambda: hub.streams.clients_moved({str(tenant.client.pk)}, position),
                monkeypatch,
            )
            hub.streams.take(stream, [announced(tenant, 2)])  # 1 is missing: it is read from the rows
            await settled(lambda: connection.positions() == {stream: 2})
            assert wire.seqs() == [2]
            assert hub.streams.tails[stream].clients() == {str(tenant.other_client.pk)}

    async def test_what_was_announced_before_and_arrives_after_is_read_from_the_rows(self, tenant):
        stream = groups.msp(tenant.msp.pk)
        async with running_hub() as hub:
            connection, wire = await follow_msp(hub, tenant)
            await sync_to_async(save)(tenant.client, tenant.other_client)
            await self.moved(tenant)
            hub.streams.access_known_to = await self.position()
            hub.streams.clients_moved({str(tenant.client.pk)}, hub.streams.access_known_to)
            hub.streams.take(stream, [announced(tenant, 1)])
            await settled(lambda: connection.positions() == {stream: 2})
            assert wire.seqs() == [2]

    async def test_a_stalled_socket_is_not_sent_the_rest_of_a_run(self, tenant):
        stream = groups.msp(tenant.msp.pk)
        async with running_hub() as hub:
            connection, wire = await follow_msp(hub, tenant)
            await sync_to_async(save)(*[tenant.client] * 3, tenant.other_client)
            wire.open.clear()
            hub.streams.take(stream, [announced(tenant, seq) for seq in (1, 2, 3)])
            await settled(lambda: wire.seqs() == [1])
            await self.moved(tenant)
            await hub.sweep()
            wire.open.set()
            await settled(lambda: connection.positions() == {stream: 4})
            assert wire.seqs() == [1, 4]

    async def test_a_client_that_is_only_renamed_costs_nobody_an_event(self, tenant):
        stream = groups.msp(tenant.msp.pk)
        async with running_hub() as hub:
            connection, wire = await follow_msp(hub, tenant)
            await sync_to_async(save)(*[tenant.client] * 3)
            wire.open.clear()
            hub.streams.take(stream, [announced(tenant, seq) for seq in (1, 2, 3)])
            await settled(lambda: wire.seqs() == [1])
            client = await Client.objects.aget(pk=tenant.client.pk)
            client.name = "Another name"
            await client.asave()
            await asyncio.sleep(0.2)
            await hub.sweep()
            wire.open.set()
            await settled(lambda: wire.seqs() == [1, 2, 3])
            assert connection.positions() == {stream: 3}

    @pytest.mark.parametrize("told", [True, False])
    async def test_a_client_that_comes_back_shows_what_was_held_as_hidden(self, tenant, told):
        stream = groups.msp(tenant.msp.pk)
        async with running_hub() as hub:
            connection, wire = await follow_msp(hub, tenant)
            await sync_to_async(save)(tenant.client, tenant.other_client)
            await self.moved(tenant)
            await hub.sweep()
            await settled(lambda: connection.positions() == {stream: 2})
            assert wire.seqs() == [2]
            await sync_to_async(by_sql)(tenant.client, tenant.msp)
            if told:
                hub.streams.clients_moved({str(tenant.client.pk)}, await self.position())
            else:
                await hub.streams.look_for_moved_clients()
            await requests.resume(connection, {stream: 0}, None, None)
            await settled(lambda: wire.seqs() == [2, 1, 2])

    async def test_a_move_that_nobody_told_is_found_in_turn(self, tenant):
        stream = groups.msp(tenant.msp.pk)
        new = await sync_to_async(MSPFactory)()
        async with running_hub() as hub:
            connection, wire = await follow_msp(hub, tenant)
            await sync_to_async(save)(tenant.client, tenant.other_client)
            await hub.sweep()
            await settled(lambda: wire.seqs() == [1, 2])
            await sync_to_async(by_sql)(tenant.client, new)
            await hub.streams.look_for_moved_clients()
            await requests.resume(connection, {stream: 0}, None, None)
            await settled(lambda: wire.seqs() == [1, 2, 2])
