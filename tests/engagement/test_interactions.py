"""Recording interactions: rows, roll-ups, exact people, refusals, concurrency."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engagement import actions, errors
from engagement.models import ActiveUser, Client, Engagement, Interaction
from realtime.capture.signals import rows_changed
from tests.engagement.concurrency import in_threads
from tests.factories import (
    AgentFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    EngagementFactory,
    InteractionFactory,
)

Use = actions.Use
DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def counted(rollup: Engagement) -> tuple[int, int, int]:
    return rollup.interactions, rollup.active_users, rollup.flagged


def rollup_of(subject, day: date = DAY) -> Engagement:
    return Engagement.objects.get(day=day, **{subject._meta.model_name: subject})


@pytest.fixture
def told():
    """The changes that `rows_changed` told of, by model."""
    heard: list[tuple[type, list]] = []

    def hear(sender, changes, **_):
        heard.append((sender, changes))

    rows_changed.connect(hear)
    yield heard
    rows_changed.disconnect(hear)


@pytest.mark.django_db
class TestRecording:
    def test_one_use_becomes_a_row_and_the_roll_ups_of_its_subject_and_department(self):
        application = ApplicationFactory()
        department = DepartmentFactory(client=application.client)
        [interaction] = actions.record_interactions(
            application.client,
            [
                Use(
                    application=application,
                    department=department,
                    count=5,
                    user_ref="ana",
                    flagged=True,
                    occurred_at=NOON,
                )
            ],
        )
        assert Interaction.objects.get() == interaction
        assert (interaction.count, interaction.user_ref, interaction.flagged) == (5, "ana", True)
        for subject in (application, department):
            rollup = rollup_of(subject)
            assert counted(rollup) == (5, 1, 5)
            assert rollup.last_activity == NOON
            assert rollup.client == application.client
        assert Engagement.objects.count() == 2

    def test_uses_add_up_over_calls_and_people_are_counted_once_per_subject_and_day(self):
        application = ApplicationFactory()
        agent = AgentFactory(client=application.client)

        def use(who, subject="application", at=NOON, **values):
            return Use(
                **{subject: application if subject == "application" else agent},
                user_ref=who,
                occurred_at=at,
                **values,
            )

        actions.record_interactions(
            application.client, [use("ana"), use("ana", count=2), use("ben"), use("")]
        )
        actions.record_interactions(
            application.client,
            [use("ana"), use("cyd"), use("ana", "agent"), use("ana", at=NOON + timedelta(days=1))],
        )
        assert counted(rollup_of(application)) == (7, 3, 0)
        assert counted(rollup_of(agent)) == (1, 1, 0)
        assert counted(rollup_of(application, DAY + timedelta(days=1))) == (1, 1, 0)

    def test_days_are_utc_days_whatever_zone_the_time_came_in(self):
        application = ApplicationFactory()
        late = datetime.fromisoformat("2026-03-02T23:30:00-05:00")
        [interaction] = actions.record_interactions(
            application.client, [Use(application=application, occurred_at=late)]
        )
        assert rollup_of(application, date(2026, 3, 3)).last_activity == late
        assert interaction.occurred_at == late

    def test_last_activity_does_not_go_back(self):
        application = ApplicationFactory()
        for at in (NOON, NOON - timedelta(hours=3)):
            actions.record_interactions(application.client, [Use(application=application, occurred_at=at)])
        assert rollup_of(application).last_activity == NOON

    def test_now_is_the_time_of_a_use_without_one(self):
        application = ApplicationFactory()
        before = timezone.now()
        [interaction] = actions.record_interactions(application.client, [Use(application=application)])
        assert before <= interaction.occurred_at <= timezone.now()

    def test_listeners_hear_of_the_interactions_and_of_the_roll_ups(self, told):
        application = ApplicationFactory()
        actions.record_interactions(application.client, [Use(application=application, occurred_at=NOON)] * 3)
        by_model = dict(told)
        assert len(told) == 2
        assert [(change.kind, change.after["count"]) for change in by_model[Interaction]] == [
            ("created", 1)
        ] * 3
        assert [change.after["application_id"] for change in by_model[Engagement]] == [application.pk]

    def test_nothing_to_record_tells_and_writes_nothing(self, told):
        assert actions.record_interactions(ClientFactory(), []) == []
        assert told == []

    def test_queries_do_not_grow_with_the_uses(self):
        client = ClientFactory()
        applications = ApplicationFactory.create_batch(5, client=client)

        def queries(rows: int) -> int:
            uses = [
                Use(application=applications[i % 5], user_ref=f"{rows}-{i}", occurred_at=NOON)
                for i in range(rows)
            ]
            with CaptureQueriesContext(connection) as captured:
                actions.record_interactions(client, uses)
            return sum("SAVEPOINT" not in query["sql"] for query in captured)

        queries(5)
        assert (
            queries(10) == queries(100) <= 5 + 2
        )  # its own, and one for each kind of row that a listener hears of

    def test_a_listener_that_fails_takes_everything_back(self):
        application = ApplicationFactory()

        def refuse(sender, **_):
            if sender is Interaction:
                raise RuntimeError

        rows_changed.connect(refuse)
        try:
            with pytest.raises(RuntimeError):
                actions.record_interactions(
                    application.client, [Use(application=application, user_ref="ana")]
                )
        finally:
            rows_changed.disconnect(refuse)
        assert not Interaction.objects.exists()
        assert not Engagement.objects.exists()
        assert not ActiveUser.objects.exists()


@pytest.mark.django_db
class TestRefusals:
    @pytest.mark.parametrize("kind", ["application", "agent", "department"])
    def test_a_foreign_row(self, kind):
        client = ClientFactory()
        uses = {"application": ApplicationFactory(client=client)}
        foreign = {"application": ApplicationFactory, "agent": AgentFactory, "department": DepartmentFactory}[
            kind
        ]()
        if kind == "agent":
            uses = {}
        with pytest.raises(errors.WrongTenant, match="its own client"):
            actions.record_interactions(client, [Use(**uses | {kind: foreign})])
        assert not Interaction.objects.exists()

    def test_no_subject_or_two(self):
        application = ApplicationFactory()
        agent = AgentFactory(client=application.client)
        for use in (Use(), Use(application=application, agent=agent)):
            with pytest.raises(errors.InvalidValue, match="name one"):
                actions.record_interactions(application.client, [use])

    @pytest.mark.parametrize("count", [0, -1, 1_000_001, "5", 2.5, True])
    def test_a_count_out_of_range(self, count):
        application = ApplicationFactory()
        with pytest.raises(errors.InvalidValue, match=r"from 1 to 1,000,000"):
            actions.record_interactions(application.client, [Use(application=application, count=count)])

    def test_a_time_without_a_zone(self):
        application = ApplicationFactory()
        with pytest.raises(errors.InvalidValue, match="time zone"):
            actions.record_interactions(
                application.client, [Use(application=application, occurred_at=datetime(2026, 3, 2))]
            )


@pytest.mark.django_db
class TestRollingUp:
    def test_makes_roll_ups_say_what_the_interactions_say(self):
        application = ApplicationFactory()
        client = application.client
        department = DepartmentFactory(client=client)
        for who, flagged in (("ana", False), ("ana", True), ("ben", False), ("", False)):
            InteractionFactory(
                client=client,
                application=application,
                department=department,
                user_ref=who,
                count=2,
                flagged=flagged,
                occurred_at=NOON,
            )
        InteractionFactory(client=client, application=application, occurred_at=NOON + timedelta(days=1))
        assert actions.roll_up(client, DAY) == 2
        for subject in (application, department):
            assert counted(rollup_of(subject)) == (8, 2, 2)
            assert rollup_of(subject).last_activity == NOON
        assert Engagement.objects.count() == 2

    def test_agrees_with_recording_and_then_changes_nothing_and_tells_nothing(self, told):
        application = ApplicationFactory()
        client = application.client
        agent = AgentFactory(client=client)
        department = DepartmentFactory(client=client)
        uses = [
            Use(
                application=application,
                department=department,
                user_ref=f"user{i % 3}",
                flagged=i == 1,
                occurred_at=NOON,
            )
            for i in range(7)
        ]
        uses += [Use(agent=agent, user_ref="ana", count=4, occurred_at=NOON)]
        actions.record_interactions(client, uses)
        told.clear()
        assert actions.roll_up(client, DAY) == 0
        assert told == []

    def test_removes_what_is_no_more_and_counts_people_on_from_there(self):
        application = ApplicationFactory()
        client = application.client
        actions.record_interactions(
            client, [Use(application=application, user_ref=who, occurred_at=NOON) for who in ("ana", "ben")]
        )
        Interaction.objects.filter(user_ref="ben").delete()
        assert actions.roll_up(client, DAY) == 1
        assert counted(rollup_of(application)) == (1, 1, 0)
        actions.record_interactions(
            client, [Use(application=application, user_ref=who, occurred_at=NOON) for who in ("ana", "ben")]
        )
        assert counted(rollup_of(application)) == (3, 2, 0)
        assert actions.roll_up(client, DAY) == 0

    def test_a_roll_up_without_interactions_is_set_to_nothing(self):
        rollup = EngagementFactory(day=DAY, interactions=9, active_users=3, last_activity=NOON)
        assert actions.roll_up(rollup.client, DAY) == 1
        rollup.refresh_from_db()
        assert counted(rollup) == (0, 0, 0)
        assert rollup.last_activity is None

    def test_leaves_other_clients_alone(self):
        other = EngagementFactory(day=DAY, interactions=9)
        actions.roll_up(ClientFactory(), DAY)
        other.refresh_from_db()
        assert other.interactions == 9


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_lose_nothing_count_people_once_and_do_not_deadlock():
    client: Client = ClientFactory()
    applications = ApplicationFactory.create_batch(6, client=client)
    departments = DepartmentFactory.create_batch(3, client=client)
    writers, rounds = 6, 5

    def work(index: int) -> None:
        for turn in range(rounds):
            # Each in an order of its own, on rows that are missing at first: what deadlocks if locks are not sorted.
            order = applications[index:] + applications[:index]
            actions.record_interactions(
                client,
                [
                    Use(
                        application=application,
                        department=departments[(index + turn) % 3],
                        count=2,
                        user_ref=f"user{turn}",
                        occurred_at=NOON,
                    )
                    for application in order
                ],
            )

    assert in_threads(writers, work) == []
    assert Interaction.objects.count() == writers * rounds * len(applications)
    for application in applications:
        assert counted(rollup_of(application)) == (2 * writers * rounds, rounds, 0)
    assert actions.roll_up(client, DAY) == 0
