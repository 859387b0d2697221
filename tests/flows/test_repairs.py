"""The hub repairs what a fault leaves behind, in the loop of the test: each fault at the very moment it hurts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from realtime import requests
from realtime.auth import identity as identities
from realtime.auth.credentials import Credential
from realtime.events import publisher, reading
from realtime.hub.connection import Connection
from realtime.hub.hub import Hub
from realtime.models import Outbox
from realtime.protocol import groups
from realtime.protocol.encoding import Encoding
from tests.factories import AlertFactory
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

ONLY_WHEN_ASKED = {
    "SWEEP_LOCAL": "1000",
    "SWEEP_SHARED": "1000",
    "PRESENCE_INTERVAL": "1000",
    "TAIL_EVENTS": "5",
    "PAGE_EVENTS": "4",
}


@pytest.fixture(autouse=True)
def _quiet(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is announced, and nothing is swept unless the test says so."""
    settings.REALTIME = ONLY_WHEN_ASKED
    monkeypatch.setattr("realtime.events.publisher.messages", lambda events: [])


class Wire:
    """What a socket was sent. `blocked`: it takes the frame and makes the sender wait, as a full socket does."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            self.frames.append(json.loads(message["text"]))
        await self.open.wait()

    def seqs(self) -> list[int]:
        return [frame["seq"] for frame in self.frames if frame["type"] == "alert"]


@asynccontextmanager
async def running_hub() -> AsyncIterator[Hub]:
    hub = Hub()
    await hub.start()
    await asyncio.sleep(0.1)  # the first sweep, after joining
    try:
        yield hub
    finally:
        await hub.stop()


async def follow(hub: Hub, tenant: Any, *, batches: bool = False) -> tuple[Connection, Wire]:
    wire = Wire()
    identity = await sync_to_async(identities.identify)(Credential("token", token_for(tenant.msp_user)))
    connection = Connection(
        hub,
        wire.send,
        identity=identity,
        route_client=None,
        encoding=Encoding.JSON,
        batches=batches,
        selective=False,
        address="127.0.0.1",
    )
    hub.register(connection)
    await hub.streams.follow(connection, groups.msp(tenant.msp.pk))
    connection.start()
    return connection, wire


async def save(tenant: Any, count: int = 1) -> None:
    def work() -> None:
        for _ in range(count):
            AlertFactory(client=tenant.client)
        assert publisher.flush(10)

    await sync_to_async(work)()


async def settled(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


async def test_a_sweep_finds_what_was_never_announced(tenant):
    async with running_hub() as hub:
        _, wire = await follow(hub, tenant)
        await save(tenant, 7)
        await hub.sweep()
        await settled(lambda: wire.seqs() == [1, 2, 3, 4, 5, 6, 7])


async def test_a_database_that_goes_away_within_a_sweep_costs_no_event(tenant, monkeypatch):
    """The sweep has seen the new head; reading the event fails. The next sweep must look there again."""
    true_page = reading.page

    def away(*arguments: Any, **options: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    async with running_hub() as hub:
        _, wire = await follow(hub, tenant)
        await save(tenant)
        monkeypatch.setattr(reading, "page", away)
        await hub.sweep()
        assert wire.seqs() == []
        monkeypatch.setattr(reading, "page", true_page)
        await hub.sweep()
        await settled(lambda: wire.seqs() == [1])


async def test_an_event_placed_while_a_repair_is_under_way_is_found_by_the_next_sweep(tenant):
    """The repair has read its last page; the sweep finds it under way and leaves it the new event."""
    async with running_hub() as hub:
        _, wire = await follow(hub, tenant)
        await save(tenant)
        hub.streams._repairing.add(groups.msp(tenant.msp.pk))
        await hub.sweep()
        hub.streams._repairing.clear()
        await hub.sweep()
        await settled(lambda: wire.seqs() == [1])


async def test_a_stream_that_is_just_being_opened_is_not_passed_over(tenant):
    """Its head was read before an event that the sweep sees."""
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        connection, wire = await follow(hub, tenant)
        tail = hub.streams.tails[stream]
        tail.head = -1
        await save(tenant)
        await hub.sweep()
        tail.begin(0)
        await hub.sweep()
        await settled(lambda: wire.seqs() == [1])
        assert connection.positions() == {stream: 1}


async def test_what_a_dead_process_left_unplaced_is_placed_by_a_sweep(tenant):
    def recorded_and_died() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("realtime.events.publisher.wake", lambda using: None)
            AlertFactory(client=tenant.client)

    async with running_hub() as hub:
        _, wire = await follow(hub, tenant)
        await sync_to_async(recorded_and_died)()
        assert await sync_to_async(Outbox.objects.exists)()
        async with asyncio.timeout(5):
            while not wire.seqs():
                await hub.sweep()
                await asyncio.sleep(0.05)
        assert wire.seqs() == [1]


async def test_a_resume_while_the_socket_is_full_is_not_undone(tenant):
    """The writer waits for the socket in the middle of an event; the cursor goes back meanwhile, and must stay back."""
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        connection, wire = await follow(hub, tenant)
        await save(tenant, 3)
        await hub.sweep()
        await settled(lambda: wire.seqs() == [1, 2, 3])
        wire.open.clear()
        await save(tenant)
        await hub.sweep()
        await settled(lambda: wire.seqs() == [1, 2, 3, 4])  # taken, and the writer waits
        resuming = asyncio.create_task(requests.resume(connection, {stream: 0}, None, None))
        await settled(lambda: wire.frames[-1]["type"] == "resumed")
        wire.open.set()
        await resuming
        await settled(lambda: len(wire.seqs()) >= 8)
        assert wire.seqs() == [1, 2, 3, 4, 1, 2, 3, 4]


async def test_a_resume_while_a_page_is_being_read_is_no_reason_to_resync(tenant, monkeypatch):
    """Behind the events in memory; while its page is read, the client resumes from further back."""
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        connection, wire = await follow(hub, tenant)
        await save(tenant, 12)
        await hub.sweep()
        await settled(lambda: wire.seqs() == list(range(1, 13)))
        wire.frames.clear()
        true_after = hub.streams.pages.after
        waiting, reading_on = asyncio.Event(), asyncio.Event()

        async def slow(name: str, cursor: int) -> Any:
            page = await true_after(name, cursor)
            if not reading_on.is_set():
                waiting.set()
                await reading_on.wait()
            return page

        monkeypatch.setattr(hub.streams.pages, "after", slow)
        await requests.resume(connection, {stream: 3}, None, None)
        await waiting.wait()
        await requests.resume(connection, {stream: 1}, None, None)
        reading_on.set()
        await settled(lambda: wire.seqs()[-1:] == [12])
        assert [frame["type"] for frame in wire.frames if frame["type"] == "resync"] == []
        assert wire.seqs() == list(range(2, 13))
