"""`manage.py simulate`: that the clients live, that it stops, and that it survives its database."""

from __future__ import annotations

import datetime
import signal
from random import Random

import pytest
from django.core.management.base import CommandError
from django.db import OperationalError

from engagement.demo import rhythm, scenes, world
from engagement.demo.traffic import DEEDS, Traffic
from engagement.management.commands import simulate
from engagement.models import Alert, Client, Interaction
from tests.factories import (
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    ClientFactory,
    MSPFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def harbor() -> Client:
    client = ClientFactory(
        name="Harbor Dental", msp=MSPFactory(name=world.MSPS[0].name), industry="Healthcare"
    )
    client.departments.create(name="Front Desk")
    ApplicationFactory(client=client, name="ChatGPT")
    ApplicationFactory(client=client, name="DeepSeek", status="Unsanctioned")
    AgentFactory(client=client, name="Claims Coder")
    UserFactory(role="msp_admin", msp=client.msp)
    return client


def steps(traffic: Traffic, count: int) -> list[str]:
    return [traffic.step() for _ in range(count)]


@pytest.mark.slow
def test_everything_that_can_happen_happens(harbor) -> None:
    traffic = Traffic([scenes.load(harbor)], Random(3))
    steps(traffic, 500)
    assert set(traffic.done) == set(DEEDS)
    assert Interaction.objects.count() == traffic.done["interaction"] > 350
    assert Alert.objects.count() == traffic.done["alert"]
    assert Alert.objects.exclude(acknowledged_at=None).exists()
    assert Alert.objects.filter(status=Alert.Status.COMPLETE).exists()
    assert Interaction.objects.filter(flagged=True).exists()
    assert set(Interaction.objects.values_list("department__name", flat=True)) == {"Front Desk"}


@pytest.mark.slow
def test_same_seed_same_events(harbor) -> None:
    first = steps(Traffic([scenes.load(harbor)], Random(11)), 60)
    Alert.objects.all().delete()
    assert steps(Traffic([scenes.load(harbor)], Random(11)), 60) == first
    Alert.objects.all().delete()
    assert steps(Traffic([scenes.load(harbor)], Random(12)), 60) != first


def test_an_alert_that_somebody_else_resolved_meanwhile_is_let_be(harbor, monkeypatch) -> None:
    alert = AlertFactory(client=harbor, status=Alert.Status.COMPLETE)
    traffic = Traffic([scenes.load(harbor)], Random(1))
    monkeypatch.setattr(Traffic, "_pick", lambda *_: alert)
    monkeypatch.setattr("engagement.demo.traffic.DEEDS", {"assignment": 1})
    steps(traffic, 1)
    assert traffic.done == {"interaction": 1}
    alert.refresh_from_db()
    assert alert.assignee is None


@pytest.mark.slow
def test_a_client_without_departments_or_people_of_the_portal_lives_too() -> None:
    client = ApplicationFactory(name="Own tool").client
    traffic = Traffic([scenes.load(client)], Random(5))
    steps(traffic, 200)
    assert set(traffic.done) == {"interaction", "alert"}


def test_runs_for_the_duration_and_sums_up(run, harbor) -> None:
    printed = run("simulate", rate=200.0, duration=0.5, seed=1)
    assert printed.out.startswith("Simulating 1 client, up to 200 events a second.")
    assert "Stopped. Simulated " in printed.out
    assert f"{Interaction.objects.count()} interaction" in printed.out
    assert Interaction.objects.exists()


def test_says_what_happens_if_asked(run, harbor) -> None:
    printed = run("simulate", rate=200.0, duration=0.2, seed=1, verbosity=2)
    assert "Harbor Dental: " in printed.out


def test_without_names_only_the_demo_lives(run, harbor) -> None:
    own = ApplicationFactory().client
    run("simulate", rate=300.0, duration=0.3)
    assert not Interaction.objects.filter(client=own).exists()
    run("simulate", rate=300.0, duration=1.5, client=[own.name])
    assert Interaction.objects.filter(client=own).exists()


def test_no_demo_clients_is_one_clear_line(run) -> None:
    ApplicationFactory()
    with pytest.raises(CommandError, match=r"There are no demo clients: run manage\.py seed_demo first"):
        run("simulate", duration=1.0)


def test_client_that_uses_nothing(run) -> None:
    ClientFactory(name="Idle")
    with pytest.raises(CommandError, match="Neither applications nor agents to use: Idle"):
        run("simulate", client=["Idle"], duration=1.0)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"rate": 0.0}, "--rate is a number of events a second above 0, not 0."),
        ({"rate": float("nan")}, "--rate is a number of events a second above 0, not nan."),
        ({"duration": 0.0}, "--duration is a number of seconds above 0, not 0."),
        ({"duration": -2.0}, "--duration is a number of seconds above 0, not -2."),
        (
            {"client": ["Harbour Dental"]},
            "There is no client 'Harbour Dental'. Did you mean 'Harbor Dental'?",
        ),
    ],
)
def test_wrong_input_is_one_clear_line(run, harbor, asked, told) -> None:
    with pytest.raises(CommandError) as error:
        run("simulate", **asked)
    assert str(error.value) == told


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_locked_database_is_a_warning_and_a_pause(run, harbor, monkeypatch) -> None:
    step, failures = (
        Traffic.step,
        [OperationalError("database is locked"), OperationalError("database is locked")],
    )

    def sometimes(traffic: Traffic) -> str:
        if failures:
            raise failures.pop()
        return step(traffic)

    monkeypatch.setattr(Traffic, "step", sometimes)
    monkeypatch.setattr(simulate, "BACKOFF_SECONDS", (0.01, 0.02))
    printed = run("simulate", rate=200.0, duration=0.6)
    assert printed.err.splitlines() == [
        "The database refused (database is locked): trying again in 0.01 s.",
        "The database refused (database is locked): trying again in 0.02 s.",
    ]
    assert "The database answers again." in printed.out
    assert Interaction.objects.exists()


def test_a_fault_of_ours_is_not_mistaken_for_the_database(run, harbor, monkeypatch) -> None:
    monkeypatch.setattr(Traffic, "step", lambda traffic: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("simulate", rate=200.0, duration=0.5)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, None)])
def test_signals_stop_it_after_the_event_at_hand(run, harbor, monkeypatch, number, status) -> None:
    step = Traffic.step

    def interrupted(traffic: Traffic) -> str:
        signal.raise_signal(number)
        return step(traffic)

    monkeypatch.setattr(Traffic, "step", interrupted)
    before = signal.getsignal(number)
    if status is None:
        run("simulate", rate=200.0)
    else:
        with pytest.raises(SystemExit) as stopped:
            run("simulate", rate=200.0)
        assert stopped.value.code == status
    assert Interaction.objects.count() + Alert.objects.count() == 1
    assert signal.getsignal(number) is before


def test_pace_follows_the_hour_and_never_stands_still() -> None:
    hours = [rhythm.pace(datetime.datetime(2026, 3, 5, hour, tzinfo=datetime.UTC)) for hour in range(24)]
    assert max(hours) == hours[10] == 1
    assert rhythm.QUIETEST <= min(hours) == hours[0] < 0.35
