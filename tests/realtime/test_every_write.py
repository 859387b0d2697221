"""Every way Django writes a row: what was told is what the tables hold."""

from __future__ import annotations

import json

import pytest
from django.db import connection, transaction
from django.db.models.constants import OnConflict

from engagement.models import Alert, Engagement, Interaction
from realtime.events import publisher
from realtime.models import Event
from tests.realtime.told import Told, sequence
from tests.realtime.writes import WAYS, World, changed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let nothing be sequenced but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_told_is_what_the_tables_hold(way, monkeypatch):
    """Every other way is sequenced after each of its commits, the others after all of them."""
    world = World()
    told = Told()
    sequence()
    assert len(told.follow()) == 9
    if list(WAYS).index(way) % 2:
        monkeypatch.setattr(publisher, "wake", lambda using="default": sequence())
    WAYS[way](world)
    sequence()
    assert told.follow(), "the way changes nothing that is told: it shows nothing"
    told.check()


def of_client(client) -> list[str]:
    return list(
        Event.objects.filter(client_id=client.pk, type="alert")
        .order_by("position")
        .values_list("data", flat=True)
    )


@pytest.mark.parametrize(
    "way", ["alert moved there and back in one transaction", "alert deleted with other values in memory"]
)
def test_another_client_is_told_nothing_of_what_was_never_its_own(way):
    world = World()
    sequence()
    before = of_client(world.foreign)
    WAYS[way](world)
    sequence()
    assert of_client(world.foreign) == before


def test_the_client_that_an_alert_left_is_told_what_it_said_before(monkeypatch):
    world = World()
    sequence()
    with_secret = changed(world.alert, client=world.foreign, application=world.foreign_app, details="secret")
    with_secret.save()
    changed(Alert.objects.get(pk=world.alert.pk), details="more secret").save()
    sequence()
    *_, last = of_client(world.client)
    assert '"deleted"' in last
    assert '"first"' in last
    assert not any("secret" in data for data in of_client(world.client))
    assert all("secret" in data for data in of_client(world.foreign)[1:])


def test_what_is_deleted_before_its_events_are_sequenced_is_told_as_it_was_last():
    world = World()
    sequence()
    alert = world.new_alert(application=world.app, details="new")
    changed(alert, details="last").save()
    msp, client = world.msp, world.client
    client.delete()
    sequence()
    told = Event.objects.filter(type="alert", data__contains=str(alert.pk)).order_by("position")
    assert [json.loads(event.data)["change"] for event in told] == ["created", "updated", "deleted"]
    assert {json.loads(event.data)["details"] for event in told} == {"last"}
    assert {event.msp_id for event in told} == {msp.pk}


@pytest.mark.parametrize("recreated", [False, True])
def test_an_alert_that_is_moved_and_deleted_at_once_is_told_to_its_own_client_only(recreated):
    """What came before is sequenced after it: the row is gone, and what it said in between nobody else ever saw."""
    world = World()
    told = Told()
    sequence()
    told.follow()
    elsewhere = of_client(world.foreign)
    changed(Alert.objects.get(pk=world.alert.pk), details="waits").save()
    with transaction.atomic():
        changed(Alert.objects.get(pk=world.alert.pk), client=world.foreign, details="secret").save()
        Alert.objects.get(pk=world.alert.pk).delete()
    if recreated:  # and again, by one transaction that leaves nothing
        with transaction.atomic():
            Alert.objects.create(pk=world.alert.pk, client=world.foreign, details="secret")
            Alert.objects.get(pk=world.alert.pk).delete()
    sequence()
    told.follow()
    told.check()
    assert of_client(world.foreign) == elsewhere
    assert not any("secret" in data for data in of_client(world.client))


OVER_A_STRANGE_TIME = {
    "update": lambda w: Interaction.objects.filter(pk=w.use.pk).update(count=3),
    "save": lambda w: Interaction(id=w.use.pk, client=w.client, application=w.app).save(force_update=True),
    "delete": lambda w: w.use.delete(),
    "delete by a query": lambda w: Interaction.objects.filter(pk=w.use.pk).delete(),
    "delete of what it belongs to": lambda w: w.app.delete(),
    "move of an alert": lambda w: Alert.objects.filter(pk=w.alert.pk).update(client=w.second),
    "save of an alert": lambda w: Alert(id=w.alert.pk, client=w.client).save(force_update=True),
    "delete of who was assigned": lambda w: w.user.delete(),
}


@pytest.mark.parametrize("time", ["infinity", "20000-01-01"])
@pytest.mark.parametrize("write", OVER_A_STRANGE_TIME)
def test_a_row_of_a_time_that_python_has_not_can_be_written_over(write, time):
    """SQL of others writes such times; Django writes over them, and our reading of both sides made it fail."""
    world = World()
    sequence()
    for table, column, row in (
        ("engagement_interaction", "occurred_at", world.use),
        ("engagement_alert", "created_at", world.alert),
    ):
        key = row._meta.pk.get_db_prep_value(row.pk, connection)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [time, key])
    OVER_A_STRANGE_TIME[write](world)
    world.new_alert(details="of another row")
    sequence()
    assert Event.objects.filter(type="alert", data__contains="of another row").exists()


def test_an_upsert_returns_the_rows_in_the_order_of_the_objects():
    """Where the database makes the keys, Django gives each object the key at its place: it got another row's."""
    world = World()
    new = [
        Engagement(client=world.client, application=each, day=world.rollup.day, interactions=9)
        for each in (world.app, world.app2)
    ]
    new.insert(0, Engagement(client=world.client, department=world.department, day=world.rollup.day))
    field = Engagement._meta.get_field
    rows = Engagement.objects._insert(
        new,
        Engagement._meta.concrete_fields,
        returning_fields=[field("id")],
        using="default",
        on_conflict=OnConflict.UPDATE,
        update_fields=[field("application")],
        unique_fields=[field("application"), field("day")],
    )
    assert [key for (key,) in rows] == [new[0].pk, world.rollup.pk, new[2].pk]
