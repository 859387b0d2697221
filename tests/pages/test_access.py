"""Who sees which page."""

import uuid

import pytest
from django.test import Client as Browser
from django.urls import reverse

from tests.factories import PASSWORD, AlertFactory, SuperuserFactory, UserFactory, two_tenants

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenants():
    return two_tenants()


def browser(user) -> Browser:
    visitor = Browser()
    visitor.force_login(user)
    return visitor


def pages(client) -> list[str]:
    return [
        reverse("overview"),
        reverse("overview-data"),
        reverse("client", args=[client.pk]),
        reverse("client-activity", args=[client.pk]),
        reverse("alerts"),
    ]


def test_strangers_are_asked_to_sign_in_and_come_back_to_where_they_wanted(tenants, client):
    for address in pages(tenants[0].client):
        answer = client.get(address)
        assert answer.status_code == 302
        assert answer.url == f"/login/?next={address}"
    answer = client.post(
        "/login/",
        {"username": tenants[0].msp_user.username, "password": PASSWORD, "next": "/alerts/?status=any"},
    )
    assert answer.url == "/alerts/?status=any"


def test_sign_in_does_not_lead_off_the_site(tenants, client):
    answer = client.post(
        "/login/",
        {"username": tenants[0].msp_user.username, "password": PASSWORD, "next": "https://evil.example/"},
    )
    assert answer.url == "/"


def test_a_wrong_password_is_told_in_one_sentence(tenants, client):
    answer = client.post("/login/", {"username": tenants[0].msp_user.username, "password": "wrong"})
    assert answer.status_code == 200
    assert "Wrong username or password" in answer.text


def test_a_lockout_is_told_as_one(tenants, client, settings):
    settings.AXES_FAILURE_LIMIT = 2
    credentials = {"username": tenants[0].msp_user.username, "password": "wrong"}
    client.post("/login/", credentials)
    answer = client.post("/login/", credentials)
    assert answer.status_code == 429
    assert "Too many failed sign-ins" in answer.text
    answer = client.post("/login/", credentials | {"password": PASSWORD})
    assert answer.status_code == 429


def test_signing_out_takes_a_post(tenants):
    visitor = browser(tenants[0].msp_user)
    assert visitor.get("/logout/").status_code == 405
    assert visitor.post("/logout/").url == "/login/"
    assert visitor.get("/").status_code == 302


def test_an_msp_sees_its_clients_and_no_others(tenants):
    mine, theirs = tenants
    text = browser(mine.msp_user).get("/").text
    for client in mine.clients:
        assert client.name in text
    for client in theirs.clients:
        assert client.name not in text
        assert str(client.pk) not in text


def test_a_client_user_goes_straight_to_their_dashboard(tenants):
    mine, _ = tenants
    answer = browser(mine.client_user).get("/")
    assert answer.url == f"/clients/{mine.client.pk}/"
    assert browser(mine.client_user).get(answer.url).status_code == 200


@pytest.mark.parametrize("route", ["client", "client-activity"])
def test_a_foreign_client_is_not_found_like_an_unknown_one(tenants, route):
    mine, theirs = tenants
    for user, forbidden in (
        (mine.msp_user, theirs.client),
        (mine.client_user, theirs.client),
        (mine.client_user, mine.clients[1]),
    ):
        foreign = browser(user).get(reverse(route, args=[forbidden.pk]))
        unknown = browser(user).get(reverse(route, args=[uuid.uuid4()]))
        assert foreign.status_code == unknown.status_code == 404
        assert forbidden.name not in foreign.text


def test_data_of_the_overview_is_of_the_viewers_clients(tenants):
    mine, _ = tenants
    rows = browser(mine.msp_user).get(reverse("overview-data")).json()["clients"]
    assert {row["client_id"] for row in rows} == {str(client.pk) for client in mine.clients}
    rows = browser(mine.client_user).get(reverse("overview-data")).json()["clients"]
    assert [row["client_id"] for row in rows] == [str(mine.client.pk)]


def test_alerts_are_those_of_the_viewers_clients(tenants):
    mine, theirs = tenants
    for client in (*mine.clients, *theirs.clients):
        AlertFactory(client=client, details=f"About {client.name}")
    text = browser(mine.client_user).get("/alerts/").text
    assert f"About {mine.client.name}" in text
    assert f"About {mine.clients[1].name}" not in text
    text = browser(mine.msp_user).get("/alerts/").text
    assert f"About {mine.clients[1].name}" in text
    assert f"About {theirs.client.name}" not in text


def test_a_superuser_without_a_tenant_is_sent_to_the_admin_site_with_a_sentence(tenants):
    answer = browser(SuperuserFactory()).get("/", follow=True)
    assert answer.redirect_chain == [("/admin/", 302)]
    assert "belongs to no MSP and no client" in answer.text


def test_a_user_without_a_tenant_is_told(tenants):
    for address in pages(tenants[0].client):
        answer = browser(UserFactory(role="", msp=None, client=None)).get(address)
        assert answer.status_code == 403
        assert "No access yet" in answer.text


def test_pages_are_never_stored_in_shared_caches_with_foreign_data(tenants):
    answer = browser(tenants[0].msp_user).get("/")
    assert "Cookie" in answer.headers["Vary"]


def test_pages_need_nothing_that_the_content_security_policy_forbids(tenants):
    mine, _ = tenants
    AlertFactory(client=mine.client)
    for address in ("/", f"/clients/{mine.client.pk}/", "/alerts/"):
        text = browser(mine.msp_user).get(address).text
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick=" not in text
