"""Values beyond what a row may hold: refused by every door and by the database, and cut where a row has one already."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import Client as Browser

from engagement import actions, bounds
from engagement.errors import InvalidValue
from engagement.models import Alert, Application, Client, Engagement, OriginalDetails
from engagement.payloads import payload_of
from tests.factories import AlertFactory, ApplicationFactory, ClientFactory, DepartmentFactory, UserFactory
from tests.sockets import token_for

pytestmark = pytest.mark.django_db

LONG = "x" * (bounds.MAX_DETAILS + 1)


class TestRaisingAnAlert:
    @pytest.mark.parametrize(
        "values",
        [
            {"details": LONG},
            {"details": "a\0b"},
            {"details": None},
            {"family": "x" * 101},
            {"subtype": "x\0"},
            {"severity": "High"},
            {"users_affected": 2**31},
            {"users_affected": -1},
            {"users_affected": "many"},
            {"count": 2**63},
            {"count": 0},
            {"count": 1e30},
            {"count": float("nan")},
            {"frameworks": ["x"] * 51},
            {"frameworks": ["x" * 101]},
            {"frameworks": ["\0"]},
            {"frameworks": [1]},
            {"frameworks": "GDPR"},
        ],
    )
    def test_what_a_column_cannot_hold_is_refused(self, values):
        given = {"severity": "low", "details": "fine"} | values
        with pytest.raises(InvalidValue):
            actions.raise_alert(ClientFactory(), **given)
        assert not Alert.objects.exists()

    def test_the_largest_values_are_taken(self):
        alert = actions.raise_alert(
            ClientFactory(), severity="low", details=LONG[:-1], count=2**31 - 1, frameworks=["x" * 100] * 50
        )
        assert payload_of(Alert.objects.get(pk=alert.pk))["details"] == LONG[:-1]

    def test_the_command_says_so_in_a_line(self):
        client = ClientFactory()
        with pytest.raises(CommandError, match="at most 10000 characters"):
            call_command("emit_event", "alert", client=str(client.pk), details=LONG)


@pytest.mark.parametrize(
    "values",
    [
        {"count": 1_000_001},
        {"user_ref": "x" * 201},
        {"user_ref": "\0"},
        {"occurred_at": datetime(2026, 1, 1)},
        {"occurred_at": datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))},
    ],
)
def test_an_interaction_that_cannot_be_is_refused(values):
    application = ApplicationFactory()
    for record in (actions.record_interactions, actions.import_interactions):
        with pytest.raises(InvalidValue):
            record(application.client, [actions.Use(application=application, **values)])


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Alert, {"severity": "High"}),
        (Alert, {"severity": ""}),
        (Alert, {"status": "pending"}),
        (Alert, {"asset_kind": "server"}),
        (Alert, {"details": LONG}),
        (Application, {"status": "permitted"}),
        (Client, {"status": "gone"}),
        (Client, {"subscription_tier": "gold"}),
    ],
)
def test_the_database_refuses_what_no_door_was_asked_for(model, values):
    factory = {Alert: AlertFactory, Application: ApplicationFactory, Client: ClientFactory}[model]
    row = factory()
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.filter(pk=row.pk).update(**values)
    with pytest.raises(IntegrityError), transaction.atomic():
        factory(**values)


def test_the_choices_of_the_database_are_those_of_the_forms():
    for model, field in (
        (Alert, "severity"),
        (Alert, "status"),
        (Alert, "asset_kind"),
        (Application, "status"),
        (Client, "status"),
        (Client, "subscription_tier"),
    ):
        allowed = [
            dict(constraint.condition.children)[f"{field}__in"]
            for constraint in model._meta.constraints
            if f"{field}__in" in dict(getattr(getattr(constraint, "condition", None), "children", ()))
        ]
        assert allowed == [tuple(value for value, _ in model._meta.get_field(field).choices)]


def test_a_day_takes_any_number_of_uses():
    """2,147 interactions of a million uses each filled the column; every later post of the department was HTTP 500."""
    department = DepartmentFactory()
    application = ApplicationFactory(client=department.client)
    use = actions.Use(application=application, department=department, count=1_000_000, flagged=True)
    actions.import_interactions(department.client, [use] * 2_200)
    user = UserFactory(role="client_user", client=department.client)
    api = Browser(headers={"Authorization": f"Bearer {token_for(user)}"})
    answer = api.post(
        f"/api/v1/clients/{department.client_id}/applications/{application.pk}/interactions",
        json.dumps({"interaction_count": 1_000_000, "department_id": str(department.pk)}),
        content_type="application/json",
    )
    assert answer.status_code == 201
    assert answer.json()["total_daily_interactions"] == 2_201_000_000
    assert Engagement.objects.get(department=department).flagged == 2_200_000_000
    dashboard = api.get(f"/api/v1/clients/{department.client_id}/dashboard").json()
    assert dashboard["totals"]["interactions_today"] == 2_201_000_000


@pytest.mark.parametrize("frameworks", [None, {"a": 1}, "GDPR", 5, ["x" * 500] * 500, [1, None]])
def test_what_leaves_the_portal_is_bounded_whatever_a_row_holds(frameworks):
    alert = AlertFactory.build(details=LONG * 10, frameworks=frameworks)
    payload = payload_of(alert)
    assert len(payload["details"]) == bounds.MAX_DETAILS
    assert all(isinstance(name, str) and len(name) <= 100 for name in payload["frameworks"])
    assert len(payload["frameworks"]) <= 50


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_rows_from_before_the_bounds_keep_their_text_and_get_the_choice_they_meant():
    def migrate(name):
        executor = MigrationExecutor(connection)
        executor.migrate([("engagement", name)])
        return executor.loader.project_state([("engagement", name)]).apps

    alert = AlertFactory(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    other = AlertFactory(client=alert.client)
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes("engagement")[0][1]
    try:
        old = migrate("0003_leaner_interactions").get_model("engagement", "Alert").objects
        old.filter(pk=alert.pk).update(severity="HIGH ", status="ai-resolved", details=LONG * 3)
        old.filter(pk=other.pk).update(severity="awful", status="")
        migrate("0005_bounds")
    finally:
        migrate(latest)
    alert.refresh_from_db()
    other.refresh_from_db()
    assert (alert.severity, alert.status) == ("high", "AI Resolved")
    assert (other.severity, other.status) == ("medium", "Unassigned")
    assert len(alert.details) == bounds.MAX_DETAILS
    assert OriginalDetails.objects.get(alert=alert).text == LONG * 3
    assert not OriginalDetails.objects.filter(alert=other).exists()
