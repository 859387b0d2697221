"""A channel layer loses a tenth and doubles a twentieth of its messages: everybody gets every event once, in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
from asgiref.sync import sync_to_async

from tests.factories import AlertFactory
from tests.layers import DOUBLED, LOST, Lossy
from tests.live import wait_until
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = 200


class Steady:
    """A layer that gives the numbers from 0 on."""

    def __init__(self) -> None:
        self.next = 0

    async def heard(self, channel: str) -> dict[str, object]:
        self.next += 1
        return {"type": "n", "n": self.next - 1}


class LossySteady(Lossy, Steady):
    pass


async def test_the_layer_loses_and_doubles_as_it_says():
    layer = LossySteady()
    got = [(await layer.receive("c"))["n"] for _ in range(4000)]
    lost = layer.next - len(set(got))
    assert abs(lost / layer.next - LOST) < 0.03
    assert abs((len(got) - len(set(got))) / layer.next - DOUBLED) < 0.02
    assert got != sorted(got)


async def test_every_socket_gets_every_event_once_and_in_order(tenant, lossy):
    """Half of the events are written by the server's own process over REST, half by this one."""
    url = f"{lossy.url}/api/v1/clients/{tenant.client.pk}/applications/{tenant.application.pk}/interactions"
    headers = {"Authorization": f"Bearer {token_for(tenant.msp_user)}"}
    before = lossy.log_text()

    async def over_rest() -> None:
        async with httpx.AsyncClient(headers=headers) as http:
            for _ in range(EVENTS // 4):  # an interaction and the changed figures: two events
                (await http.post(url, json={"interaction_count": 1})).raise_for_status()

    def by_rows() -> None:
        for number in range(EVENTS // 2):
            AlertFactory(client=tenant.client, application=tenant.application, details=str(number))

    paths = ["/ws/engagement", "/ws/engagement?batch=1", f"/ws/client/{tenant.client.pk}/engagement"]
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(tenant.socket(lossy, user, path))
            for user in (tenant.msp_user, tenant.client_user)
            for path in paths
            for _ in range(3)
        ]
        await asyncio.gather(over_rest(), sync_to_async(by_rows)())
        for socket in sockets:
            events = await socket.events(EVENTS, timeout=15)
            assert [event["seq"] for event in events] == list(range(1, EVENTS + 1))
            details = [event["data"]["details"] for event in events if event["type"] == "alert"]
            assert details == [str(number) for number in range(EVENTS // 2)]
        for socket in sockets:
            await socket.silence(0.05)
    said = lossy.log_text().removeprefix(before)
    assert "lossy layer: lost stream.events" in said, "the layer lost nothing: this test proves nothing"


async def test_a_lost_last_message_comes_all_the_same(tenant, lossy):
    """With nothing after it, only the sweep can find it; so many single events that some are the lost ones."""
    before = lossy.log_text().count("lossy layer: lost")
    async with tenant.socket(lossy) as socket:
        for number in range(40):
            await sync_to_async(AlertFactory)(client=tenant.client, details=str(number))
            [event] = await socket.events(1, timeout=3)
            assert event["data"]["details"] == str(number)
    if "redis" in lossy.environment()["REDIS_URL"]:
        wait_until(lambda: lossy.log_text().count("lossy layer: lost") > before, "the layer lost nothing")
