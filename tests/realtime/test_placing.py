"""Placing: each recorded change once, without a gap, in the order of recording, whoever does it; and today's totals."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone

from engagement import actions
from engagement.models import Interaction
from realtime import broadcast
from realtime.events import placing, publisher, rendering
from realtime.models import DayTotal, Event, Kind, Outbox
from tests.engagement.concurrency import in_threads
from tests.factories import ApplicationFactory, InteractionFactory
from tests.servers.process import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def by_hand(monkeypatch):
    """Let nothing be placed but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


def test_rounds_at_the_same_time_place_each_event_once_and_in_order(tenant, by_hand):
    clients = [tenant.client, tenant.other_client]
    writers, each = 3, 25

    def work(index: int) -> None:
        if index < writers:
            for number in range(each):
                client = clients[number % 2]
                broadcast.broadcast_alert(client.pk, tenant.msp.pk, {"writer": index, "number": number})
        else:
            while Event.objects.count() < writers * each:
                placing.place(7, "default")

    assert in_threads(writers + 3, work) == []
    events = list(Event.objects.order_by("position"))
    assert [event.position for event in events] == list(range(1, writers * each + 1))
    assert [event.msp_seq for event in events] == list(range(1, writers * each + 1))
    for client in clients:
        seqs = [event.client_seq for event in events if event.client_id == client.pk]
        assert seqs == list(range(1, len(seqs) + 1))
    placed = [json.loads(event.data) for event in events]
    for index in range(writers):
        assert [data["number"] for data in placed if data["writer"] == index] == list(range(each))
    assert not Outbox.objects.exists()


@pytest.mark.postgres  # on SQLite nobody else writes while a round is under way
def test_a_round_that_another_one_came_into_writes_nothing(tenant, by_hand, monkeypatch):
    broadcast.broadcast_alert(tenant.client.pk, tenant.msp.pk, {"number": 1})
    render = rendering.render

    def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(rendering, "render", render)
        broadcast.broadcast_alert(tenant.client.pk, tenant.msp.pk, {"number": 2})
        other = threading.Thread(target=lambda: (placing.place(10, "default"), connections.close_all()))
        other.start()
        other.join(10)
        return render(*args)

    monkeypatch.setattr(rendering, "render", interrupted)
    with pytest.raises(placing.BusyError):
        placing.place(10, "default", wait=False)
    numbers = [
        json.loads(data)["number"]
        for data in Event.objects.order_by("position").values_list("data", flat=True)
    ]
    assert numbers == [1, 2]
    broadcast.broadcast_alert(tenant.client.pk, tenant.msp.pk, {"number": 3})
    monkeypatch.setattr(rendering, "render", interrupted)
    placing.place(10, "default")  # finds another one in between, and begins anew
    assert Event.objects.count() == 4
    assert not Outbox.objects.exists()


def test_a_publisher_whose_round_was_for_nothing_looks_again_by_itself(tenant, monkeypatch):
    place, lost = placing.place, []

    def place_or_lose(limit: int, using: str, *, wait: bool = True) -> Any:
        if not lost:
            lost.append(wait)
            raise placing.BusyError  # the winner was a command: it has ended, and looks no more
        return place(limit, using, wait=wait)

    monkeypatch.setattr(placing, "place", place_or_lose)
    broadcast.broadcast_alert(tenant.client.pk, tenant.msp.pk, {"number": 1})
    assert wait_until(Event.objects.exists, 5)
    assert lost == [False]


def test_what_a_transaction_recorded_stays_together_however_much_it_is(tenant, by_hand):
    client_ids = [tenant.client.pk, tenant.other_client.pk]
    tx = uuid4()
    Outbox.objects.bulk_create(
        Outbox(
            tx=tx, kind=Kind.MESSAGE, client_id=client_ids[number // 20], msp_id=tenant.msp.pk, facts=FACTS
        )
        for number in range(40)
    )
    events, more = placing.place(5, "default")
    assert [event.client_seq for event in events] == [*range(1, 21), *range(1, 21)]
    assert (placing.place(5, "default"), more) == (([], False), True)


FACTS = json.dumps({"type": "alert", "data": {"details": "d"}, "severity": "low"})


def totals() -> list[int]:
    """Place what is recorded; return the totals that its events tell."""
    placed, more = [], True
    while more:
        events, more = placing.place(500, "default")
        placed += events
    return [
        json.loads(event.data)["total_daily_interactions"]
        for event in placed
        if event.type == "interaction_update"
    ]


def test_a_total_is_of_today_and_of_what_is_placed_so_far(tenant, by_hand):
    app, now = tenant.application, timezone.now()
    yesterday = now - timedelta(days=1)
    first = InteractionFactory(client=tenant.client, application=app, count=5)
    InteractionFactory(client=tenant.client, application=app, count=2)
    assert totals() == [5, 7]
    old = InteractionFactory(client=tenant.client, application=app, count=100, occurred_at=yesterday)
    assert totals() == [7]
    old.occurred_at = now
    old.save()
    assert totals() == [107]
    first.delete()
    assert totals() == [102]
    other = ApplicationFactory(client=tenant.client)
    old.application = other
    old.save()
    assert sorted(totals()) == [2, 100]
    Interaction.objects.bulk_create(
        Interaction(client=tenant.client, application=app, count=1, occurred_at=at)
        for at in (now, yesterday, now)
    )
    actions.import_interactions(
        tenant.client,
        [actions.Use(application=app, count=1, occurred_at=at) for at in (now, yesterday)],
    )
    assert totals() == [4, 5]


def test_a_total_is_summed_anew_on_another_day_and_after_an_hour(tenant, by_hand):
    InteractionFactory(client=tenant.client, application=tenant.application, count=5)
    assert totals() == [5]
    Interaction.objects.filter(application=tenant.application)._raw_delete(
        "default"
    )  # behind everybody's back
    InteractionFactory(client=tenant.client, application=tenant.application, count=1)
    assert totals() == [6]
    DayTotal.objects.update(summed_at=timezone.now() - timedelta(hours=1))
    InteractionFactory(client=tenant.client, application=tenant.application, count=1)
    InteractionFactory(client=tenant.client, application=tenant.application, count=1)
    assert totals() == [2, 3]
    DayTotal.objects.update(day=timezone.now().date() - timedelta(days=1), total=40)
    InteractionFactory(client=tenant.client, agent=tenant.agent, count=9)
    InteractionFactory(client=tenant.client, application=tenant.application, count=1)
    assert totals() == [9, 4]
