"""Writers that meet: what is changed is what is told, also under READ COMMITTED."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from engagement.models import Alert, Client, Interaction
from realtime.events import publisher
from tests.realtime.told import Told, sequence
from tests.realtime.writes import World, changed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let nothing be sequenced but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


def is_waiting() -> bool:
    """Return whether somebody waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


def while_first_is_open(first: Callable[[], object], second: Callable[[], object]) -> None:
    """Do `first` in a transaction that stays open until `second` waits for it, or is done."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            second()
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    other = threading.Thread(target=run)
    with suppress(IntegrityError), transaction.atomic():
        first()
        other.start()
        while other.is_alive() and not is_waiting():
            other.join(0.01)
    other.join(20)
    assert not other.is_alive(), "deadlocked"
    # Of giving an application a row and deleting it, the database refuses one.
    assert not [error for error in raised if not isinstance(error, IntegrityError)]


def uses(**values: Any) -> Any:
    return Interaction.objects.filter(**values)


FIRST: dict[str, Callable[[World], object]] = {
    "counts on": lambda w: uses(pk=w.use.pk).update(count=F("count") + 90),
    "saves": lambda w: changed(w.use, count=77).save(),
    "takes it out of the filter": lambda w: uses(pk=w.use.pk).update(application=w.app2),
    "brings another into the filter": lambda w: uses(pk=w.use2.pk).update(agent=None, application=w.app),
    "creates one": lambda w: w.new_use(count=40),
    "deletes": lambda w: uses(pk=w.use.pk).delete(),
    "moves the alert": lambda w: Alert.objects.filter(pk=w.alert.pk).update(client=w.foreign),
    "moves its client": lambda w: Client.objects.filter(pk=w.client.pk).update(msp=w.other_msp),
}

SECOND: dict[str, Callable[[World], object]] = {
    "updates by a filter": lambda w: uses(application=w.app).update(count=1),
    "updates by an expression": lambda w: uses(application=w.app).update(count=F("count") * 2),
    "updates in bulk": lambda w: Interaction.objects.bulk_update([changed(w.use, count=6)], ["count"]),
    "saves a stale instance": lambda w: changed(stale(w.use), count=9).save(),
    "upserts": lambda w: Interaction.objects.bulk_create(
        [w.a_use(id=w.use.pk, count=3), w.a_use(count=4)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["count"],
    ),
    "deletes by a filter": lambda w: uses(application=w.app).delete(),
    "deletes the application": lambda w: w.app.delete(),
    "deletes the alert": lambda w: Alert.objects.filter(client=w.client).delete(),
    "saves the alert": lambda w: changed(
        Alert.objects.defer("client").get(pk=w.alert.pk), severity="low"
    ).save(),
    "updates alerts by their client": lambda w: Alert.objects.filter(client=w.client).update(details="ours"),
}


def stale(use: Interaction) -> Interaction:
    """Return another instance of the same row, as loaded some time ago."""
    return copy.deepcopy(use)


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_what_is_changed_is_what_is_told(first, second):
    world = World()
    told = Told()
    sequence()
    while_first_is_open(lambda: FIRST[first](world), lambda: SECOND[second](world))
    sequence()
    told.follow()
    told.check()


def test_an_alert_that_moves_while_it_is_updated_takes_nothing_to_its_former_client():
    world = World()
    told = Told()
    sequence()
    while_first_is_open(
        lambda: Alert.objects.filter(pk=world.alert.pk).update(client=world.foreign),
        lambda: Alert.objects.filter(client=world.client).update(details="ours"),
    )
    assert Alert.objects.get(pk=world.alert.pk).details == "first"
    sequence()
    told.follow()
    told.check()


def test_creating_a_use_costs_one_statement_more_and_loads_nothing_to_delete():
    world = World()

    def statements(work: Callable[[], object]) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            work()
        kept = (query["sql"] for query in captured)
        return [sql for sql in kept if not sql.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))]

    # The INSERT into the outbox has a cursor of its own and is not among them.
    assert len(statements(lambda: world.new_use(count="5"))) == 1
    assert len(statements(lambda: changed(world.alert, severity="low").save(update_fields=["severity"]))) == 1
    assert len(statements(lambda: changed(world.use2, count=3).save())) == 3
    assert len(statements(lambda: uses(client=world.client).delete())) == 1
