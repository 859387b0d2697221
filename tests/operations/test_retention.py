"""Retention: the watch log and the event log are kept for as long as the settings say, and no longer."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from realtime.conf import RealtimeSettings
from realtime.models import Bookmark, DayTotal, Event, LiveConnection, ServerProcess
from tests.factories import AlertFactory, two_tenants
from tests.operations.test_admin import connection_of
from tests.operations.test_metrics import place

KEPT = timedelta(days=RealtimeSettings().watch_log_days)
HOURS = timedelta(hours=RealtimeSettings().retention_hours)
MINUTE = timedelta(minutes=1)


@pytest.mark.django_db(transaction=True)
def test_the_watch_log_goes_when_its_time_is_over_and_open_connections_stay():
    tenant, now = two_tenants()[0], timezone.now()
    process = ServerProcess.objects.create(host="here", pid=1)
    ended = {"old": now - KEPT - MINUTE, "kept": now - KEPT + MINUTE, "open": None}
    rows = {
        name: connection_of(tenant.client_user, tenant.client, process=process, closed_at=at, close_code=1000)
        for name, at in ended.items()
    }
    call_command("prune_events", stdout=StringIO())
    left = set(LiveConnection.objects.filter(process=process).values_list("pk", flat=True))
    assert left == {rows["kept"].pk, rows["open"].pk}


@pytest.mark.django_db(transaction=True)
def test_events_go_when_their_time_is_over():
    tenant = two_tenants()[0]
    AlertFactory(client=tenant.client)
    AlertFactory(client=tenant.client)
    place()
    old, new = Event.objects.filter(client_id=tenant.client.pk).order_by("position")
    Event.objects.filter(position=old.position).update(occurred_at=timezone.now() - HOURS - MINUTE)
    call_command("prune_events", stdout=StringIO())
    assert list(Event.objects.filter(client_id=tenant.client.pk)) == [new]


@pytest.mark.django_db(transaction=True)
def test_bookmarks_of_nobody_and_totals_of_days_that_are_over_go():
    user, now = two_tenants()[0].client_user, timezone.now()
    Bookmark.objects.create(user=user, stream="client.x", position=1, epoch="e")
    Bookmark.objects.create(user_id=uuid4(), stream="client.x", position=1, epoch="e")
    for days in (0, 1, 2):
        DayTotal.objects.create(
            subject=uuid4(), day=now.date() - timedelta(days=days), total=1, summed_at=now
        )
    call_command("prune_events", stdout=StringIO())
    assert [mark.user_id for mark in Bookmark.objects.all()] == [user.pk]
    assert min(DayTotal.objects.values_list("day", flat=True)) == now.date() - timedelta(days=1)
