"""A page of one user, in a browser where somebody else has signed in since."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from engagement.middleware.same_user import HEADER
from engagement.models import Alert
from tests.factories import AlertFactory, UserFactory, two_tenants

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser():
    return Browser(enforce_csrf_checks=False)


@pytest.fixture
def tenant():
    return two_tenants()[0]


@pytest.fixture
def users(tenant):
    return [UserFactory(msp=tenant.msp), UserFactory(msp=tenant.msp)]


def test_reads_and_actions_of_another_user_s_page_are_refused(browser, tenant, users, subtests):
    first, second = users
    alert = AlertFactory(client=tenant.client)
    browser.force_login(second)
    page = {HEADER: str(first.pk), "Accept": "application/json"}
    requests = [
        ("get", "/api/v1/me"),
        ("get", "/api/v1/alerts/"),
        ("get", "/overview/data/"),
        ("get", f"/clients/{tenant.client.pk}/activity/"),
        ("post", f"/api/v1/alerts/{alert.pk}/acknowledge/"),
        ("patch", f"/api/v1/alerts/{alert.pk}/"),
    ]
    for method, path in requests:
        with subtests.test(path, method=method):
            answer = getattr(browser, method)(path, headers=page, content_type="application/json")
            assert (answer.status_code, answer.json()["code"]) == (409, "user_changed")
    assert Alert.objects.get(pk=alert.pk).acknowledged_by is None


def test_the_user_s_own_page_is_served_in_every_window(browser, users):
    browser.force_login(users[0])
    assert browser.get("/api/v1/me", headers={HEADER: str(users[0].pk)}).json()["id"] == str(users[0].pk)
    assert browser.get("/api/v1/me").status_code == 200


def test_a_page_of_somebody_signed_out_is_told_so_as_ever(browser, users):
    assert browser.get("/api/v1/me", headers={HEADER: str(users[0].pk)}).status_code == 401


@pytest.mark.parametrize("path", ["/overview/", "/app/", "/alerts/"])
def test_every_live_page_says_whose_it_is(browser, users, path):
    browser.force_login(users[0])
    answer = browser.get(path, follow=True)
    assert f'<meta name="user" content="{users[0].pk}">' in answer.content.decode()
