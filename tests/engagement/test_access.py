"""The access rules: who sees which client, and that both directions of the question agree."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser

from engagement import access
from engagement.models import Alert, Client, User
from tests.factories import AlertFactory, SuperuserFactory, UserFactory, two_tenants

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenants():
    return two_tenants()


def test_scopes(tenants):
    mine, _ = tenants
    assert access.scope_of(mine.msp_user) == access.Scope(access.Role.MSP_USER, mine.msp.pk, None)
    assert access.scope_of(mine.client_admin) == access.Scope(
        access.Role.CLIENT_ADMIN, mine.msp.pk, mine.client.pk
    )
    assert access.scope_of(mine.msp_user).is_msp
    assert not access.scope_of(mine.client_admin).is_msp


@pytest.mark.parametrize("who", ["anonymous", "no role", "inactive", "inactive superuser", "staff"])
def test_who_sees_nothing(tenants, who):
    AlertFactory(client=tenants[0].client)
    viewer = {
        "anonymous": AnonymousUser,
        "no role": lambda: UserFactory(role=""),
        "inactive": lambda: UserFactory(msp=tenants[0].msp, is_active=False),
        "inactive superuser": lambda: SuperuserFactory(is_active=False),
        "staff": lambda: UserFactory(role="", is_staff=True),
    }[who]()
    assert access.scope_of(viewer) is None
    assert not Client.objects.visible_to(viewer).exists()
    assert not Alert.objects.visible_to(viewer).exists()
    assert not access.may_administer(viewer)


def test_a_superuser_sees_everything_but_has_no_scope(tenants):
    superuser = SuperuserFactory()
    assert Client.objects.visible_to(superuser).count() == 4
    assert access.scope_of(superuser) is None
    assert access.may_administer(superuser)


def test_every_role_sees_its_own_and_nothing_else(tenants):
    for tenant in tenants:
        for role, user in tenant.users.items():
            expected = set(tenant.clients) if role in access.MSP_ROLES else {tenant.client}
            assert set(Client.objects.visible_to(user)) == expected
            assert access.may_administer(user)


def test_the_viewers_of_a_client_are_those_to_whom_it_is_visible(tenants):
    UserFactory(msp=tenants[0].msp, is_active=False)
    UserFactory(role="client_user", client=tenants[0].clients[1])
    for client in Client.objects.all():
        viewers = set(User.objects.filter(access.viewer_filter(client)))
        assert viewers == {user for user in User.objects.all() if client in Client.objects.visible_to(user)}
        assert viewers
