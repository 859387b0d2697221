"""`manage.py seed_demo`: what is there afterwards, what a second run does, what it refuses."""

from __future__ import annotations

import datetime

import pytest
from django.contrib.auth import authenticate
from django.core.management.base import CommandError
from django.test import RequestFactory
from django.utils import timezone

from engagement import access, actions, figures
from engagement.demo import history, scenes, world
from engagement.models import (
    MSP,
    ActiveUser,
    Agent,
    Alert,
    Application,
    Client,
    Department,
    Engagement,
    Interaction,
    User,
)
from realtime.capture.signals import rows_changed
from realtime.models import Outbox
from tests.factories import ClientFactory, MSPFactory, UserFactory

NOON = datetime.datetime(2026, 3, 5, 12, tzinfo=datetime.UTC)  # a Thursday
EVERYTHING = (MSP, Client, User, Department, Application, Agent, Interaction, Engagement, ActiveUser, Alert)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon", "in_debug")]


@pytest.fixture
def in_debug(settings) -> None:
    settings.DEBUG = True


@pytest.fixture
def noon(monkeypatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOON)


def rows() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in EVERYTHING}


def totals() -> list[tuple[object, ...]]:
    of = "client__name", "day", "department__name", "application__name", "agent__name"
    return sorted(map(str, Engagement.objects.values_list(*of, "interactions", "active_users", "flagged")))


def test_two_msps_with_three_clients_each_that_use_chatgpt_and_copilot(run) -> None:
    run("seed_demo", days=1)
    assert [msp.clients.count() for msp in MSP.objects.all()] == [3, 3]
    for client in Client.objects.all():
        names = set(client.applications.values_list("name", flat=True))
        assert {"ChatGPT", "Microsoft Copilot"} <= names
        assert set(client.applications.values_list("status", flat=True)) == {"Permitted", "Unsanctioned"}
        assert client.departments.count() >= 3
        assert client.agents.count() >= 2


def test_every_login_signs_in_and_sees_what_it_should(run) -> None:
    run("seed_demo", days=1)
    seen = {}
    for login in world.LOGINS:
        user = authenticate(RequestFactory().post("/"), username=login.username, password="demo-only")
        assert isinstance(user, User), login
        seen[login.username] = set(Client.objects.visible_to(user).values_list("name", flat=True))
    first = {client.name for client in world.MSPS[0].clients}
    second = {client.name for client in world.MSPS[1].clients}
    assert seen == {
        "admin": first | second,
        "msp_admin": first,
        "msp_user": first,
        "client_admin": {"Harbor Dental"},
        "client_user": {"Harbor Dental"},
        "other_msp_admin": second,
        "other_client_user": {"Copperfield Credit Union"},
    }
    assert access.scope_of(User.objects.get(username="admin")) is None


def test_msp_admin_may_use_the_admin_site_for_alerts(run) -> None:
    run("seed_demo", days=1)
    staff = User.objects.get(username="msp_admin")
    assert staff.is_staff
    assert not staff.is_superuser
    assert staff.has_perms(["engagement.view_alert", "engagement.change_alert", "engagement.view_client"])
    assert not staff.has_perm("engagement.delete_client")
    assert set(User.objects.filter(is_staff=True).values_list("username", flat=True)) == {
        "admin",
        "msp_admin",
    }


def test_password_comes_from_the_environment_and_is_not_printed(run, monkeypatch) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "of-the-operator")
    printed = run("seed_demo", days=1)
    assert User.objects.get(username="msp_user").check_password("of-the-operator")
    assert "of-the-operator" not in printed.out + printed.err
    assert "$DEMO_PASSWORD" in printed.out


@pytest.mark.slow
def test_history_has_the_rhythm_of_working_weeks_and_trends_that_differ(run) -> None:
    run("seed_demo", days=21)
    for client in Client.objects.all():
        by_weekday = [0] * 7
        for roll_up in Engagement.objects.filter(client=client, department__isnull=False):
            by_weekday[roll_up.day.weekday()] += roll_up.interactions
        assert max(by_weekday[5:]) < min(by_weekday[:4]) / 3
        trends = {row["trend_pct_7d"] for row in figures.applications(client.pk)}
        assert len(trends) > 2
    assert set(Alert.objects.values_list("severity", flat=True)) == set(Alert.Severity.values)
    assert set(Alert.objects.values_list("status", flat=True)) == set(Alert.Status.values)
    assert not Alert.objects.filter(family="").exists()
    assert not Alert.objects.filter(frameworks=[]).exists()


@pytest.mark.slow
def test_nothing_is_of_the_future_and_alerts_changed_after_they_were_raised(run) -> None:
    run("seed_demo", days=4)
    assert not Interaction.objects.filter(occurred_at__gt=NOON).exists()
    assert not Alert.objects.filter(created_at__gt=NOON).exists()
    for alert in Alert.objects.all():
        assert alert.created_at <= alert.updated_at <= NOON
        assert (alert.status == Alert.Status.UNASSIGNED) == (alert.updated_at == alert.created_at)
        if alert.assignee:
            assert Client.objects.visible_to(alert.assignee).filter(pk=alert.client_id).exists()


@pytest.mark.slow
def test_roll_ups_are_what_the_interactions_say(run) -> None:
    run("seed_demo", days=2)
    counted = ActiveUser.objects.count()
    for client in Client.objects.all():
        for back in range(2):
            assert actions.roll_up(client, (NOON - datetime.timedelta(days=back)).date()) == 0
    assert ActiveUser.objects.count() == counted


def test_history_is_no_news(run) -> None:
    told: list[object] = []
    rows_changed.connect(hear := lambda sender, changes, **_: told.extend(changes))
    try:
        run("seed_demo", days=2)
    finally:
        rows_changed.disconnect(hear)
    assert told == []
    assert not Outbox.objects.exists()


@pytest.mark.slow
def test_same_figures_every_time(run) -> None:
    run("seed_demo", days=2)
    before = totals()
    MSP.objects.all().delete()
    User.objects.all().delete()
    assert not Engagement.objects.exists()
    run("seed_demo", days=2)
    assert totals() == before


def test_second_run_changes_nothing_and_says_so(run) -> None:
    run("seed_demo", days=1)
    before = rows()
    printed = run("seed_demo", days=1)
    assert rows() == before
    assert "nothing added" in printed.out


@pytest.mark.slow
def test_later_run_fills_the_days_since(run, monkeypatch) -> None:
    run("seed_demo", days=3)
    monkeypatch.setattr(timezone, "now", lambda: NOON + datetime.timedelta(days=2))
    printed = run("seed_demo", days=3)
    assert "Added 2 days of history up to 2026-03-07" in printed.out
    for client in Client.objects.all():
        days = (
            Engagement.objects.filter(client=client).order_by("day").values_list("day", flat=True).distinct()
        )
        assert [day.day for day in days] == [3, 4, 5, 6, 7]


@pytest.mark.slow
def test_leaves_what_others_changed_or_added_alone(run) -> None:
    mine = ClientFactory(msp=MSPFactory(name=world.MSPS[0].name), name="Not of the demo")
    UserFactory(username="client_user", role="client_user", client=mine)
    printed = run("seed_demo", days=2)
    assert not Engagement.objects.filter(client=mine).exists()
    assert User.objects.get(username="client_user").client == mine
    assert "(another, set before)" in printed.out


def test_if_empty_does_nothing_beside_a_user(run) -> None:
    UserFactory(role="", msp=None, client=None)
    printed = run("seed_demo", if_empty=True)
    assert "not empty (0 MSPs, 1 users): nothing seeded" in printed.out
    assert not MSP.objects.exists()


def test_if_empty_seeds_an_empty_database(run) -> None:
    run("seed_demo", if_empty=True, days=1)
    assert MSP.objects.count() == 2


def test_ends_with_the_logins_and_what_to_do_next(run) -> None:
    lines = run("seed_demo", days=1).out.splitlines()
    for login in world.LOGINS:
        assert any(line.split()[:2] == [login.username, "demo-only"] for line in lines)
    assert lines[-1].strip().startswith('manage.py emit_event alert --client "Harbor Dental" --severity high')


def test_refuses_outside_debug_without_force(run, settings) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG off it wants --force"):
        run("seed_demo", days=1)
    assert not User.objects.exists()
    run("seed_demo", days=1, force=True)
    assert User.objects.count() == len(world.LOGINS)


@pytest.mark.parametrize("days", [0, -1, 366])
def test_refuses_days_out_of_range(run, days) -> None:
    with pytest.raises(CommandError, match=f"--days is from 1 to 365, not {days}"):
        run("seed_demo", days=days)


def test_a_day_that_is_seeded_later_is_the_same_but_for_what_was_not_over() -> None:
    client = ClientFactory(name="Harbor Dental")
    for demo in world.HARBOR_DENTAL.departments:
        client.departments.create(name=demo.name)
    client.applications.create(name="ChatGPT")
    scene = scenes.load(client)
    at_noon = history.of(scene, NOON.date(), NOON, [])
    at_night = history.of(scene, NOON.date(), NOON + datetime.timedelta(days=1), [])

    def told(day: history.Day) -> list[tuple[object, ...]]:
        return [(use.user_ref, use.count, use.occurred_at) for use in day.interactions]

    assert told(at_noon) == [use for use in told(at_night) if use[2] <= NOON]
    assert len(told(at_noon)) < len(told(at_night))
