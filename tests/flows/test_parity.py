"""Dashboard state without holes, after Zulip's `verify_action`: take a snapshot over REST, change something, apply the
events since to the old snapshot, and compare with a new one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from engagement import actions, figures
from engagement.errors import EngagementError
from engagement.models import Alert, Engagement, Interaction
from realtime import broadcast
from realtime.events import publisher, reading
from tests.factories import (
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    DepartmentFactory,
    EngagementFactory,
    InteractionFactory,
    UserFactory,
)
from tests.flows.reducer import comparable, reduce

pytestmark = pytest.mark.django_db(transaction=True)

EVENT_TYPES = {"alert", "engagement_update", "interaction_update"}


class World:
    """A client with something of everything, and a user who looks at it."""

    def __init__(self, tenant: Any) -> None:
        self.tenant = tenant
        self.client = tenant.client
        self.user = tenant.msp_user
        self.colleague = UserFactory(role="client_admin", client=self.client, username="ana")
        self.department = DepartmentFactory(client=self.client, name="Sales")
        self.app = tenant.application
        self.other_app = ApplicationFactory(client=self.client, name="Copilot", status="Unsanctioned")
        self.agent = AgentFactory(client=self.client, name="Helper", associated_apps=[self.app])
        yesterday = timezone.now() - timedelta(days=8)
        actions.record_interactions(
            self.client,
            [
                actions.Use(
                    application=self.app,
                    count=5,
                    department=self.department,
                    user_ref="u1",
                    occurred_at=yesterday,
                ),
                actions.Use(agent=self.agent, count=2, user_ref="u2"),
            ],
        )
        self.alert = AlertFactory(client=self.client, application=self.app, severity="high")
        self.agent_alert = AlertFactory(
            client=self.client, agent=self.agent, severity="low", created_at=yesterday
        )
        self.resolved = AlertFactory(client=self.client, status="Complete", severity="critical")
        assert publisher.flush(10)

    @property
    def stream(self) -> str:
        return f"client.{self.client.pk}"

    def snapshot(self) -> dict[str, Any]:
        """Take one through the front door; its position was read before its data."""
        http = APIClient()
        http.force_authenticate(self.user)
        dashboard = http.get(f"/api/v1/clients/{self.client.pk}/dashboard").json()
        alerts = http.get("/api/v1/alerts/", {"client": str(self.client.pk), "page_size": 200}).json()
        assert alerts["positions"].keys() & dashboard["positions"].keys()
        totals = figures.daily_totals({self.app.pk, self.other_app.pk}, {self.agent.pk})
        return {
            "dashboard": dashboard,
            "alerts": alerts["results"],
            "interactions_today": {str(key): total for key, total in totals.items()},
            "position": dashboard["positions"][self.stream],
            "epoch": dashboard["epoch"],
        }

    def fresh_alert(self) -> Alert:
        return Alert.objects.get(pk=self.alert.pk)


def abandoned(world: World) -> None:
    class Abandoned(Exception):
        pass

    try:
        with transaction.atomic():
            AlertFactory(client=world.client)
            actions.record_interactions(world.client, [actions.Use(application=world.app, count=9)])
            raise Abandoned
    except Abandoned:
        pass


def bulk_update_alerts(world: World) -> None:
    rows = list(Alert.objects.filter(client=world.client))
    for row in rows:
        row.details, row.severity = "changed in bulk", "medium"
    Alert.objects.bulk_update(rows, ["details", "severity"])


def bulk_update_interactions(world: World) -> None:
    rows = list(Interaction.objects.filter(client=world.client))
    for row in rows:
        row.count += 3
    Interaction.objects.bulk_update(rows, ["count"])


def bulk_update_engagements(world: World) -> None:
    rows = list(Engagement.objects.filter(client=world.client))
    for row in rows:
        row.interactions += 700
    Engagement.objects.bulk_update(rows, ["interactions"])


def saved_engagement(world: World) -> None:
    row = Engagement.objects.filter(agent=world.agent).get()
    row.flagged, row.interactions = 7, 40
    row.save()


def everything_at_once(world: World) -> None:
    with transaction.atomic():
        actions.assign_alert(world.alert, world.colleague, by=world.user)
        actions.record_interactions(world.client, uses(world))
        AlertFactory(client=world.client, agent=world.agent)
        world.resolved.delete()


def uses(world: World) -> list[actions.Use]:
    return [
        actions.Use(application=world.app, count=400, department=world.department, user_ref="u1"),
        actions.Use(application=world.app, count=3, user_ref="u3", flagged=True),
        actions.Use(application=world.other_app, count=1, department=world.department, user_ref="u4"),
        actions.Use(agent=world.agent, count=6, user_ref="u2"),
    ]


def rolled_up(world: World) -> None:
    """Interactions imported behind the action's back, then counted."""
    InteractionFactory(client=world.client, application=world.app, count=90, user_ref="imported")
    actions.roll_up(world.client, timezone.now().date())


Change = Callable[[World], object]
CHANGES: dict[str, Change] = {
    # alerts, by action
    "raise": lambda w: actions.raise_alert(
        w.client, severity="critical", details="Leaked", application=w.app, frameworks=["GDPR"]
    ),
    "raise about an agent": lambda w: actions.raise_alert(
        w.client, severity="low", details="Loops", agent=w.agent, users_affected=3
    ),
    "raise about nothing": lambda w: actions.raise_alert(w.client, severity="medium", details="Policy"),
    "assign": lambda w: actions.assign_alert(w.alert, w.colleague, by=w.user),
    "take the assignee away": lambda w: (
        actions.assign_alert(w.alert, w.colleague, by=w.user),
        actions.assign_alert(w.alert, None, by=w.user),
    ),
    "acknowledge": lambda w: actions.acknowledge_alert(w.alert, by=w.user),
    "resolve": lambda w: actions.resolve_alert(w.alert, by=w.user),
    "resolve by AI": lambda w: actions.resolve_alert(w.agent_alert, by=w.user, status="AI Resolved"),
    "reopen": lambda w: actions.reopen_alert(w.resolved, by=w.user),
    "change": lambda w: actions.change_alert(w.resolved, by=w.user, status="Pending", assignee=w.colleague),
    # alerts, by model
    "save an alert": lambda w: AlertFactory(
        client=w.client, application=w.other_app, created_at=timezone.now() - timedelta(days=1)
    ),
    "delete an alert": lambda w: w.alert.delete(),
    "create alerts in bulk": lambda w: Alert.objects.bulk_create(
        Alert(client=w.client, details=str(n)) for n in range(4)
    ),
    "update alerts in bulk": bulk_update_alerts,
    "update alerts by query": lambda w: Alert.objects.filter(client=w.client).update(status="Complete"),
    "delete alerts by query": lambda w: Alert.objects.filter(client=w.client, severity="high").delete(),
    "broadcast an alert": lambda w: broadcast.broadcast_alert(
        w.client.pk, w.client.msp_id, {"severity": "high", "details": "d", "app": "x"}
    ),
    # interactions
    "record uses": lambda w: actions.record_interactions(w.client, uses(w)),
    "save an interaction": lambda w: InteractionFactory(client=w.client, application=w.app, count=4),
    "save an agent's interaction": lambda w: InteractionFactory(client=w.client, agent=w.agent, count=4),
    "delete an interaction": lambda w: (
        Interaction.objects.filter(client=w.client, agent=w.agent).first().delete()
    ),  # type: ignore[union-attr]
    "create interactions in bulk": lambda w: Interaction.objects.bulk_create(
        Interaction(client=w.client, application=app, count=2)
        for app in (w.app, w.other_app)
        for _ in range(3)
    ),
    "update interactions in bulk": bulk_update_interactions,
    "update interactions by query": lambda w: Interaction.objects.filter(client=w.client).update(count=50),
    "an interaction changes its subject": lambda w: Interaction.objects.filter(
        client=w.client, agent=w.agent
    ).update(agent=None, application=w.other_app),
    "delete interactions by query": lambda w: Interaction.objects.filter(client=w.client).delete(),
    # roll-ups
    "save a roll-up": saved_engagement,
    "a new roll-up": lambda w: EngagementFactory(
        client=w.client, application=w.other_app, interactions=12, active_users=2
    ),
    "delete a roll-up": lambda w: Engagement.objects.filter(agent=w.agent).get().delete(),
    "create roll-ups in bulk": lambda w: Engagement.objects.bulk_create(
        [Engagement(client=w.client, application=w.other_app, day=timezone.now().date(), interactions=90)]
    ),
    "update roll-ups in bulk": bulk_update_engagements,
    "update roll-ups by query": lambda w: Engagement.objects.filter(client=w.client).update(interactions=1),
    "delete roll-ups by query": lambda w: Engagement.objects.filter(client=w.client).delete(),
    "roll up": rolled_up,
    # together
    "everything in one transaction": everything_at_once,
    "what is rolled back": abandoned,
}


async def events_since(
    tenant: Any, server: Any, world: World, before: dict[str, Any]
) -> list[dict[str, Any]]:
    """Go live from a snapshot, as a page does, and return what that brings, up to the stream's head."""

    def head() -> int:
        assert publisher.flush(10)
        return reading.head(world.stream)

    end = await sync_to_async(head)()
    cursor = f"positions={world.stream}:{before['position']}&epoch={before['epoch']}"
    path = f"/api/v1/ws/client/{world.client.pk}/engagement?{cursor}"
    async with tenant.socket(server, path=path) as socket:
        answer = await socket.receive()
        assert (answer["type"], answer["count"]) == ("resumed", end - before["position"])
        return await socket.events(end - before["position"])


@pytest.mark.parametrize("change", CHANGES)
async def test_the_events_since_a_snapshot_make_the_next_one(tenant, daphne, change):
    world = await sync_to_async(World)(tenant)
    before = await sync_to_async(world.snapshot)()
    await sync_to_async(CHANGES[change])(world)
    events = await events_since(tenant, daphne, world, before)
    after = await sync_to_async(world.snapshot)()
    assert comparable(reduce(before, events)) == comparable(after)
    silent = change in {"what is rolled back", "broadcast an alert"}
    assert (comparable(before) == comparable(after)) == silent, (
        "the change changes nothing: it proves nothing"
    )
    assert bool(events) == (change != "what is rolled back")


async def test_every_event_type_is_among_them(tenant, daphne):
    world = await sync_to_async(World)(tenant)
    before = await sync_to_async(world.snapshot)()
    await sync_to_async(everything_at_once)(world)
    events = await events_since(tenant, daphne, world, before)
    assert {event["type"] for event in events} == EVENT_TYPES


async def test_an_old_event_applied_again_changes_nothing_that_a_later_one_does_not_mend(tenant, daphne):
    """A snapshot's position is read before its data, so events may tell of what it holds already."""
    world = await sync_to_async(World)(tenant)
    before = await sync_to_async(world.snapshot)()
    await sync_to_async(everything_at_once)(world)
    later = await sync_to_async(world.snapshot)()
    later["position"] = before["position"]
    await sync_to_async(rolled_up)(world)
    events = await events_since(tenant, daphne, world, later)
    after = await sync_to_async(world.snapshot)()
    assert comparable(reduce(later, events)) == comparable(after)


@pytest.mark.slow
async def test_the_same_holds_while_messages_are_lost(tenant, lossy):
    """One socket lives through all changes, over a layer that loses and doubles."""
    world = await sync_to_async(World)(tenant)
    path = f"/api/v1/ws/client/{world.client.pk}/engagement"
    async with tenant.socket(lossy, path=path) as socket:
        before = await sync_to_async(world.snapshot)()
        assert before["position"] == socket.hello["positions"][world.stream]
        done = 0
        for change in CHANGES.values():
            try:
                await sync_to_async(change)(world)
            except (ObjectDoesNotExist, IntegrityError, AttributeError, ValueError, EngagementError):
                continue  # an earlier change took away what this one needs
            done += 1
        assert done > len(CHANGES) * 2 / 3

        def head() -> int:
            assert publisher.flush(10)
            return reading.head(world.stream)

        end = await sync_to_async(head)()
        events = await socket.events(end - before["position"], timeout=20)
        state = reduce(before, events)
    after = await sync_to_async(world.snapshot)()
    assert comparable(state) == comparable(after)
    assert len(events) > 40
