"""The alert centre: filters, pages, and what can be done without a script."""

import uuid

import pytest

from engagement.models import Alert
from engagement.pages.views import PER_PAGE
from tests.factories import AlertFactory, ApplicationFactory, two_tenants

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenants():
    return two_tenants()


@pytest.fixture
def mine(tenants):
    return tenants[0]


@pytest.fixture
def visitor(client, mine):
    client.force_login(mine.msp_user)
    return client


@pytest.fixture
def alerts(mine):
    chatgpt = ApplicationFactory(client=mine.client, name="ChatGPT")
    return {
        "critical": AlertFactory(
            client=mine.client, application=chatgpt, severity="critical", details="Keys leaked"
        ),
        "low": AlertFactory(client=mine.clients[1], severity="low", details="Odd hours", family="Usage"),
        "done": AlertFactory(client=mine.client, severity="high", status="Complete", details="Old story"),
    }


def found(visitor, query: str) -> set[str]:
    return {alert["details"] for alert in visitor.get(f"/alerts/?{query}").context["alerts"]}


def test_open_ones_are_shown_first(visitor, alerts):
    assert found(visitor, "") == {"Keys leaked", "Odd hours"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=any", {"Keys leaked", "Odd hours", "Old story"}),
        ("status=Complete", {"Old story"}),
        ("severity=low", {"Odd hours"}),
        ("severity=high", set()),
        ("severity=high&status=any", {"Old story"}),
        ("q=chatgpt", {"Keys leaked"}),
        ("q=usage+odd", {"Odd hours"}),
        ("q=leaked+hours", set()),
    ],
)
def test_filters(visitor, alerts, query, expected):
    assert found(visitor, query) == expected


def test_filter_by_client(visitor, alerts, mine):
    assert found(visitor, f"client={mine.clients[1].pk}") == {"Odd hours"}


@pytest.mark.parametrize("query", ["severity=awful", "status=odd", "client=nonsense"])
def test_a_filter_that_makes_no_sense_finds_nothing_and_says_so(visitor, alerts, query):
    answer = visitor.get(f"/alerts/?{query}")
    assert answer.status_code == 200
    assert answer.context["alerts"] == []
    assert 'class="notice"' in answer.text


def test_a_foreign_client_answers_like_an_unknown_one(visitor, alerts, tenants):
    AlertFactory(client=tenants[1].client)
    answers = [visitor.get(f"/alerts/?client={pk}") for pk in (tenants[1].client.pk, uuid.uuid4())]
    assert [answer.context["alerts"] for answer in answers] == [[], []]
    assert answers[0].context["form"].errors == answers[1].context["form"].errors
    assert tenants[1].client.name not in answers[0].text


def test_pages_keep_the_filters(visitor, mine):
    AlertFactory.create_batch(PER_PAGE + 1, client=mine.client, severity="low")
    first = visitor.get("/alerts/?severity=low")
    assert len(first.context["alerts"]) == PER_PAGE
    assert "?severity=low&amp;page=2" in first.text
    assert len(visitor.get("/alerts/?severity=low&page=2").context["alerts"]) == 1
    assert len(visitor.get("/alerts/?severity=low&page=99").context["alerts"]) == 1
    assert len(visitor.get("/alerts/?severity=low&page=odd").context["alerts"]) == PER_PAGE


def do(visitor, alert, deed: str, **more):
    return visitor.post(f"/alerts/{alert.pk}/", {"deed": deed, **more})


def test_deeds(visitor, alerts, mine):
    alert = alerts["critical"]
    do(visitor, alert, "acknowledge")
    do(visitor, alert, "assign")
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.assignee, alert.status) == (mine.msp_user, mine.msp_user, "Pending")
    do(visitor, alert, "complete")
    alert.refresh_from_db()
    assert alert.status == Alert.Status.COMPLETE
    do(visitor, alert, "reopen")
    alert.refresh_from_db()
    assert alert.status == Alert.Status.PENDING


def test_a_refusal_is_told_in_the_domains_words(visitor, alerts):
    answer = visitor.post(f"/alerts/{alerts['done'].pk}/", {"deed": "assign"}, follow=True)
    assert "reopen it before you assign it" in answer.text


def test_after_a_deed_one_is_back_where_one_was(visitor, alerts):
    assert (
        do(visitor, alerts["low"], "acknowledge", next="/alerts/?severity=low").url == "/alerts/?severity=low"
    )
    assert do(visitor, alerts["low"], "acknowledge", next="//evil.example/").url == "/alerts/"
    assert do(visitor, alerts["low"], "acknowledge").url == "/alerts/"


def test_an_unknown_deed_is_refused(visitor, alerts):
    answer = do(visitor, alerts["low"], "forget")
    assert answer.status_code == 400
    assert "acknowledge, assign, complete, reopen" in answer.text


@pytest.mark.parametrize("deed", ["acknowledge", "assign", "complete", "reopen"])
def test_foreign_alerts_are_not_found_like_unknown_ones_and_stay_as_they_are(visitor, tenants, deed):
    foreign = AlertFactory(client=tenants[1].client)
    before = Alert.objects.filter(pk=foreign.pk).values().get()
    assert do(visitor, foreign, deed).status_code == 404
    assert visitor.post(f"/alerts/{uuid.uuid4()}/", {"deed": deed}).status_code == 404
    assert Alert.objects.filter(pk=foreign.pk).values().get() == before


def test_what_a_client_writes_is_text_not_markup(visitor, mine):
    AlertFactory(client=mine.client, details="<script>alert(1)</script>")
    text = visitor.get("/alerts/").text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
