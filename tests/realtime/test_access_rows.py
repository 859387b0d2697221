"""Every write to a row that access depends on is told, of that row and no other; what is rolled back is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, connections, transaction

from engagement.models import MSP, Client, User
from realtime.capture.signals import access_changed
from realtime.models import Outbox
from tests.access_writes import DELETES, RELATED, USER_CHANGES, WRITES
from tests.factories import ClientFactory, MSPFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def told() -> Iterator[list[set[object]]]:
    """Return the keys that were told, of users and of clients."""
    users: set[object] = set()
    clients: set[object] = set()

    def receive(sender, user_ids=(), client_ids=(), **_):
        users.update(user_ids)
        clients.update(client_ids)

    access_changed.connect(receive)
    yield [users, clients]
    access_changed.disconnect(receive)


@pytest.mark.parametrize("field", USER_CHANGES)
@pytest.mark.parametrize("write", WRITES)
def test_a_user(told, write, field):
    user, _other = UserFactory(role="msp_user"), UserFactory(role="msp_user")
    value = USER_CHANGES[field](user)
    WRITES[write](User, user.pk, field, value)
    assert getattr(User.objects.get(pk=user.pk), field) == value
    assert told == [{user.pk}, set()]


@pytest.mark.parametrize("field", ["msp", "msp_id"])
@pytest.mark.parametrize("write", WRITES)
def test_an_msps_user_who_moves(told, write, field):
    user, other = UserFactory(role="msp_user"), MSPFactory()
    if write in {"upsert", "bulk_update", "save in part", "save of a deferred field"}:
        field = "msp"
    WRITES[write](User, user.pk, field, other if field == "msp" else other.pk)
    assert User.objects.get(pk=user.pk).msp == other
    assert told == [{user.pk}, set()]


@pytest.mark.parametrize("write", WRITES)
def test_a_client_that_moves(told, write):
    client, other = ClientFactory(), MSPFactory()
    ClientFactory(msp=client.msp)
    WRITES[write](Client, client.pk, "msp", other)
    assert Client.objects.get(pk=client.pk).msp == other
    assert told == [set(), {client.pk}]


@pytest.mark.parametrize("write", RELATED)
def test_a_client_that_moves_by_its_relation(told, write):
    client, other = ClientFactory(), MSPFactory()
    RELATED[write](other, client)
    assert Client.objects.get(pk=client.pk).msp == other
    assert told == [set(), {client.pk}]


def test_a_user_who_moves_by_a_relation(told):
    user, other, msp = UserFactory(role="client_user"), ClientFactory(), MSPFactory()
    other.users.add(user)
    assert User.objects.get(pk=user.pk).client == other
    assert told == [{user.pk}, set()]
    colleague = UserFactory(role="msp_user")
    msp.users.add(colleague)
    assert told == [{user.pk, colleague.pk}, set()]


@pytest.mark.parametrize("write", DELETES)
def test_what_is_deleted(told, write):
    user, client = UserFactory(role="msp_user"), ClientFactory()
    DELETES[write](User, user.pk)
    DELETES[write](Client, client.pk)
    assert told == [{user.pk}, {client.pk}]


def test_what_goes_with_its_msp(told):
    user, client = UserFactory(role="msp_user"), UserFactory(role="client_user").client
    members = {user.pk, client.users.get().pk}
    MSP.objects.filter(pk__in=[user.msp_id, client.msp_id]).delete()
    assert told == [members, {client.pk}]


def test_columns_that_do_not_matter_are_not_told(told):
    user, client = UserFactory(role="msp_user"), ClientFactory()
    user.save(update_fields=["first_name", "last_login"])
    User.objects.filter(pk=user.pk).update(first_name="Ana")
    User.objects.only("first_name").get(pk=user.pk).save()
    User.objects.bulk_update([user], ["email"])
    Client.objects.filter(pk=client.pk).update(name="Another")
    client.save(update_fields=["name"])
    User.objects.bulk_create([UserFactory.build(role="msp_user", msp=client.msp)])
    assert told == [set(), set()]


def test_a_new_row_is_not_told(told):
    UserFactory(role="client_user")
    assert told == [set(), set()]


@pytest.mark.parametrize("write", ["save", "update", "bulk_update", "upsert", "update_or_create", "loaddata"])
def test_what_is_rolled_back_revokes_nobody(write):
    user = UserFactory(role="msp_user")
    with transaction.atomic():
        WRITES[write](User, user.pk, "is_active", False)
        assert Outbox.objects.filter(kind="access").exists()
        transaction.set_rollback(True)
    assert not Outbox.objects.filter(kind="access").exists()


@pytest.mark.django_db(transaction=True)
def test_rows_that_another_transaction_changes_meanwhile_are_told_if_they_are_updated(told):
    """Two users; one leaves the filter, the other enters it, while the update waits."""
    leaves, enters, stays = (UserFactory(role="msp_user", first_name=name) for name in ("in", "out", "in"))
    changing, waiting = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():
            User.objects.filter(pk=leaves.pk).update(first_name="out")
            User.objects.filter(pk=enters.pk).update(first_name="in")
            changing.set()
            waiting.wait(0.3)  # on SQLite nobody waits for it: the update begins when this is over
        connections.close_all()

    thread = threading.Thread(target=other)
    thread.start()
    changing.wait()
    changed = User.objects.filter(first_name="in").update(is_active=False)
    thread.join()
    inactive = set(User.objects.filter(is_active=False).values_list("pk", flat=True))
    assert (changed, inactive) == (len(inactive), told[0] & inactive)
    assert stays.pk in inactive
    assert leaves.pk not in inactive
    if connection.vendor == "sqlite":
        assert enters.pk in inactive
