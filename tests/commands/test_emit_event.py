"""`manage.py emit_event`: what it saves, and every way to ask wrongly."""

from __future__ import annotations

import time
import uuid

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from engagement.models import Alert, Client, Engagement, Interaction
from realtime.models import Outbox
from tests.factories import AgentFactory, ApplicationFactory, ClientFactory, MSPFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def harbor() -> Client:
    client = ClientFactory(name="Harbor Dental", msp=MSPFactory(name="Lighthouse"))
    ApplicationFactory(client=client, name="ChatGPT")
    ApplicationFactory(client=client, name="Gemini")
    AgentFactory(client=client, name="Claims Coder")
    return client


def recorded() -> list[str]:
    return sorted(Outbox.objects.values_list("kind", flat=True))


def test_alert_as_asked_for(run, harbor) -> None:
    printed = run(
        "emit_event", "alert", client="Harbor Dental", severity="high", details="Pasted", app="ChatGPT"
    )
    alert = Alert.objects.get()
    assert (alert.client, alert.severity, alert.details) == (harbor, "high", "Pasted")
    assert alert.application.name == "ChatGPT"
    assert printed.out == "Emitted 1 high alert about ChatGPT for Harbor Dental (Lighthouse).\n"
    assert recorded() == ["alert"]


def test_alert_of_an_agent(run, harbor) -> None:
    run("emit_event", "alert", client="Harbor Dental", agent="claims coder")
    assert Alert.objects.get().agent.name == "Claims Coder"
    assert Alert.objects.get().severity == "medium"


def test_alert_of_a_client_that_uses_nothing(run) -> None:
    ClientFactory(name="Idle")
    run("emit_event", "alert", client="Idle")
    assert Alert.objects.get().application is None


def test_interactions_count_into_the_roll_up(run, harbor) -> None:
    printed = run("emit_event", "interaction", client="Harbor Dental", app="Gemini", count=3)
    assert Interaction.objects.filter(application__name="Gemini").count() == 3
    assert Engagement.objects.get(application__name="Gemini").interactions == 3
    assert printed.out.startswith("Emitted 3 interactions about Gemini for Harbor Dental (Lighthouse) in ")


def test_engagement_saves_the_roll_up_and_leaves_its_figures(run, harbor) -> None:
    run("emit_event", "interaction", client="Harbor Dental", app="Gemini", count=2)
    before = Outbox.objects.filter(kind="engagement").count()
    run("emit_event", "engagement", client="Harbor Dental", app="Gemini", count=4)
    assert Outbox.objects.filter(kind="engagement").count() == before + 4
    assert Engagement.objects.get(application__name="Gemini").interactions == 2


def test_engagement_of_a_day_without_a_roll_up_makes_one(run, harbor) -> None:
    run("emit_event", "engagement", client="Harbor Dental", agent="Claims Coder")
    assert Engagement.objects.get().agent.name == "Claims Coder"
    assert recorded() == ["engagement"]


@pytest.mark.django_db(transaction=True)
def test_each_event_is_a_transaction_of_its_own(run, harbor) -> None:
    with CaptureQueriesContext(connection) as queries:
        run("emit_event", "alert", client="Harbor Dental", count=3)
    assert Alert.objects.count() == 3
    recorded = [query["sql"] for query in queries if query["sql"].startswith('INSERT INTO "realtime_outbox"')]
    assert len(recorded) == 3
    assert (
        len({sql.partition("VALUES (")[2].partition(",")[0] for sql in recorded}) == 3
    )  # the transaction's id


def test_rate_spreads_the_events(run, harbor) -> None:
    begun = time.monotonic()
    run("emit_event", "alert", client="Harbor Dental", count=4, rate=20)
    assert 0.15 <= time.monotonic() - begun < 2


@pytest.mark.parametrize("name", ["harbor dental", "HARBOR DENTAL"])
def test_name_in_any_case(run, harbor, name) -> None:
    run("emit_event", "alert", client=name)
    assert Alert.objects.get().client == harbor


def test_client_by_id(run, harbor) -> None:
    run("emit_event", "alert", client=str(harbor.pk))
    assert Alert.objects.get().client == harbor


def test_msp_tells_apart_clients_of_one_name(run, harbor) -> None:
    namesake = ClientFactory(name="Harbor Dental", msp=MSPFactory(name="Summit"))
    with pytest.raises(
        CommandError, match=r"2 clients are called 'Harbor Dental': .*Add --msp NAME, or give the id"
    ) as told:
        run("emit_event", "alert", client="Harbor Dental")
    assert str(namesake.pk) in str(told.value)
    run("emit_event", "alert", client="Harbor Dental", msp="summit")
    assert Alert.objects.get().client == namesake


def asked_wrongly(**changed: object) -> dict[str, object]:
    return {"kind": "alert", "client": "Harbor Dental", **changed}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (asked_wrongly(kind="alarm"), "There is no event 'alarm': say alert, interaction or engagement."),
        (
            asked_wrongly(client="Harbr Dentl"),
            "There is no client 'Harbr Dentl'. Did you mean 'Harbor Dental'?",
        ),
        (asked_wrongly(client="Qqq"), "There is no client 'Qqq'. There are: Harbor Dental."),
        (asked_wrongly(client=None), "Say whose event it is: --client NAME_OR_ID. There are: Harbor Dental."),
        (
            asked_wrongly(client=str(uuid.UUID(int=7))),
            f"There is no client '{uuid.UUID(int=7)}'. There are: Harbor Dental.",
        ),
        (asked_wrongly(msp="Lighthose"), "There is no MSP 'Lighthose'. Did you mean 'Lighthouse'?"),
        (asked_wrongly(app="Bard"), "Harbor Dental has no application 'Bard'. It has: ChatGPT, Gemini."),
        (asked_wrongly(agent="Bob"), "Harbor Dental has no agent 'Bob'. It has: Claims Coder."),
        (
            asked_wrongly(app="ChatGPT", agent="Claims Coder"),
            "--app and --agent exclude each other: an event is about one of them.",
        ),
        (asked_wrongly(severity="awful"), "There is no severity 'awful': say low, medium, high, critical."),
        (asked_wrongly(count=0), "--count is 1 or more, not 0."),
        (asked_wrongly(count=-3), "--count is 1 or more, not -3."),
        (asked_wrongly(rate=0.0), "--rate is a number of events a second above 0, not 0."),
        (asked_wrongly(rate=-1.5), "--rate is a number of events a second above 0, not -1.5."),
        (asked_wrongly(rate=float("nan")), "--rate is a number of events a second above 0, not nan."),
        (asked_wrongly(rate=float("inf")), "--rate is a number of events a second above 0, not inf."),
        (
            asked_wrongly(kind="interaction", severity="low"),
            "Only alerts have --severity: leave that out, or emit an alert.",
        ),
        (
            asked_wrongly(kind="engagement", severity="low", details="x"),
            "Only alerts have --severity and --details: leave that out, or emit an alert.",
        ),
    ],
)
def test_wrong_input_is_one_clear_line_and_saves_nothing(run, harbor, asked, told) -> None:
    kind = asked.pop("kind")
    with pytest.raises(CommandError) as error:
        run("emit_event", kind, **asked)
    assert str(error.value) == told
    assert recorded() == []


@pytest.mark.parametrize("kind", ["interaction", "engagement"])
def test_nobody_can_have_used_anything_where_there_is_nothing(run, kind) -> None:
    ClientFactory(name="Idle")
    with pytest.raises(CommandError, match="Idle has neither applications nor agents"):
        run("emit_event", kind, client="Idle")


def test_no_clients_at_all(run) -> None:
    with pytest.raises(CommandError, match=r"There are no clients yet: manage\.py seed_demo makes some"):
        run("emit_event", "alert", client="Harbor Dental")


def test_long_lists_are_cut(run) -> None:
    ClientFactory.create_batch(20, msp=MSPFactory())
    with pytest.raises(CommandError, match=r"and 8 more\.$"):
        run("emit_event", "alert", client="zzzz")
