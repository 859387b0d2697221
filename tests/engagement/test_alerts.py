"""What may be done to an alert, by whom, and what is left of it."""

from __future__ import annotations

import pytest

from engagement import actions, errors
from engagement.models import Alert
from tests.engagement.concurrency import in_threads
from tests.factories import (
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    ClientFactory,
    SuperuserFactory,
    UserFactory,
    two_tenants,
)

Status = Alert.Status


@pytest.fixture
def tenants():
    return two_tenants()


@pytest.fixture
def alert(tenants):
    return AlertFactory(client=tenants[0].client)


@pytest.fixture
def saves(monkeypatch):
    """The saves of alerts from here on, as lists of the fields they wrote."""
    seen: list[list[str]] = []
    save = Alert.save

    def noted(self, **kwargs):
        seen.append(list(kwargs["update_fields"]))
        save(self, **kwargs)

    monkeypatch.setattr(Alert, "save", noted)
    return seen


@pytest.mark.django_db
class TestRaising:
    def test_about_an_application(self):
        application = ApplicationFactory()
        alert = actions.raise_alert(
            application.client,
            severity="critical",
            details="Source code pasted",
            application=application,
            family="Data loss",
            subtype="Source code",
            users_affected=2,
            count=3,
            frameworks=["SOC 2"],
        )
        saved = Alert.objects.get()
        assert saved == alert
        assert (saved.severity, saved.status, saved.asset_kind) == (
            "critical",
            Status.UNASSIGNED,
            "application",
        )
        assert (saved.family, saved.subtype, saved.users_affected, saved.count) == (
            "Data loss",
            "Source code",
            2,
            3,
        )
        assert saved.frameworks == ["SOC 2"]

    def test_about_an_agent(self):
        agent = AgentFactory()
        assert (
            actions.raise_alert(agent.client, severity="low", details="", agent=agent).asset_kind == "agent"
        )

    def test_about_neither(self):
        assert (
            actions.raise_alert(ClientFactory(), severity="low", details="A policy is due").application
            is None
        )

    @pytest.mark.parametrize(
        ("values", "remedy"),
        [
            ({"severity": "awful"}, "low, medium, high, critical"),
            ({"users_affected": -1}, "greater than or equal to 0"),
            ({"count": 0}, "at least once"),
            ({"frameworks": "GDPR"}, "list of names"),
            ({"frameworks": [1]}, "list of names"),
        ],
    )
    def test_refuses_values_out_of_range(self, values, remedy):
        with pytest.raises(errors.InvalidValue, match=remedy):
            actions.raise_alert(ClientFactory(), **{"severity": "low", "details": "x"} | values)

    def test_refuses_two_subjects_and_foreign_ones(self):
        agent = AgentFactory()
        application = ApplicationFactory()
        with pytest.raises(errors.InvalidValue, match="not both"):
            actions.raise_alert(
                agent.client, severity="low", details="", agent=agent, application=application
            )
        with pytest.raises(errors.WrongTenant, match="its own client"):
            actions.raise_alert(agent.client, severity="low", details="", application=application)


@pytest.mark.django_db
class TestDeeds:
    def test_assigning_makes_it_pending_and_taking_away_unassigned(self, tenants, alert):
        by = tenants[0].msp_user
        pending = actions.assign_alert(alert, tenants[0].client_user, by)
        assert (pending.assignee, pending.status) == (tenants[0].client_user, Status.PENDING)
        unassigned = actions.assign_alert(alert, None, by)
        assert (unassigned.assignee, unassigned.status) == (None, Status.UNASSIGNED)
        assert Alert.objects.get().status == Status.UNASSIGNED

    def test_only_somebody_who_sees_the_client_can_be_assigned(self, tenants, alert):
        neighbour = UserFactory(role="client_user", client=tenants[0].clients[1])
        inactive = UserFactory(role="msp_user", msp=tenants[0].msp, is_active=False)
        for stranger in (tenants[1].msp_admin, neighbour, inactive):
            with pytest.raises(errors.NotAllowed, match="assign somebody who does"):
                actions.assign_alert(alert, stranger, tenants[0].msp_admin)
        assert Alert.objects.get().assignee is None

    def test_the_first_to_acknowledge_stays(self, tenants, alert):
        first = actions.acknowledge_alert(alert, tenants[0].client_user)
        second = actions.acknowledge_alert(alert, tenants[0].msp_admin)
        assert second.acknowledged_by == first.acknowledged_by == tenants[0].client_user
        assert second.acknowledged_at == first.acknowledged_at is not None

    @pytest.mark.parametrize("status", sorted(actions.alerts.RESOLVED))
    def test_resolving_and_reopening(self, tenants, alert, status):
        by = tenants[0].client_admin
        assert actions.resolve_alert(alert, by, status).status == status
        assert actions.reopen_alert(alert, by).status == Status.UNASSIGNED
        actions.assign_alert(alert, by, by)
        actions.resolve_alert(alert, by, status)
        assert actions.reopen_alert(alert, by).status == Status.PENDING

    def test_resolving_is_complete_unless_told_otherwise(self, tenants, alert):
        assert actions.resolve_alert(alert, tenants[0].msp_user).status == Status.COMPLETE

    def test_what_the_status_does_not_allow(self, tenants, alert):
        by = tenants[0].msp_admin
        actions.resolve_alert(alert, by)
        with pytest.raises(errors.InvalidTransition, match="reopen it before"):
            actions.assign_alert(alert, by, by)
        with pytest.raises(errors.InvalidTransition, match="reopen it before"):
            actions.resolve_alert(alert, by, Status.AI_RESOLVED)
        with pytest.raises(errors.InvalidValue, match="AI Resolved or Complete"):
            actions.resolve_alert(alert, by, Status.PENDING)

    def test_what_changes_nothing_writes_nothing(self, tenants, alert, saves):
        by = tenants[0].msp_admin
        actions.assign_alert(alert, by, by)
        actions.acknowledge_alert(alert, by)
        actions.resolve_alert(alert, by)
        assert len(saves) == 3
        actions.acknowledge_alert(alert, by)
        actions.resolve_alert(alert, by)
        assert len(saves) == 3
        actions.reopen_alert(alert, by)
        actions.reopen_alert(alert, by)
        actions.assign_alert(alert, by, by)
        assert len(saves) == 4

    def test_a_deed_writes_only_its_own_columns(self, tenants, alert):
        Alert.objects.filter(pk=alert.pk).update(details="Edited meanwhile")
        actions.acknowledge_alert(alert, tenants[0].msp_admin)
        assert Alert.objects.get().details == "Edited meanwhile"

    def test_nobody_touches_what_they_do_not_see(self, tenants, alert):
        strangers = [
            *tenants[1].users.values(),
            UserFactory(role="client_admin", client=tenants[0].clients[1]),
            UserFactory(role="msp_admin", msp=tenants[0].msp, is_active=False),
            UserFactory(role="", is_staff=True),
        ]
        for stranger in strangers:
            for deed in (actions.acknowledge_alert, actions.resolve_alert, actions.reopen_alert):
                with pytest.raises(errors.NotAllowed):
                    deed(alert, stranger)
            with pytest.raises(errors.NotAllowed):
                actions.assign_alert(alert, None, stranger)
        assert actions.acknowledge_alert(alert, SuperuserFactory()).acknowledged_at

    def test_an_alert_that_is_gone_reads_like_a_foreign_one(self, tenants, alert):
        with pytest.raises(errors.NotAllowed) as foreign:
            actions.resolve_alert(alert, tenants[1].msp_admin)
        Alert.objects.all().delete()
        with pytest.raises(errors.NotAllowed) as gone:
            actions.resolve_alert(alert, tenants[1].msp_admin)
        assert str(gone.value) == str(foreign.value)


@pytest.mark.django_db
class TestChanging:
    def test_status_and_assignee_in_one_write(self, tenants, alert, saves):
        by = tenants[0].msp_admin
        actions.resolve_alert(alert, by)
        changed = actions.change_alert(alert, by, status=Status.PENDING, assignee=tenants[0].client_user)
        assert (changed.status, changed.assignee) == (Status.PENDING, tenants[0].client_user)
        assert len(saves) == 2
        done = actions.change_alert(alert, by, status=Status.COMPLETE, assignee=by)
        assert (done.status, done.assignee) == (Status.COMPLETE, by)

    def test_unassigned_takes_the_assignee_away(self, tenants, alert):
        by = tenants[0].msp_admin
        actions.assign_alert(alert, by, by)
        assert actions.change_alert(alert, by, status=Status.UNASSIGNED).assignee is None

    def test_nothing_asked_changes_nothing(self, tenants, alert, saves):
        actions.change_alert(alert, tenants[0].msp_admin)
        assert saves == []

    def test_a_status_that_contradicts_the_assignee_is_refused_whole(self, tenants, alert):
        by = tenants[0].msp_admin
        actions.resolve_alert(alert, by)
        with pytest.raises(errors.InvalidTransition, match="name an assignee"):
            actions.change_alert(alert, by, status=Status.PENDING)
        with pytest.raises(errors.InvalidTransition, match="leave the assignee out"):
            actions.change_alert(alert, by, status=Status.UNASSIGNED, assignee=by)
        with pytest.raises(errors.InvalidValue, match="'Done' does not resolve"):
            actions.change_alert(alert, by, status="Done")
        assert Alert.objects.get().status == Status.COMPLETE


@pytest.mark.django_db(transaction=True)
def test_of_many_acknowledgers_at_once_all_are_told_of_the_same_one():
    tenant, _ = two_tenants()
    alert = AlertFactory(client=tenant.client)
    people = list(tenant.users.values())
    answers = [None] * len(people)

    def work(index):
        answers[index] = actions.acknowledge_alert(alert, people[index])

    assert in_threads(len(people), work) == []
    stored = Alert.objects.get()
    assert {(answer.acknowledged_by_id, answer.acknowledged_at) for answer in answers} == {
        (stored.acknowledged_by_id, stored.acknowledged_at)
    }
