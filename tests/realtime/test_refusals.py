"""Clients that are refused and try for ever, as the libraries of others do, are slowed down; nobody else is."""

from __future__ import annotations

import asyncio
import time

import pytest

from realtime.hub.limits import Bucket, Refusals
from realtime.hub.roster import Roster
from tests.realtime.doors import GENERAL, knock
from tests.sockets import token_for


class TestRefusals:
    def test_the_first_cost_nothing_the_others_more_and_more_up_to_some_seconds(self):
        refusals = Refusals(free=3)
        delays = [refusals.delay("a", now=0.0) for _ in range(20)]
        assert delays[:6] == [0, 0, 0, 0.1, 0.2, 0.4]
        assert delays[-1] == Refusals.LONGEST_SECONDS
        assert refusals.delay("b", now=0.0) == 0

    def test_they_are_forgotten_after_a_while_without_one(self):
        refusals = Refusals(free=1)
        assert [refusals.delay("a", now=at) > 0 for at in (0, 1, 60, 121, 122)] == [
            False,
            True,
            True,
            False,
            True,
        ]

    def test_the_table_is_bounded_and_keeps_who_came_last(self):
        refusals = Refusals(free=1, most=3)
        for number in range(100):
            refusals.delay(number, now=0.0)
        assert len(refusals) == 3
        assert refusals.delay(99, now=0.0) > 0
        assert refusals.delay(5, now=0.0) == 0

    def test_any_number_of_them_is_a_delay(self):
        refusals = Refusals(free=0)
        assert {refusals.delay("a", now=0.0) for _ in range(5000)} <= {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0}


def test_a_flood_takes_what_there_is_of_a_bucket():
    bucket = Bucket(rate=1, burst=60, at=0.0)
    assert bucket.take(0.0, 50)
    assert bucket.take(0.0, 50)
    assert not bucket.take(0.0)
    assert bucket.take(1.0)


async def test_no_more_are_held_back_at_once_than_there_is_room_for(settings, monkeypatch):
    settings.REALTIME = {"REFUSALS_AT_ONCE": "0"}
    monkeypatch.setattr("realtime.hub.roster.MAX_HELD_BACK", 2)
    roster = Roster()
    held = [asyncio.ensure_future(roster.hold_back(f"192.0.2.{n}")) for n in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(0.05):
        await roster.hold_back("192.0.2.9")
    await asyncio.gather(*held)


async def test_nobody_waits_who_has_a_good_connection_open(settings, monkeypatch):
    settings.REALTIME = {"REFUSALS_AT_ONCE": "0"}
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("realtime.hub.roster.asyncio.sleep", sleep)
    roster = Roster()
    roster._counts.add(("address", "192.0.2.1"))
    await roster.hold_back("192.0.2.1")
    assert waited == []
    await roster.hold_back("192.0.2.2")
    assert waited == [0.1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
async def test_who_is_refused_again_and_again_waits_and_is_let_in_with_a_good_token(
    tenant, portal_server, in_thread
):
    server = await in_thread(lambda: portal_server(env={"REALTIME_REFUSALS_AT_ONCE": "3"}))

    async def refused() -> float:
        begun = time.monotonic()
        answer = await knock(f"{server.ws_url}{GENERAL}", token="bad")
        assert (answer.frame["code"], answer.close_code) == ("invalid_token", 1008)
        return time.monotonic() - begun

    times = [await refused() for _ in range(7)]
    assert times[4] >= 0.2
    assert times[6] >= 0.8
    answer = await knock(f"{server.ws_url}{GENERAL}", token=token_for(tenant.msp_user))
    assert answer.is_open
