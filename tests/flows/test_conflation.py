"""`?rate=N`: few frames, the newest state, every alert at once, and nothing lost or doubled over a reconnect."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models import Sum

from engagement import actions, figures
from engagement.models import Interaction
from realtime import broadcast
from tests.factories import AlertFactory, ApplicationFactory
from tests.realtime.conftest import Tenant
from tests.realtime.doors import GENERAL, client_route
from tests.realtime.tight import TAIL_EVENTS
from tests.servers import PortalServer
from tests.sockets import Socket, is_event

pytestmark = pytest.mark.django_db(transaction=True)

RATE = 2
APPLICATIONS = 19
"""Uses of so many in a transaction make 20 events: one for each, and one for the figures."""
LAST = "the last event"
ROUND_AWAY_SECONDS = 4
AT_ONCE = 0.5
"""Seconds within which an alert must arrive, however long the pause between rounds."""


class Watcher:
    """What one client makes of a stream, over any number of connections: its sums, totals, rows and alerts."""

    def __init__(self) -> None:
        self.frames = self.events = self.folded = 0
        self.counts: Counter[str] = Counter()
        self.totals: dict[str, int] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.alerts: dict[str, float] = {}
        self.positions: dict[str, int] = {}

    def take(self, frame: dict[str, Any]) -> None:
        """Apply a frame."""
        messages = frame["messages"] if frame["type"] == "batch" else [frame] if is_event(frame) else []
        self.frames += bool(messages)
        for message in messages:
            data, stream = message["data"], message["stream"]
            assert message["seq"] > self.positions.get(stream, 0)
            self.positions[stream] = message["seq"]
            self.events += message.get("folded", 1)
            self.folded += "folded" in message
            if message["type"] == "alert":
                assert data["details"] not in self.alerts
                self.alerts[data["details"]] = time.monotonic()
            elif message["type"] == "interaction_update":
                self.counts[data["app_id"]] += data["interaction_count"]
                self.totals[data["app_id"]] = data["total_daily_interactions"]
            else:
                self.rows |= {row["app_id"]: row for row in data["applications"]}

    def has_all(self) -> bool:
        """Return whether the last event came."""
        return LAST in self.alerts

    async def follow(self, socket: Socket, until: Callable[[], bool], timeout: float = 15.0) -> None:
        """Take frames until `until` holds."""
        async with asyncio.timeout(timeout):
            while not until():
                self.take(await socket.receive(timeout))

    async def follow_to(self, socket: Socket, stream: str, seq: int) -> None:
        """Take frames up to an event's."""
        await self.follow(socket, lambda: self.positions.get(stream, 0) >= seq)


class Traffic:
    """Uses of many applications, and now and then an alert."""

    def __init__(self, tenant: Tenant) -> None:
        self.client = tenant.client
        self.applications = [ApplicationFactory(client=tenant.client) for _ in range(APPLICATIONS)]
        self.saved: dict[str, float] = {}

    def use_all(self) -> None:
        """Record a use of each application, in one transaction."""
        actions.record_interactions(
            self.client,
            [
                actions.Use(application=one, count=number % 3 + 1)
                for number, one in enumerate(self.applications)
            ],
        )

    def alarm(self, details: str) -> None:
        """Raise an alert, and note when it was saved."""
        AlertFactory(client=self.client, application=self.applications[0], details=details)
        self.saved[details] = time.monotonic()

    async def run(self, seconds: float) -> int:
        """Make some 200 events a second and some alerts, the last of which ends it; return how many there were."""
        started, rounds = time.monotonic(), 0
        while time.monotonic() < started + seconds:
            await sync_to_async(self.use_all)()
            if rounds in {3, 9, 10}:
                await sync_to_async(self.alarm)(f"alert {rounds}")
            rounds += 1
            await asyncio.sleep(max(0.0, started + rounds * 0.1 - time.monotonic()))
        await sync_to_async(self.alarm)(LAST)
        return rounds * (APPLICATIONS + 1) + len(self.saved)

    def state(self) -> tuple[dict[str, int], dict[str, int], dict[str, dict[str, Any]]]:
        """Return what the database says: uses of each application, of today, and its figures."""
        uses = Interaction.objects.filter(client=self.client).values_list("application_id")
        counts = {str(key): total for key, total in uses.annotate(Sum("count"))}
        today = figures.daily_totals({one.pk for one in self.applications}, set())
        ids = [one.pk for one in self.applications]
        rows = {row["app_id"]: row for row in figures.applications(self.client.pk, ids)}
        return counts, {str(key): total for key, total in today.items()}, rows


@pytest.fixture
async def traffic(tenant: Tenant) -> Traffic:
    """Return traffic of the tenant's first client."""
    return await sync_to_async(Traffic)(tenant)


def paced(path: str, rate: float = RATE) -> str:
    return f"{path}?rate={rate}"


@pytest.mark.slow
async def test_at_a_rate_there_are_few_frames_the_state_is_right_and_alerts_come_at_once(
    tenant: Tenant, server: PortalServer, traffic: Traffic
) -> None:
    slow, all_of_it = Watcher(), Watcher()
    async with (
        tenant.socket(server, path=paced(client_route(tenant.client.pk))) as few,
        tenant.socket(server, path=f"{client_route(tenant.client.pk)}?batch=1") as many,
    ):
        started = time.monotonic()
        writing = asyncio.create_task(traffic.run(3.0))
        following = [
            asyncio.create_task(watcher.follow(socket, watcher.has_all))
            for watcher, socket in ((slow, few), (all_of_it, many))
        ]
        await asyncio.gather(writing, *following)
        took = time.monotonic() - started
        counts, totals, rows = await sync_to_async(traffic.state)()

    for watcher in (slow, all_of_it):
        assert (watcher.counts, watcher.totals, watcher.rows) == (counts, totals, rows)
        assert watcher.events == writing.result()
        assert watcher.alerts.keys() == traffic.saved.keys()
    # At once: as soon as saved, or as the server had it on a connection without a rate.
    since = {details: max(saved, all_of_it.alerts[details]) for details, saved in traffic.saved.items()}
    late = {details: at - since[details] for details, at in slow.alerts.items()}
    assert max(late.values()) < AT_ONCE, late
    # A round at each moment, the first and the last, and one for each alert.
    assert slow.frames <= RATE * took + 2 + len(traffic.saved)
    assert slow.folded > 0
    assert all_of_it.folded == 0


async def between_rounds(rate: float) -> None:
    """Wait until the next round of `rate` is some seconds away: rounds come at multiples of the pause, by the clock."""
    left = 1 / rate - time.monotonic() % (1 / rate)
    if left < ROUND_AWAY_SECONDS:
        await asyncio.sleep(left + 0.2)


async def test_an_alert_does_not_wait_and_brings_along_what_waited(
    tenant: Tenant, server: PortalServer, traffic: Traffic
) -> None:
    stream, watcher = f"msp.{tenant.msp.pk}", Watcher()
    async with tenant.socket(server, path=paced(GENERAL, 0.1)) as socket:
        await between_rounds(0.1)
        for _ in range(2):
            await sync_to_async(traffic.use_all)()
        await socket.silence()
        await sync_to_async(traffic.alarm)("now")
        await watcher.follow(socket, lambda: "now" in watcher.alerts)
        assert watcher.alerts["now"] - traffic.saved["now"] < AT_ONCE
        assert watcher.positions == {stream: 2 * (APPLICATIONS + 1) + 1}
        assert (await socket.ask({"type": "ping"}))["positions"] == watcher.positions
    counts, totals, rows = await sync_to_async(traffic.state)()
    assert (watcher.counts, watcher.totals, watcher.rows) == (counts, totals, rows)


async def test_alerts_that_are_not_wanted_cut_no_wait_short(tenant: Tenant, daphne: PortalServer) -> None:
    async with tenant.socket(daphne, path=paced(GENERAL, 0.1)) as socket:
        await socket.ask({"type": "subscribe", "min_severity": "high"})
        await sync_to_async(AlertFactory)(client=tenant.client, severity="low")
        await sync_to_async(AlertFactory)(client=tenant.client, severity="high")
        [event] = await socket.events(1, timeout=AT_ONCE + 1)
        assert (event["seq"], event["data"]["severity"]) == (2, "high")
        await sync_to_async(broadcast.broadcast_engagement_update)(
            tenant.client.pk, tenant.msp.pk, {"agents": []}
        )
        await sync_to_async(AlertFactory)(client=tenant.client, severity="low")
        position = (await socket.ask({"type": "ping"}))["positions"]
        assert position[f"msp.{tenant.msp.pk}"] < 4


@pytest.mark.parametrize("encoding", ["compliance.v1+msgpack", "compliance.v1+deflate"])
async def test_every_encoding_is_folded(
    tenant: Tenant, daphne: PortalServer, traffic: Traffic, encoding: str
) -> None:
    stream, watcher = f"msp.{tenant.msp.pk}", Watcher()
    async with tenant.socket(daphne, path=paced(GENERAL, 0.1), subprotocols=[encoding]) as socket:
        for _ in range(3):
            await sync_to_async(traffic.use_all)()
        await sync_to_async(traffic.alarm)("now")
        await watcher.follow_to(socket, stream, 3 * (APPLICATIONS + 1) + 1)
    counts, totals, rows = await sync_to_async(traffic.state)()
    assert (watcher.counts, watcher.totals, watcher.rows) == (counts, totals, rows)
    assert watcher.folded


@pytest.mark.slow
async def test_reconnecting_at_a_rate_loses_and_doubles_nothing(
    tenant: Tenant, server: PortalServer, traffic: Traffic
) -> None:
    stream, watcher = f"msp.{tenant.msp.pk}", Watcher()
    connections = 0
    watcher.positions[stream] = 0
    async with tenant.socket(server) as socket:
        epoch = socket.hello["epoch"]
    writing = asyncio.create_task(traffic.run(3.0))
    while not watcher.has_all():
        query = f"&positions={stream}:{watcher.positions[stream]}&epoch={epoch}"
        async with tenant.socket(server, path=f"{paced(GENERAL, 5)}{query}") as socket:
            until = watcher.frames + 2
            while watcher.frames < until and not watcher.has_all():
                frame = await socket.receive()
                assert frame["type"] != "resync"
                watcher.take(frame)
        connections += 1
    await writing
    counts, totals, rows = await sync_to_async(traffic.state)()
    assert connections > 3
    assert (watcher.counts, watcher.totals, watcher.rows) == (counts, totals, rows)
    assert watcher.events == writing.result()
    assert watcher.alerts.keys() == traffic.saved.keys()


async def test_a_resume_does_not_wait_for_a_round(
    tenant: Tenant, server: PortalServer, traffic: Traffic
) -> None:
    stream, watcher = f"msp.{tenant.msp.pk}", Watcher()
    async with tenant.socket(server, path=f"{GENERAL}?batch=1") as witness:
        await sync_to_async(traffic.use_all)()
        await sync_to_async(traffic.use_all)()
        head = 2 * (APPLICATIONS + 1)
        await Watcher().follow_to(witness, stream, head)
        async with tenant.socket(server, path=paced(GENERAL, 0.1)) as socket:
            answer = await socket.ask(
                {"type": "resume", "positions": {stream: 0}, "epoch": socket.hello["epoch"]}
            )
            assert (answer["type"], answer["count"]) == ("resumed", head)
            watcher.take(await socket.receive(2))
    assert (watcher.frames, watcher.positions, watcher.events) == (1, {stream: head}, head)


async def test_it_does_not_wait_until_what_it_waits_for_is_out_of_memory(
    tenant: Tenant, tight: PortalServer
) -> None:
    stream, watcher = f"msp.{tenant.msp.pk}", Watcher()
    async with tenant.socket(tight, path=paced(GENERAL, 0.1)) as socket:
        for number in range(TAIL_EVENTS):
            await sync_to_async(broadcast.broadcast_interaction_update)(
                tenant.client.pk,
                tenant.msp.pk,
                {"app_id": "x", "interaction_count": 1, "total_daily_interactions": number},
            )
        await watcher.follow(socket, lambda: watcher.events > TAIL_EVENTS // 2, timeout=3)
        await sync_to_async(AlertFactory)(client=tenant.client, details="now")
        await watcher.follow(socket, lambda: "now" in watcher.alerts)
    assert watcher.counts == {"x": TAIL_EVENTS}
    assert watcher.positions == {stream: TAIL_EVENTS + 1}
