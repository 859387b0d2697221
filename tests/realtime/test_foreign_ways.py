"""Ways of writing that this portal does not use, and others may: children, listeners of their own, other collectors."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, pre_delete
from django.test.utils import isolate_apps

from engagement.models import Alert, Client, Engagement, Interaction
from realtime.capture.deleting import TellingCollector
from realtime.capture.tracking import TrackedModel, TrackedQuerySet
from realtime.events import publisher
from tests.realtime.told import Told, sequence
from tests.realtime.writes import World, changed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let nothing be sequenced but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


@pytest.fixture
def incident_model(transactional_db):
    """Make a child of an alert, with a table of its own; other tests' apps do not know of it."""
    with isolate_apps("engagement"):

        class Incident(Alert):
            reference = models.CharField(max_length=20, default="")

            class Meta:
                app_label = "engagement"

        with connection.schema_editor() as editor:
            editor.create_model(Incident)
        yield Incident
        with connection.schema_editor() as editor:
            editor.delete_model(Incident)


@pytest.fixture
def world(transactional_db) -> World:
    return World()


@pytest.fixture
def told(world) -> Told:
    told = Told()
    sequence()
    told.follow()
    return told


def check(told: Told) -> None:
    sequence()
    assert told.follow()
    told.check()


def test_a_child_of_a_tracked_model_is_told_as_its_parent(incident_model, world, told):
    incident = incident_model.objects.create(client=world.client, details="child", reference="r1")
    check(told)
    changed(incident, severity="critical", reference="r2").save()
    check(told)
    incident_model.objects.filter(pk=incident.pk).update(severity="low", reference="r3")
    check(told)
    changed(incident, client=world.foreign).save()
    check(told)
    incident_model.objects.filter(reference="r2").delete()
    check(told)
    incident_model.objects.create(client=world.client, details="parent stays").delete(keep_parents=True)
    check(told)
    incident_model.objects.create(client=world.client).delete()
    check(told)
    assert Alert.objects.filter(details="parent stays").exists()
    assert not Alert.objects.filter(details="child").exists()


@pytest.fixture(params=[pre_delete, post_delete], ids=["pre_delete", "post_delete"])
def listener(request):
    """Listen to deletes as another application may."""
    heard: list[Any] = []

    def listen(sender: Any, instance: Any, **_: Any) -> None:
        heard.append(instance.pk)

    for model in (Alert, Interaction, Engagement):
        request.param.connect(listen, sender=model)
    yield heard
    for model in (Alert, Interaction, Engagement):
        request.param.disconnect(listen, sender=model)


@pytest.mark.parametrize(
    "delete",
    [
        lambda world: world.client.delete(),
        lambda world: Client.objects.filter(pk=world.client.pk).delete(),
        lambda world: models.QuerySet(Client).filter(pk=world.client.pk).delete(),
        lambda world: (Interaction.objects.all().delete(), Alert.objects.all().delete()),
        lambda world: (world.alert.delete(), world.use.delete(), world.rollup.delete()),
    ],
    ids=["client", "clients", "plain", "queries", "rows"],
)
def test_where_somebody_else_listens_too_rows_are_told_once(delete, listener, world, told):
    delete(world)
    check(told)
    assert len(listener) == len(set(listener)) > 0


def test_a_row_that_was_deleted_saved_and_deleted_by_another_collector_is_told_each_time(
    listener, world, told
):
    world.use.delete()
    world.use.save(force_insert=True)
    collector = Collector(using="default")
    collector.collect([world.use])
    collector.delete()
    check(told)


def test_the_private_interfaces_that_telling_leans_on():
    """One of these moved in a new Django: see realtime.capture.tracking and realtime.capture.deleting."""
    queryset = (
        "_insert",
        "_chain",
        "_for_write",
        "_result_cache",
        "_raw_delete",
        "_fields",
        "_batched_insert",
    )
    assert not [name for name in queryset if not hasattr(models.QuerySet(Alert), name)]
    assert hasattr(models.Model, "_do_update")
    assert hasattr(Collector, "_has_signal_listeners")
    assert len(pre_delete._live_receivers(Alert)) == 2
    collector = TellingCollector("default")
    assert (collector.fast_deletes, dict(collector.data)) == ([], {})


def test_every_tracked_model_has_a_base_manager_that_tells():
    tracked = [model for model in apps.get_models() if issubclass(model, TrackedModel)]
    assert len(tracked) >= 3
    for model in tracked:
        assert isinstance(model._base_manager.get_queryset(), TrackedQuerySet)
