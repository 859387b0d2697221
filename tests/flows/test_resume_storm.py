"""Hundreds of sockets that resume at once, from the same place: the rows are read once, not once per socket."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from realtime import requests
from realtime.events import reading
from realtime.protocol import groups
from tests.flows.test_repairs import ONLY_WHEN_ASKED, follow, running_hub, save, settled

pytestmark = pytest.mark.django_db(transaction=True)

SOCKETS = 500
REAL_SOCKETS = 100
EVENTS = 120
PAGE = 20


def pages_read() -> float:
    return REGISTRY.get_sample_value("realtime_pages_read_total") or 0.0


@pytest.mark.slow
async def test_one_query_for_each_page_however_many_resume(tenant, settings, monkeypatch):
    settings.REALTIME = {**ONLY_WHEN_ASKED, "PAGE_EVENTS": str(PAGE)}
    monkeypatch.setattr("realtime.events.publisher.messages", lambda events: [])
    stream = groups.msp(tenant.msp.pk)
    await save(tenant, EVENTS)
    decisions = []
    true_backlog = reading.backlog
    monkeypatch.setattr(reading, "backlog", lambda *a, **k: decisions.append(a) or true_backlog(*a, **k))
    async with running_hub() as hub:
        followers = [await follow(hub, tenant, batches=bool(n % 2)) for n in range(SOCKETS)]
        before = pages_read()
        await asyncio.gather(
            *(requests.resume(connection, {stream: 0}, None, None) for connection, _ in followers)
        )
        await settled(
            lambda: all(connection.positions()[stream] == EVENTS for connection, _ in followers), 30
        )
        assert pages_read() - before == EVENTS / PAGE
        assert len(decisions) == 1
        for _, wire in followers:
            events = [
                message
                for frame in wire.frames
                for message in (frame["messages"] if frame["type"] == "batch" else [frame])
                if message["type"] == "alert"
            ]
            assert [event["seq"] for event in events] == list(range(1, EVENTS + 1))


@pytest.mark.slow
async def test_hundreds_of_real_sockets_resume_at_once_and_a_live_one_is_not_held_up(tenant, portal_server):
    portal = portal_server(
        env={
            "REALTIME_HANDSHAKES_BURST": "10000",
            "REALTIME_CONNECTIONS_PER_USER": "10000",
            "REALTIME_SWEEP_LOCAL": "0.05",
            "REALTIME_SWEEP_SHARED": "0.1",
        }
    )
    stream = groups.msp(tenant.msp.pk)
    await save(tenant, EVENTS)

    async def come_back() -> list[int]:
        async with tenant.socket(portal, path=f"/ws/engagement?positions={stream}:0") as socket:
            return [event["seq"] for event in (await socket.events(EVENTS, timeout=40))]

    live_events = 0
    async with tenant.socket(portal, tenant.client_user) as live:
        storm = asyncio.gather(*(come_back() for _ in range(REAL_SOCKETS)))
        while not storm.done():
            await save(tenant)
            await live.events(1, timeout=20)
            live_events += 1
        assert live_events > 1, "live delivery stood still until the storm was over"
        for seqs in await storm:
            assert seqs == list(range(1, EVENTS + 1))


@pytest.mark.slow
async def test_sockets_that_resume_from_different_places_share_pages(tenant, settings, monkeypatch):
    settings.REALTIME = {**ONLY_WHEN_ASKED, "PAGE_EVENTS": str(PAGE)}
    monkeypatch.setattr("realtime.events.publisher.messages", lambda events: [])
    stream = groups.msp(tenant.msp.pk)
    await save(tenant, EVENTS)
    async with running_hub() as hub:
        followers = [await follow(hub, tenant) for _ in range(50)]
        before = pages_read()
        await asyncio.gather(
            *(
                requests.resume(connection, {stream: position}, None, None)
                for position, (connection, _) in enumerate(followers)
            )
        )
        await settled(
            lambda: all(connection.positions()[stream] == EVENTS for connection, _ in followers), 30
        )
        assert pages_read() - before <= EVENTS / PAGE
        for position, (_, wire) in enumerate(followers):
            assert wire.seqs() == list(range(position + 1, EVENTS + 1))
