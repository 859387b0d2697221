"""Dashboard figures against values computed by hand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engagement import figures
from engagement.models import Alert, Application, Engagement
from realtime.events import placing
from realtime.models import Event
from tests.factories import (
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    EngagementFactory,
    InteractionFactory,
    UserFactory,
    two_tenants,
)

TODAY = date(2026, 3, 20)


def rollup(subject, days_ago, interactions, **values):
    kind = subject._meta.model_name
    return EngagementFactory(
        client=subject.client,
        day=TODAY - timedelta(days=days_ago),
        interactions=interactions,
        **{kind: subject},
        **values,
    )


@pytest.mark.django_db
class TestDepartments:
    def test_the_window_is_seven_days_with_today_and_the_base_the_seven_before(self):
        department = DepartmentFactory(name="Legal")
        for days_ago, interactions in [(-1, 1000), (0, 10), (6, 20), (7, 5), (13, 15), (14, 1000)]:
            rollup(department, days_ago, interactions, active_users=days_ago + 2)
        assert figures.departments(department.client_id, today=TODAY) == [
            {
                "department_id": str(department.pk),
                "department": "Legal",
                "interactions": 30,
                "active_users": 8,
                "pct_change_vs_prev_7d": 50.0,
            }
        ]

    def test_a_change_is_rounded_to_one_decimal_and_may_be_negative(self):
        department = DepartmentFactory()
        rollup(department, 0, 2)
        rollup(department, 7, 3)
        [row] = figures.departments(department.client_id, today=TODAY)
        assert row["pct_change_vs_prev_7d"] == -33.3

    def test_nothing_compares_with_nothing(self):
        department = DepartmentFactory()
        [row] = figures.departments(department.client_id, today=TODAY)
        assert (row["interactions"], row["active_users"], row["pct_change_vs_prev_7d"]) == (0, 0, None)
        rollup(department, 0, 5)
        [row] = figures.departments(department.client_id, today=TODAY)
        assert (row["interactions"], row["pct_change_vs_prev_7d"]) == (5, None)


@pytest.mark.django_db
class TestApplications:
    def test_a_row(self):
        application = ApplicationFactory(name="ChatGPT", vendor="OpenAI", icon="💬", status="Unsanctioned")
        rollup(application, 0, 300, active_users=12, flagged=1)
        rollup(application, 1, 55, active_users=4)
        rollup(application, 8, 100)
        assert figures.applications(application.client_id, today=TODAY) == [
            {
                "app_id": str(application.pk),
                "application": "ChatGPT",
                "vendor": "OpenAI",
                "icon": "💬",
                "status": "Unsanctioned",
                "active_users": 12,
                "interactions_per_day": 50.7,
                "trend_pct_7d": 255.0,
                "utilization": "High",
                "recommendation": "Approve or replace",
            }
        ]

    @pytest.mark.parametrize(
        ("status", "now", "before", "flagged", "utilization", "recommendation"),
        [
            ("Permitted", 0, 10, 0, "Low", "Retire unused licences"),
            ("Permitted", 69, 69, 0, "Low", "Promote or train"),
            ("Permitted", 70, 70, 0, "Medium", "Keep"),
            ("Permitted", 349, 10, 0, "Medium", "Keep"),
            ("Permitted", 350, 350, 0, "High", "Keep"),
            ("Permitted", 385, 350, 0, "High", "Plan for more licences"),
            ("Permitted", 100, 100, 5, "Medium", "Keep"),
            ("Permitted", 100, 100, 6, "Medium", "Review flagged use"),
            ("Unsanctioned", 0, 0, 0, "Low", "Keep blocked"),
            ("Unsanctioned", 7, 0, 0, "Low", "Block or offer an alternative"),
            ("Unsanctioned", 70, 0, 0, "Medium", "Approve or replace"),
        ],
    )
    def test_utilization_and_recommendation(self, status, now, before, flagged, utilization, recommendation):
        application = ApplicationFactory(status=status)
        rollup(application, 0, now, flagged=flagged)
        rollup(application, 7, before)
        [row] = figures.applications(application.client_id, today=TODAY)
        assert (row["utilization"], row["recommendation"]) == (utilization, recommendation)


@pytest.mark.django_db
class TestAgents:
    def test_a_row(self):
        client = ClientFactory()
        applications = [ApplicationFactory(client=client, name=name) for name in ("Slack", "Jira")]
        agent = AgentFactory(client=client, name="Triage", icon="🤖", associated_apps=applications)
        rollup(agent, 0, 10, flagged=2, last_activity=datetime(2026, 3, 20, 9, 30, tzinfo=UTC))
        rollup(agent, 3, 11, flagged=1, last_activity=datetime(2026, 3, 17, 9, 30, tzinfo=UTC))
        rollup(agent, 7, 20, flagged=40)
        assert figures.agents(client.pk, today=TODAY) == [
            {
                "agent_id": str(agent.pk),
                "agent": "Triage",
                "vendor": "In-house",
                "icon": "🤖",
                "deployed": True,
                "avg_prompts_per_day": 3.0,
                "flagged_actions": 3,
                "trend_pct_7d": 5.0,
                "status": "Stable",
                "last_activity_iso": "2026-03-20T09:30:00Z",
                "associated_apps": ["Jira", "Slack"],
            }
        ]

    @pytest.mark.parametrize(
        ("now", "before", "status"),
        [
            (0, 0, "Dormant"),
            (0, 9, "Dormant"),
            (5, 0, "Rising"),
            (11, 10, "Rising"),
            (10, 10, "Stable"),
            (1, 10, "Stable"),
        ],
    )
    def test_status(self, now, before, status):
        agent = AgentFactory()
        rollup(agent, 0, now)
        rollup(agent, 7, before)
        assert figures.agents(agent.client_id, today=TODAY)[0]["status"] == status

    def test_a_dormant_agent_still_says_when_it_was_last_active(self):
        agent = AgentFactory()
        rollup(agent, 200, 1, last_activity=datetime(2025, 9, 1, tzinfo=UTC))
        assert figures.agents(agent.client_id, today=TODAY)[0]["last_activity_iso"] == "2025-09-01T00:00:00Z"
        assert figures.agents(AgentFactory().client_id, today=TODAY)[0]["last_activity_iso"] is None


@pytest.mark.django_db
class TestTogether:
    @pytest.mark.parametrize("kind", ["departments", "applications", "agents"])
    def test_a_subset_equals_the_same_rows_of_the_whole_and_never_shows_a_foreign_row(self, kind):
        factory = {
            "departments": DepartmentFactory,
            "applications": ApplicationFactory,
            "agents": AgentFactory,
        }[kind]
        client = ClientFactory()
        subjects = factory.create_batch(4, client=client)
        foreign = factory()
        for number, subject in enumerate([*subjects, foreign]):
            rollup(subject, 0, number + 1)
        read = getattr(figures, kind)
        everything = read(client.pk, today=TODAY)
        assert len(everything) == 4
        wanted = {subjects[1].pk, subjects[3].pk, foreign.pk}
        subset = read(client.pk, wanted, TODAY)
        assert subset == [everything[1], everything[3]]
        assert read(str(client.pk), [str(pk) for pk in wanted], TODAY) == subset
        assert read(client.pk, [], TODAY) == []

    def test_queries_do_not_grow_with_the_rows(self):
        client = ClientFactory()

        def queries() -> int:
            for factory in (DepartmentFactory, ApplicationFactory, AgentFactory):
                for subject in factory.create_batch(3, client=client):
                    rollup(subject, 1, 5)
            with CaptureQueriesContext(connection) as captured:
                figures.dashboard(client.pk, TODAY)
            return len(captured)

        assert queries() == queries() == 11

    def test_productivity_and_totals(self):
        client = ClientFactory()
        application, agent = ApplicationFactory(client=client), AgentFactory(client=client)
        legal, sales = DepartmentFactory(client=client), DepartmentFactory(client=client)
        rollup(application, 0, 40, active_users=3, flagged=2)
        rollup(agent, 0, 20, active_users=1, flagged=1)
        rollup(legal, 0, 30, active_users=2)
        rollup(sales, 0, 30, active_users=2)
        rollup(application, 6, 9, active_users=2)
        rollup(application, 7, 30, active_users=3)
        AlertFactory(client=client, severity="high")
        AlertFactory(client=client, severity="high", status=Alert.Status.PENDING)
        AlertFactory(client=client, severity="low", status=Alert.Status.COMPLETE)
        AlertFactory(severity="critical")
        answer = figures.dashboard(client.pk, TODAY)
        # Today 4 people by department (more than the application's 3), six days ago 2: 69 uses by 6 person-days.
        assert answer["productivity"]["interactions_per_active_user"] == 11.5
        assert answer["productivity"]["pct_change_vs_prev_7d"] == 15.0
        assert answer["productivity"]["interactions"] == 69
        assert [day["day"] for day in answer["productivity"]["series"]] == [
            f"2026-03-{day}" for day in range(14, 21)
        ]
        assert answer["productivity"]["series"][0] == {
            "day": "2026-03-14",
            "interactions": 9,
            "active_users": 2,
            "flagged": 0,
        }
        assert answer["productivity"]["series"][1] == {
            "day": "2026-03-15",
            "interactions": 0,
            "active_users": 0,
            "flagged": 0,
        }
        assert answer["totals"] == {
            "interactions_today": 60,
            "active_users_today": 4,
            "interactions_7d": 69,
            "flagged_7d": 3,
            "pct_change_vs_prev_7d": 130.0,
            "open_alerts": {"low": 0, "medium": 0, "high": 2, "critical": 0},
        }

    def test_a_client_without_activity(self):
        answer = figures.dashboard(ClientFactory().pk, TODAY)
        assert answer["departments"] == answer["applications"] == answer["agents"] == []
        assert answer["productivity"]["interactions_per_active_user"] is None
        assert answer["productivity"]["pct_change_vs_prev_7d"] is None
        assert answer["totals"]["pct_change_vs_prev_7d"] is None


@pytest.mark.django_db
class TestDailyTotals:
    NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)

    def test_sums_the_counts_of_the_utc_day(self):
        client = ClientFactory()
        application, unused, agent = (
            ApplicationFactory(client=client),
            ApplicationFactory(client=client),
            AgentFactory(client=client),
        )
        for at in (
            self.NOON,
            datetime(2026, 3, 20, tzinfo=UTC),
            datetime(2026, 3, 20, 23, 59, 59, 999999, tzinfo=UTC),
        ):
            InteractionFactory(client=client, application=application, count=5, occurred_at=at)
        for at in (datetime(2026, 3, 19, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 21, tzinfo=UTC)):
            InteractionFactory(client=client, application=application, count=100, occurred_at=at)
        InteractionFactory(client=client, agent=agent, count=7, occurred_at=self.NOON)
        with CaptureQueriesContext(connection) as captured:
            totals = figures.daily_totals({application.pk, unused.pk}, {agent.pk}, TODAY)
        assert totals == {application.pk: 15, unused.pk: 0, agent.pk: 7}
        assert len(captured) == 2

    def test_asks_nothing_for_nothing(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert figures.daily_totals([], []) == {}


@pytest.mark.django_db
class TestOverview:
    def test_a_row_for_each_client_of_the_viewer_only(self):
        mine, other = two_tenants()
        for tenant in (mine, other):
            application = ApplicationFactory(client=tenant.client)
            rollup(application, 0, 12, active_users=5)
            rollup(application, 1, 99, active_users=50)
            AlertFactory(client=tenant.client, severity="critical")
            AlertFactory(client=tenant.client, severity="low", status=Alert.Status.AI_RESOLVED)
        rows = figures.clients_overview(mine.msp_user, TODAY)
        assert rows[0] == {
            "client_id": str(mine.client.pk),
            "client": mine.client.name,
            "msp_id": str(mine.msp.pk),
            "msp": mine.msp.name,
            "status": "active",
            "interactions_today": 12,
            "active_users": 5,
            "open_alerts": {"low": 0, "medium": 0, "high": 0, "critical": 1},
            "open_alerts_total": 1,
        }
        assert [row["client_id"] for row in rows] == [str(client.pk) for client in mine.clients]
        assert rows[1]["interactions_today"] == rows[1]["open_alerts_total"] == 0
        assert [row["client_id"] for row in figures.clients_overview(other.client_user)] == [
            str(other.client.pk)
        ]
        assert figures.clients_overview(AnonymousUser()) == []

    def test_queries_do_not_grow_with_the_clients(self, django_assert_num_queries):
        admin = UserFactory(role="msp_admin")
        for client in ClientFactory.create_batch(12, msp=admin.msp):
            AlertFactory(client=client)
        with django_assert_num_queries(3):
            assert len(figures.clients_overview(admin)) == 12


@pytest.mark.django_db
def test_the_figures_of_very_many_subjects_are_told_in_several_messages():
    """In one message they were more than may be published: the change was a dead letter, and told to nobody."""
    client = ClientFactory()
    applications = Application.objects.bulk_create(
        Application(client=client, name=f"Application {number}") for number in range(6000)
    )
    today = timezone.now().date()
    with transaction.atomic():
        Engagement.objects.bulk_create(
            Engagement(client=client, application=each, day=today, interactions=1) for each in applications
        )
    more = True
    while more:
        _, more = placing.place(500, "default")
    told = [json.loads(event.data) for event in Event.objects.filter(type="engagement_update")]
    rows = [row["app_id"] for data in told for row in data["applications"]]
    assert sorted(rows) == sorted(str(each.pk) for each in applications)
    assert max(len(data["applications"]) for data in told) == 1000
