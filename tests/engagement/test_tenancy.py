"""Changes of who may see what are told, by whichever road they come."""

from __future__ import annotations

import pytest

from engagement.models import MSP, Client, User
from realtime.capture.signals import access_changed
from tests.factories import UserFactory, tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def told():
    """Ids that `access_changed` told of, of users and clients together."""
    heard: set = set()

    def hear(sender, **values):
        heard.update(values.get("user_ids", ()), values.get("client_ids", ()))

    access_changed.connect(hear)
    yield heard
    access_changed.disconnect(hear)


@pytest.mark.parametrize("road", ["alone", "in bulk", "with the client", "with the MSP"])
def test_a_deleted_user(told, road):
    user = UserFactory(role="client_user")
    pk = user.pk
    {
        "alone": user.delete,
        "in bulk": User.objects.filter(pk=pk).delete,
        "with the client": user.client.delete,
        "with the MSP": user.client.msp.delete,
    }[road]()
    assert pk in told


@pytest.mark.parametrize("road", ["alone", "in bulk", "with the MSP"])
def test_a_deleted_client(told, road):
    client = tenant().client
    pk = client.pk
    {
        "alone": client.delete,
        "in bulk": Client.objects.filter(pk=pk).delete,
        "with the MSP": MSP.objects.filter(pk=client.msp_id).delete,
    }[road]()
    assert pk in told
