"""What the overview and a client's dashboard show."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.asserts import assertContains

from engagement import actions
from engagement.models import Alert
from engagement.pages import recent
from tests.factories import (
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    InteractionFactory,
    tenant,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def mine():
    return tenant()


@pytest.fixture
def visitor(client, mine):
    client.force_login(mine.msp_user)
    return client


def use(client, count=1, name="ChatGPT", **kwargs):
    application = ApplicationFactory(client=client, name=name)
    department = DepartmentFactory(client=client)
    actions.record_interactions(
        client,
        [actions.Use(application=application, department=department, count=count, user_ref="ana", **kwargs)],
    )
    return application


def test_the_account_menu_leads_to_the_app(mine, visitor):
    link = '<a class="menu-item" href="/app/">Dashboard app</a>'
    assertContains(visitor.get("/"), link, html=True)
    assert visitor.get("/app/").status_code == 200


@pytest.mark.parametrize("path", ["/app/", "/app/alerts/?status=any", "/app/alerts/?q=x&alert=1"])
def test_the_app_begins_with_who_looks_whatever_its_address_asks_for(mine, visitor, path):
    boot = re.search(r'<script id="boot"[^>]*>(.*?)</script>', visitor.get(path).content.decode())
    assert json.loads(boot[1])["me"]["username"] == mine.msp_user.username


def test_the_overview_adds_up(mine, visitor):
    use(mine.clients[0], 1200)
    use(mine.clients[1], 34)
    AlertFactory(client=mine.client, severity="critical")
    AlertFactory(client=mine.client, severity="low", status=Alert.Status.COMPLETE)
    answer = visitor.get("/")
    assert answer.context["totals"]["interactions_today"] == 1234
    assert answer.context["totals"]["open_alerts_total"] == 1
    assert answer.context["totals"]["open_alerts"] == {"low": 0, "medium": 0, "high": 0, "critical": 1}
    assert "1,234" in answer.text


def test_last_activity_is_the_latest_of_the_client(mine, visitor):
    now = timezone.now()
    use(mine.client, occurred_at=now - timedelta(days=3))
    use(mine.client, name="Claude", occurred_at=now - timedelta(minutes=5))
    rows = {row["client_id"]: row for row in visitor.get("/overview/data/").json()["clients"]}
    assert rows[str(mine.client.pk)]["last_activity_iso"] == (now - timedelta(minutes=5)).isoformat().replace(
        "+00:00", "Z"
    )
    assert rows[str(mine.clients[1].pk)]["last_activity_iso"] is None


def test_the_dashboard_shows_the_figures_of_rest(mine, visitor):
    use(mine.client, 700)
    AgentFactory(client=mine.client, name="Claims Coder")
    page = visitor.get(f"/clients/{mine.client.pk}/")
    rest = visitor.get(f"/api/v1/clients/{mine.client.pk}/dashboard").json()
    for part in ("departments", "applications", "agents", "productivity", "totals"):
        assert page.context["dashboard"][part] == rest[part]
    assert "ChatGPT" in page.text
    assert "Claims Coder" in page.text
    assert "100.0" in page.text  # uses a day


def test_recent_counts_are_by_second_and_client(mine):
    now = timezone.now().replace(microsecond=500_000)
    InteractionFactory(client=mine.client, count=2, occurred_at=now - timedelta(seconds=1))
    InteractionFactory(client=mine.client, count=3, occurred_at=now - timedelta(seconds=1))
    InteractionFactory(client=mine.clients[1], count=5, occurred_at=now)
    InteractionFactory(client=mine.client, count=7, occurred_at=now - recent.SPAN - timedelta(seconds=1))
    InteractionFactory(client=mine.client, count=11, occurred_at=now + timedelta(seconds=1))
    second = int(now.timestamp())
    assert recent.by_client(mine.msp_user, now) == {
        str(mine.client.pk): [(second - 1, 5)],
        str(mine.clients[1].pk): [(second, 5)],
    }
    assert recent.by_client(mine.client_user, now) == {str(mine.client.pk): [(second - 1, 5)]}


def test_activity_is_by_application_and_agent_the_busiest_first(mine, visitor):
    now = timezone.now() - timedelta(seconds=30)
    agent = AgentFactory(client=mine.client, name="Claims Coder")
    InteractionFactory(client=mine.client, agent=agent, count=9, occurred_at=now)
    chatgpt = ApplicationFactory(client=mine.client, name="ChatGPT")
    InteractionFactory(client=mine.client, application=chatgpt, count=2, occurred_at=now)
    series = visitor.get(f"/clients/{mine.client.pk}/activity/").json()["series"]
    assert series == [
        {"id": str(agent.pk), "name": "Claims Coder", "counts": [[int(now.timestamp()), 9]]},
        {"id": str(chatgpt.pk), "name": "ChatGPT", "counts": [[int(now.timestamp()), 2]]},
    ]


@pytest.mark.parametrize(
    "address", ["/", "/overview/data/", "/clients/{}/", "/clients/{}/activity/", "/alerts/"]
)
def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(
    mine, visitor, address, django_assert_num_queries, django_assert_max_num_queries
):
    address = address.format(mine.client.pk)
    AlertFactory(client=mine.client, assignee=mine.msp_user, acknowledged_by=mine.msp_admin)
    use(mine.client, name="First")
    AgentFactory(client=mine.client)
    with django_assert_max_num_queries(30) as few:
        visitor.get(address)
    for index in range(5):
        client = ClientFactory(msp=mine.msp)
        use(client)
        use(mine.client, name=f"Application {index}")
        AgentFactory(client=mine.client)
        AlertFactory(client=client, assignee=mine.msp_admin)
        AlertFactory(client=mine.client, acknowledged_by=mine.client_user)
    with django_assert_num_queries(len(few)):
        visitor.get(address)
