"""Recording: a change's event is in the outbox if the change was committed, and is not if it was not, however it ends.

And it never makes a write fail: what is ours is logged, counted, and recorded as far as it can be.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections, transaction

from engagement.models import Alert, Interaction
from realtime import metrics, portal
from realtime.events import placing, publisher, recording
from realtime.models import Event, Kind, Outbox
from tests.factories import AlertFactory, InteractionFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let nothing be placed but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


def told() -> list[str]:
    """Sequence what is in the outbox; return the details of the alerts that are told, in order."""
    events, _ = placing.place(2000, "default")
    return [json.loads(event.data)["details"] for event in events]


def undone(tenant: Any) -> None:
    """Save an alert, and undo it."""

    def save() -> None:
        with transaction.atomic():
            AlertFactory(client=tenant.client, details="undone")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        save()


def test_what_is_committed_is_recorded_in_order(tenant):
    AlertFactory(client=tenant.client, details="1")
    with transaction.atomic():
        AlertFactory(client=tenant.client, details="2")
        AlertFactory(client=tenant.other_client, details="3")
    rows = list(Outbox.objects.order_by("pk"))
    assert rows[0].tx != rows[1].tx == rows[2].tx
    assert told() == ["1", "2", "3"]
    events = Event.objects.order_by("position")
    assert [event.client_id for event in events] == [
        tenant.client.pk,
        tenant.client.pk,
        tenant.other_client.pk,
    ]
    assert {event.msp_id for event in events} == {tenant.msp.pk}


def test_what_is_rolled_back_is_not_recorded_nor_told_with_the_next_commit(tenant):
    undone(tenant)
    AlertFactory(client=tenant.client, details="kept")
    assert told() == ["kept"]


def test_a_savepoint_rolled_back_takes_its_own_and_no_more(tenant):
    with transaction.atomic():
        AlertFactory(client=tenant.client, details="before")
        undone(tenant)
        AlertFactory(client=tenant.client, details="between")
        by_hand = transaction.savepoint()
        AlertFactory(client=tenant.client, details="undone too")
        transaction.savepoint_rollback(by_hand)
        AlertFactory(client=tenant.client, details="after")
    AlertFactory(client=tenant.client, details="next")
    assert told() == ["before", "between", "after", "next"]


def test_a_commit_that_a_constraint_refuses_records_nothing(tenant):
    with pytest.raises(IntegrityError):
        AlertFactory.build(client=None, client_id=uuid4(), details="of nobody").save()
    assert not Alert.objects.exists()
    AlertFactory(client=tenant.client, details="next")
    assert told() == ["next"]


def test_what_the_database_refuses_to_record_is_not_committed(tenant, monkeypatch):
    monkeypatch.setattr(
        recording, "_values_sql", lambda alias: "no_such_column, %s, %s, %s, %s, %s, %s, %s, %s"
    )
    with pytest.raises(DatabaseError):
        AlertFactory(client=tenant.client, details="bad")
    monkeypatch.undo()
    assert not Alert.objects.exists()


def failing(*_: Any) -> Any:
    raise ZeroDivisionError("a fault of ours")


@pytest.mark.parametrize("broken", ["facts", "everything"])
def test_a_fault_of_ours_fails_no_write_and_is_counted(tenant, monkeypatch, broken, caplog):
    alert = AlertFactory(client=tenant.client, details="before")
    use = InteractionFactory(client=tenant.client, application=tenant.application)
    before = failures()
    topics = portal.current().topics_by_model
    for model in (Alert, Interaction):
        monkeypatch.setitem(topics, model, replace(topics[model], facts=failing))
    if broken == "everything":
        monkeypatch.setattr(recording, "_text", failing)
    alert.details = "after"
    alert.save()
    use.delete()
    Interaction.objects.create(client=tenant.client, application=tenant.application, count="7")
    assert Alert.objects.get().details == "after"
    assert Interaction.objects.get().count == 7
    assert failures() - before >= 3
    assert "a fault of ours" in caplog.text
    monkeypatch.undo()
    changes = [json.loads(event.data) for event in placing.place(100, "default")[0] if event.type == "alert"]
    # The alert's row is what is told, so nothing of it is lost where only its facts were.
    assert [change["details"] for change in changes] == (
        ["after", "after"] if broken == "facts" else ["after"]
    )


def test_a_deleted_alert_that_cannot_be_written_down_is_told_by_its_key(tenant, monkeypatch):
    alert = AlertFactory(client=tenant.client)
    assert len(told()) == 1
    key, text = alert.pk, recording._text

    def only_keys(facts: Any) -> str:
        return failing() if (facts.get("before") or {}).get("details") else text(facts)

    monkeypatch.setattr(recording, "_text", only_keys)
    alert.delete()
    [event] = placing.place(100, "default")[0]
    data = json.loads(event.data)
    assert (data["id"], data["change"], event.client_id) == (str(key), "deleted", tenant.client.pk)


def failures() -> float:
    return metrics.record_failures._value.get()  # type: ignore[no-any-return]


def test_an_alert_that_goes_with_its_client_is_told_to_the_msp(tenant):
    AlertFactory(client=tenant.client, details="gone")
    placing.place(100, "default")
    msp_id = tenant.msp.pk
    tenant.client.delete()
    assert Outbox.objects.filter(kind="alert", msp_id=msp_id).count() == 1


def test_a_thousand_changes_of_one_transaction_are_one_transaction_s(tenant):
    with transaction.atomic():
        for number in range(1005):
            fact = {"type": "alert", "data": {"details": str(number)}, "severity": ""}
            recording.record([recording.Fact(Kind.MESSAGE, tenant.client.pk, fact)])
    assert Outbox.objects.values("tx").distinct().count() == 1
    assert told() == [str(number) for number in range(1005)]


def test_what_is_recorded_outside_of_a_transaction_is_recorded(tenant):
    fact = {"type": "alert", "data": {"details": "alone"}, "severity": ""}
    recording.record([recording.Fact(Kind.MESSAGE, tenant.client.pk, fact)])
    assert told() == ["alone"]


@pytest.mark.postgres
def test_the_engine_is_django_s_own():
    assert connection.settings_dict["ENGINE"] == "django.db.backends.postgresql"


@pytest.mark.postgres
def test_a_connection_lost_before_the_commit_commits_nothing_and_the_next_one_works(tenant):
    def end(pid: int) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        connections.close_all()

    def save() -> None:
        with transaction.atomic():
            AlertFactory(client=tenant.client, details="lost")
            other = threading.Thread(target=end, args=[connection.connection.info.backend_pid])
            other.start()
            other.join(10)

    with pytest.raises(OperationalError):
        save()
    assert not Alert.objects.exists()
    AlertFactory(client=tenant.client, details="next")
    assert told() == ["next"]
    assert Event.objects.count() == 1
