"""A client that moves to another MSP: what is sequenced after the move is the new MSP's, whenever it was recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from engagement.models import Client, Interaction
from realtime import broadcast
from realtime.events import placing, publisher
from realtime.models import Event, Stream
from tests.factories import AlertFactory, EngagementFactory, MSPFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let nothing be sequenced but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


def uses(tenant: Any) -> object:
    return Interaction.objects.create(client=tenant.client, application=tenant.application, count=3)


def told(tenant: Any) -> object:
    return broadcast.broadcast_alert(tenant.client.pk, tenant.msp.pk, {"details": "told"})


RECORDED: dict[str, Callable[[Any], object]] = {
    "an alert": lambda tenant: AlertFactory(client=tenant.client, application=tenant.application),
    "uses": uses,
    "a roll-up": lambda tenant: EngagementFactory(client=tenant.client, application=tenant.application),
    "a broadcast that names the MSP": told,
}

MOVES: dict[str, Callable[[Client, Any], object]] = {
    "saved": lambda client, msp: (setattr(client, "msp", msp), client.save()),
    "added to the new MSP": lambda client, msp: msp.clients.add(client),
    "updated": lambda client, msp: Client.objects.filter(pk=client.pk).update(msp=msp),
    "behind the models' backs": lambda client, msp: Client._base_manager.filter(pk=client.pk).update(msp=msp),
}


def sequence() -> None:
    more = True
    while more:
        _, more = placing.place(100, "default")


def receivers() -> list[Any]:
    """Return the MSPs that got an event of a client, in order."""
    return list(Event.objects.exclude(client_id=None).order_by("position").values_list("msp_id", flat=True))


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("change", RECORDED)
def test_recorded_before_the_move_and_sequenced_after_it(tenant, change, move):
    new = MSPFactory()
    RECORDED[change](tenant)
    MOVES[move](Client.objects.get(pk=tenant.client.pk), new)
    sequence()
    assert receivers() == [new.pk]
    assert Stream.objects.get(name=f"msp.{new.pk}").position == 1
    assert not Stream.objects.filter(name=f"msp.{tenant.msp.pk}").exists()


@pytest.mark.postgres  # SQLite has one writer at a time
@pytest.mark.parametrize("change", RECORDED)
def test_recorded_in_a_transaction_that_commits_after_the_move_was_sequenced(tenant, change):
    new = MSPFactory()
    recorded, moved = threading.Event(), threading.Event()

    def record() -> None:
        with transaction.atomic():
            RECORDED[change](tenant)
            recorded.set()
            assert moved.wait(10)
        connections.close_all()

    other = threading.Thread(target=record)
    other.start()
    assert recorded.wait(10)
    # Not by select: a foreign key's check holds the client's key, which this leaves alone.
    Client.objects.filter(pk=tenant.client.pk).update(msp=new)
    sequence()
    assert receivers() == []
    moved.set()
    other.join(10)
    sequence()
    assert receivers() == [new.pk]


def test_what_goes_with_its_client_is_told_to_the_msp_it_had(tenant):
    AlertFactory(client=tenant.client)
    sequence()
    tenant.client.delete()
    sequence()
    assert set(receivers()) == {tenant.msp.pk}
    assert len(receivers()) == 2


def test_events_of_clients_of_several_msps_keep_their_places(tenant):
    new = MSPFactory()
    for client in (tenant.client, tenant.other_client, tenant.client):
        AlertFactory(client=client)
    MOVES["saved"](tenant.other_client, new)
    sequence()
    AlertFactory(client=tenant.other_client)
    sequence()
    places = (
        Event.objects.exclude(client_id=None)
        .order_by("position")
        .values_list("msp_id", "msp_seq", "client_seq")
    )
    assert list(places) == [(tenant.msp.pk, 1, 1), (new.pk, 1, 1), (tenant.msp.pk, 2, 2), (new.pk, 2, 2)]
