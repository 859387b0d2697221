"""Resuming: exactly what is missing, then live; or one word on why that cannot be."""

from __future__ import annotations

import uuid

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from realtime.events.retention import prune_events
from tests.factories import AlertFactory
from tests.realtime.conftest import Tenant, make_tenant
from tests.realtime.doors import GENERAL
from tests.realtime.tight import BACKLOG_EVENTS, TAIL_EVENTS
from tests.servers import PortalServer
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)


async def save(tenant: Tenant, count: int) -> None:
    """Save alerts, one transaction each."""

    def work() -> None:
        for _ in range(count):
            AlertFactory(client=tenant.client, application=tenant.application)

    await sync_to_async(work)()


async def history(tenant: Tenant, server: PortalServer, count: int) -> Socket:
    """Save `count` alerts and return an open socket that got them all."""
    socket = await tenant.socket(server).__aenter__()
    await save(tenant, count)
    await socket.events(count, timeout=15)
    return socket


@pytest.mark.parametrize(
    ("count", "position"), [(4, 2), (4, 0), (4, 4), (TAIL_EVENTS + 7, 1), (BACKLOG_EVENTS, 0)]
)
async def test_a_resumed_stream_brings_what_is_missing_and_then_goes_live(tenant, tight, count, position):
    stream = f"msp.{tenant.msp.pk}"
    first = await history(tenant, tight, count)
    async with tenant.socket(tight) as socket:
        answer = await socket.ask(
            {"type": "resume", "positions": {stream: position}, "epoch": socket.hello["epoch"], "ref": "r"}
        )
        assert answer == {
            "type": "resumed",
            "stream": stream,
            "from": position,
            "to": count,
            "count": count - position,
            "ref": "r",
        }
        await save(tenant, 1)
        events = await socket.events(count - position + 1)
        assert [event["seq"] for event in events] == list(range(position + 1, count + 2))
    await first.raw.close()


async def test_the_cursor_may_come_with_the_handshake(tenant, tight):
    stream = f"msp.{tenant.msp.pk}"
    first = await history(tenant, tight, TAIL_EVENTS + 5)
    async with tenant.socket(
        tight, path=f"{GENERAL}?positions={stream}:3&epoch={first.hello['epoch']}"
    ) as socket:
        answer = await socket.receive()
        assert (answer["type"], answer["from"], answer["count"]) == ("resumed", 3, TAIL_EVENTS + 2)
        events = await socket.events(TAIL_EVENTS + 2)
        assert [event["seq"] for event in events] == list(range(4, TAIL_EVENTS + 6))
    async with tenant.socket(tight, path=f"{GENERAL}?positions={stream}:3&epoch={uuid.uuid4()}") as socket:
        assert (await socket.receive())["reason"] == "epoch"
    await first.raw.close()


async def test_what_cannot_be_resumed_is_said_in_a_word_and_the_socket_goes_on(tenant, tight, subtests):
    foreign = await sync_to_async(make_tenant)()
    stream, head = f"msp.{tenant.msp.pk}", BACKLOG_EVENTS + 2
    first = await history(tenant, tight, head)
    epoch = first.hello["epoch"]
    cells = [
        ("epoch", stream, head - 1, str(uuid.uuid4())),
        ("ahead", stream, head + 1, epoch),
        ("ahead", stream, 2**53, None),
        ("backlog", stream, 0, epoch),
        ("unknown", f"client.{tenant.client.pk}", 0, epoch),
        ("unknown", f"msp.{foreign.msp.pk}", 0, epoch),
        ("unknown", f"msp.{uuid.uuid4()}", 0, epoch),
        ("unknown", "realtime.control", 0, epoch),
        ("unknown", "nonsense\0", 0, epoch),
    ]
    async with tenant.socket(tight) as socket:
        for reason, name, position, given in cells:
            with subtests.test(reason=reason, stream=name, position=position):
                answer = await socket.ask(
                    {"type": "resume", "positions": {name: position}, "epoch": given, "ref": 1}
                )
                at = 0 if reason == "unknown" else head
                assert answer == {
                    "type": "resync",
                    "stream": name,
                    "reason": reason,
                    "seq": at,
                    "epoch": epoch,
                    "ref": 1,
                }
        await save(tenant, 1)
        [event] = await socket.events(1)
        assert event["seq"] == head + 1
    await first.raw.close()


async def test_what_is_beyond_retention_cannot_be_resumed(tenant, tight):
    stream, head = f"msp.{tenant.msp.pk}", TAIL_EVENTS + 5
    first = await history(tenant, tight, head)
    assert sum(await sync_to_async(lambda: list(prune_events(timezone.now())))()) == head
    async with tenant.socket(tight) as socket:
        answer = await socket.ask({"type": "resume", "positions": {stream: 1}})
        assert (answer["type"], answer["reason"], answer["seq"]) == ("resync", "retention", head)
        answer = await socket.ask({"type": "resume", "positions": {stream: head - 1}})
        assert (answer["type"], answer["count"]) == ("resumed", 1)  # the newest are in memory
        assert (await socket.events(1))[0]["seq"] == head
    await first.raw.close()


async def test_a_resume_honours_the_selection(tenant, tight):
    stream = f"msp.{tenant.msp.pk}"
    first = await history(tenant, tight, 2)
    await sync_to_async(AlertFactory)(client=tenant.client, severity="critical", details="bad")
    await first.events(1)
    async with tenant.socket(tight) as socket:
        await socket.ask({"type": "subscribe", "min_severity": "critical"})
        answer = await socket.ask({"type": "resume", "positions": {stream: 0}})
        assert answer["count"] == 3
        [event] = await socket.events(1)
        assert (event["seq"], event["data"]["details"]) == (3, "bad")
        assert (await socket.ask({"type": "ping"}))["positions"] == {stream: 3}
    await first.raw.close()


async def test_resuming_brings_no_event_twice_while_others_are_being_saved(tenant, server):
    """The race of a reconnect: the cursor goes back while new events come."""
    stream = f"client.{tenant.client.pk}"
    socket = await tenant.socket(server, tenant.client_user).__aenter__()
    await save(tenant, 10)
    await socket.events(10)
    await socket.send({"type": "resume", "positions": {stream: 0}})
    await save(tenant, 10)
    events = await socket.events(20)
    repeated = [event["seq"] for event in events]
    assert repeated in (list(range(1, 21)), [11, *range(1, 20)]), repeated
    await socket.raw.close()
