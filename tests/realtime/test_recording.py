"""Recording: a change's event is in the outbox if the change was committed, and is not if it was not, however it ends.

On PostgreSQL the outbox row goes along with the COMMIT once psycopg keeps a plan; so each way a transaction may end is
tried with a plan and before there is one.
"""

from __future__ import annotations

import json
import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections, transaction

from engagement.models import Alert
from realtime.events import placing, publisher, recording
from realtime.models import Event, Kind, Outbox
from tests.factories import AlertFactory

pytestmark = pytest.mark.django_db(transaction=True)

COMMITS_TO_A_PLAN = 10
"""More than `prepare_threshold`: psycopg keeps the plan from then on."""


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Let nothing be placed but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


@pytest.fixture(params=["first commits", "plan kept"])
def settled(request, tenant):
    """Come before there is a plan, and after; leave nothing behind."""
    if request.param == "plan kept":
        for _ in range(COMMITS_TO_A_PLAN):
            AlertFactory(client=tenant.client)
        Outbox.objects.all()._raw_delete("default")
        Alert.objects.all()._raw_delete("default")


def told() -> list[str]:
    """Return the details of the alerts in the outbox, in order."""
    return [
        json.loads(facts)["details"]
        for facts in Outbox.objects.order_by("pk").values_list("facts", flat=True)
    ]


def undone(tenant: Any) -> None:
    """Save an alert, and undo it."""

    def save() -> None:
        with transaction.atomic():
            AlertFactory(client=tenant.client, details="undone")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        save()


def test_what_is_committed_is_recorded_in_order(tenant, settled):
    AlertFactory(client=tenant.client, details="1")
    with transaction.atomic():
        AlertFactory(client=tenant.client, details="2")
        AlertFactory(client=tenant.other_client, details="3")
    assert told() == ["1", "2", "3"]
    rows = Outbox.objects.order_by("pk")
    assert [row.client_id for row in rows] == [tenant.client.pk, tenant.client.pk, tenant.other_client.pk]
    assert {row.msp_id for row in rows} == {tenant.msp.pk}
    assert rows[0].tx != rows[1].tx == rows[2].tx


def test_what_is_rolled_back_is_not_recorded_nor_told_with_the_next_commit(tenant, settled):
    undone(tenant)
    AlertFactory(client=tenant.client, details="kept")
    assert told() == ["kept"]


def test_a_savepoint_rolled_back_takes_its_own_and_no_more(tenant, settled):
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


def test_a_commit_that_a_constraint_refuses_records_nothing(tenant, settled):
    with pytest.raises(IntegrityError):
        AlertFactory.build(client=None, client_id=uuid4(), details="of nobody").save()
    assert not Alert.objects.exists()
    AlertFactory(client=tenant.client, details="next")
    assert told() == ["next"]


def test_a_change_that_cannot_be_recorded_is_not_committed(tenant, settled, monkeypatch):
    monkeypatch.setattr(
        recording,
        "_text",
        lambda facts: "\x00" if facts["details"] == "bad" else json.dumps({"details": facts["details"]}),
    )
    if connection.vendor == "postgresql":  # SQLite takes a zero byte
        with pytest.raises(DatabaseError):
            AlertFactory(client=tenant.client, details="bad")
        assert not Alert.objects.exists()
    AlertFactory(client=tenant.client, details="good")
    assert told() == ["good"]


def test_an_alert_that_goes_with_its_client_is_told_to_the_msp(tenant, settled):
    AlertFactory(client=tenant.client, details="gone")
    placing.place(100, "default")
    msp_id = tenant.msp.pk
    tenant.client.delete()
    assert Outbox.objects.filter(kind=Kind.ALERT, msp_id=msp_id).count() == 1


def test_a_thousand_changes_of_one_transaction_are_one_transaction_s(tenant, settled):
    with transaction.atomic():
        for number in range(recording.MOST_WAITING + 5):
            recording.record([recording.Fact(Kind.MESSAGE, tenant.client.pk, {"details": str(number)})])
    assert told() == [str(number) for number in range(recording.MOST_WAITING + 5)]
    assert Outbox.objects.values("tx").distinct().count() == 1


def test_what_is_recorded_outside_of_a_transaction_is_recorded(tenant, settled):
    recording.record([recording.Fact(Kind.MESSAGE, tenant.client.pk, {"details": "alone"})])
    assert told() == ["alone"]


@pytest.mark.postgres
def test_it_goes_along_with_the_commit_once_there_is_a_plan(tenant, statements):
    for _ in range(COMMITS_TO_A_PLAN):
        AlertFactory(client=tenant.client)
    statements.clear()
    AlertFactory(client=tenant.client)
    assert statements == ["INSERT, COMMIT"]
    assert Outbox.objects.count() == COMMITS_TO_A_PLAN + 1


@pytest.mark.postgres
def test_behind_a_pooler_no_plan_is_kept(tenant, statements, monkeypatch):
    monkeypatch.setattr(connection.connection, "prepare_threshold", None)
    for number in range(COMMITS_TO_A_PLAN + 2):
        AlertFactory(client=tenant.client, details=str(number))
    assert statements == []
    assert told() == [str(number) for number in range(COMMITS_TO_A_PLAN + 2)]


@pytest.mark.postgres
def test_a_connection_lost_before_the_commit_commits_nothing_and_the_next_one_works(tenant, settled):
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
    placing.place(10, "default")
    assert Event.objects.count() == 1


@pytest.fixture
def statements(monkeypatch):
    """Note each round trip that took an INSERT and the COMMIT."""
    from realtime.postgresql import base

    seen: list[str] = []
    commit = base._commit_with

    def noted(*args: object) -> None:
        seen.append("INSERT, COMMIT")
        commit(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(base, "_commit_with", noted)
    return seen
