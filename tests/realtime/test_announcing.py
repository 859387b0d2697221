"""Announcing: what cannot be announced fails alone, and a fault of ours pauses nothing."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.utils import timezone
from prometheus_client import REGISTRY

from realtime.events import announcing, publisher, rendering
from realtime.events.announcing import Announcer, messages
from realtime.events.placing import Placed
from realtime.protocol import groups
from tests.factories import AlertFactory
from tests.realtime.hubs import ONLY_WHEN_ASKED, follow_msp, running_hub, settled

pytestmark = pytest.mark.django_db(transaction=True)

GOOD, LONE_SURROGATE = '{"id":"1"}', '"\ud800"'
MSP, FIRST, SECOND = (uuid.uuid4() for _ in range(3))


@pytest.fixture(autouse=True)
def _nothing_paused(settings: Any, monkeypatch: Any) -> None:
    settings.REALTIME = ONLY_WHEN_ASKED
    monkeypatch.setattr(announcing, "_failing_until", 0.0)


def failures() -> float:
    return REGISTRY.get_sample_value("realtime_announcements_failed_total") or 0.0


def placed(position: int, client: uuid.UUID | None, seq: int | None, data: str) -> Placed:
    return Placed(
        position=position,
        type="alert" if client else rendering.ACCESS,
        client_id=client,
        client_seq=seq,
        msp_id=MSP if client else None,
        msp_seq=position if client else None,
        severity="",
        occurred_at=timezone.now(),
        data=data,
        after_access=0,
    )


@pytest.mark.postgres
async def test_an_event_that_cannot_be_written_costs_that_event_and_no_other():
    """One of four in a round: the others of its client and of its MSP arrive by announcement."""
    layer = get_channel_layer()
    channels = {
        name: await layer.new_channel() for name in ("client.first", "client.second", "msp", "control")
    }
    for name, group in (
        ("client.first", groups.client(FIRST)),
        ("client.second", groups.client(SECOND)),
        ("msp", groups.msp(MSP)),
        ("control", groups.CONTROL),
    ):
        await layer.group_add(group, channels[name])
    round_ = [
        placed(1, FIRST, 1, GOOD),
        placed(2, FIRST, 2, LONE_SURROGATE),
        placed(3, SECOND, 1, GOOD),
        placed(4, None, None, GOOD),
        placed(5, FIRST, 3, GOOD),
    ]
    before, announcer = failures(), Announcer()
    try:
        await sync_to_async(announcer.announce)(messages(round_))
        assert failures() == before + 2, "its client's group, and its MSP's"
        assert not announcing.is_failing()
        await sync_to_async(announcer.announce)(messages([placed(6, FIRST, 4, GOOD)]))
    finally:
        announcer.close()

    async def heard(name: str, count: int) -> list[int]:
        seqs: list[int] = []
        async with asyncio.timeout(5):
            while len(seqs) < count:
                seqs += [event[0] for event in (await layer.receive(channels[name]))["events"]]
        return seqs

    assert (await layer.receive(channels["control"]))["position"] == 4
    assert await heard("client.first", 3) == [1, 3, 4]
    assert await heard("client.second", 1) == [1]
    assert await heard("msp", 4) == [1, 3, 5, 6]


@pytest.mark.parametrize("fault", ["making the messages", "sending them", "the layer"])
async def test_a_fault_of_ours_is_counted_and_the_next_round_is_announced(tenant, monkeypatch, fault):
    """No sweep comes here: what the fault kept back is found by the next announcement, and read from the rows."""

    def raises(*arguments: Any, **options: Any) -> Any:
        raise TypeError("a fault")

    target, name = {
        "making the messages": (publisher, "messages"),
        "sending them": (Announcer, "_send"),
        "the layer": (announcing, "get_channel_layer"),
    }[fault]

    def save() -> None:
        AlertFactory(client=tenant.client)
        assert publisher.flush(10)

    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        before = failures()
        with monkeypatch.context() as faulty:
            faulty.setattr(target, name, raises)
            if fault == "the layer":
                faulty.setattr(announcing, "is_shared", lambda: True)
            await sync_to_async(save)()
        assert failures() > before
        assert not announcing.is_failing()
        assert publisher.status() == "ok"
        await sync_to_async(save)()
        await settled(lambda: wire.seqs() == [1, 2])
