"""Every way Django writes a row, as a table: `WAYS[name](world)`, by what it does to which tracked model."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from django.core import serializers
from django.db import models, transaction
from django.db.models import Case, Count, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Concat, Now
from django.utils import timezone as django_timezone
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe

from engagement import actions
from engagement.models import (
    MSP,
    Agent,
    Alert,
    Application,
    Client,
    Department,
    Engagement,
    Interaction,
    User,
)
from tests.factories import (
    AgentFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    MSPFactory,
    UserFactory,
)


class World:
    """Two clients of one MSP and one of another, each with the same things; rows of every tracked model."""

    def __init__(self) -> None:
        self.msp, self.other_msp = MSPFactory(), MSPFactory()
        self.client, self.second = ClientFactory(msp=self.msp), ClientFactory(msp=self.msp)
        self.foreign = ClientFactory(msp=self.other_msp)
        self.app, self.app2 = (ApplicationFactory(client=self.client) for _ in range(2))
        self.agent = AgentFactory(client=self.client)
        self.second_app = ApplicationFactory(client=self.second)
        self.foreign_app = ApplicationFactory(client=self.foreign)
        self.department = DepartmentFactory(client=self.client)
        self.user = UserFactory(role="msp_admin", msp=self.msp)
        self.colleague = UserFactory(role="client_user", client=self.client)
        self.alert = self.new_alert(application=self.app, assignee=self.user, details="first")
        self.alert2 = self.new_alert(agent=self.agent, acknowledged_by=self.user, severity="low")
        self.foreign_alert = Alert.objects.create(client=self.foreign, application=self.foreign_app)
        self.use = self.new_use(count=5)
        self.use2 = self.new_use(application=None, agent=self.agent, count=7, flagged=True)
        self.use3 = self.new_use(count=2, department=self.department)
        Interaction.objects.create(client=self.foreign, application=self.foreign_app, count=11)
        self.rollup = self.new_rollup(application=self.app, interactions=5)
        self.rollup2 = self.new_rollup(agent=self.agent, interactions=7)

    def new_alert(self, **values: Any) -> Alert:
        return Alert.objects.create(**{"client": self.client, "severity": "high", **values})

    def new_use(self, **values: Any) -> Interaction:
        return Interaction.objects.create(**{"client": self.client, "application": self.app, **values})

    def new_rollup(self, **values: Any) -> Engagement:
        day = values.pop("day", django_timezone.now().date())
        return Engagement.objects.create(**{"client": self.client, "day": day, **values})

    def a_use(self, **values: Any) -> Interaction:
        return Interaction(**{"client": self.client, "application": self.app, **values})

    def an_alert(self, **values: Any) -> Alert:
        return Alert(**{"client": self.client, "application": self.app, **values})


class ProxyAlert(Alert):
    class Meta:
        proxy = True
        app_label = "engagement"


class ProxyUse(Interaction):
    class Meta:
        proxy = True
        app_label = "engagement"


Way = Callable[[World], object]
WAYS: dict[str, Way] = {}


def way(function: Way) -> Way:
    """Add a way to the table, by its name."""
    WAYS[function.__name__.replace("_", " ")] = function
    return function


def changed(row: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(row, name, value)
    return row


class Undone(Exception):
    pass


def undo(work: Callable[[], object]) -> None:
    try:
        with transaction.atomic():
            work()
            raise Undone
    except Undone:
        pass


# Alerts: partial instances, and values that an instance remembers


@way
def alert_only_status_saved(w: World) -> None:
    changed(Alert.objects.only("status").get(pk=w.alert.pk), status="Complete").save()


@way
def alert_deferred_details_saved(w: World) -> None:
    changed(Alert.objects.defer("details").get(pk=w.alert.pk), severity="critical").save()


@way
def alert_saved_in_part_with_other_values_in_memory(w: World) -> None:
    changed(w.alert, status="Complete", severity="low", details="never stored").save(update_fields=["status"])


@way
def alert_saved_from_a_stale_instance(w: World) -> None:
    Alert.objects.filter(pk=w.alert.pk).update(acknowledged_at=Now(), acknowledged_by=w.colleague)
    changed(w.alert, details="newer").save(update_fields=["details"])


@way
def alert_saved_after_refresh(w: World) -> None:
    w.alert.details = "forgotten"
    w.alert.refresh_from_db()
    changed(w.alert, family="Usage").save()


@way
def alert_saved_after_a_try_that_was_rolled_back(w: World) -> None:
    undo(lambda: changed(w.alert, client=w.second, details="undone").save())
    w.alert.save()


@way
def alert_of_lazy_and_safe_text(w: World) -> None:
    w.new_alert(details=lazystr("lazy"), family=mark_safe("<b>safe</b>"), severity=Alert.Severity.LOW)


@way
def alert_of_typed_values(w: World) -> None:
    Alert.objects.create(
        id=str(uuid.uuid4()).upper(),
        client_id=str(w.client.pk).upper(),
        application_id=w.app.pk.hex,
        count="5",
        users_affected="7",
        acknowledged_at=datetime.now(timezone(timedelta(hours=5, minutes=30))),
        created_at="2026-03-01T12:00:00-05:00",
        details=12,
        frameworks=("GDPR", "SOC 2"),
    )


@way
def alert_of_expressions(w: World) -> None:
    w.new_alert(created_at=Now(), details=Concat(Value("a"), Value("b")), count=Value(3) + Value(4))


@way
def alert_severity_that_is_no_choice(w: World) -> None:
    models.QuerySet(Alert).filter(pk=w.alert.pk).update(details="x")
    changed(w.alert, family="odd").save()


@way
def alert_updated_by_an_expression(w: World) -> None:
    Alert.objects.filter(pk=w.alert.pk).update(
        count=F("count") + 41, details=Concat(F("details"), Value("!"))
    )


@way
def alert_saved_with_an_expression(w: World) -> None:
    changed(w.alert, count=F("count") * 10).save()


@way
def alert_saved_under_its_key(w: World) -> None:
    row = Alert(id=str(w.alert.pk).upper(), client=w.client, details="all else by default")
    row._state.adding = False
    row.save()
    Alert(id=uuid.uuid4(), client=w.client).save()


@way
def alert_inserted_by_force(w: World) -> None:
    Alert(id=uuid.uuid4(), client=w.client).save(force_insert=True)


@way
def alert_updated_by_force(w: World) -> None:
    changed(w.alert, severity="medium").save(force_update=True)


@way
def alert_moved_to_another_client(w: World) -> None:
    changed(w.alert, client=w.foreign, application=w.foreign_app, details="theirs").save()


@way
def alert_moved_by_its_new_client(w: World) -> None:
    w.foreign.alerts.add(w.alert, w.alert2)


@way
def alerts_of_a_client_set(w: World) -> None:
    w.second.alerts.set([w.alert2])


@way
def alert_moved_there_and_back_in_one_transaction(w: World) -> None:
    with transaction.atomic():
        changed(w.alert, client=w.foreign, details="secret of the other").save()
        changed(w.alert, client=w.client, details="back").save()


@way
def alert_moved_and_deleted_in_one_transaction(w: World) -> None:
    with transaction.atomic():
        changed(w.alert, client=w.second).save()
        w.alert.delete()


@way
def alert_created_and_deleted_in_one_transaction(w: World) -> None:
    with transaction.atomic():
        w.new_alert().delete()
        w.alert.save()


@way
def alert_deleted_and_created_anew(w: World) -> None:
    key = w.alert.pk
    with transaction.atomic():
        w.alert.delete()
        Alert.objects.create(id=key, client=w.second, details="again")


@way
def alert_created_by_its_client(w: World) -> None:
    w.client.alerts.create(details="by the manager")


@way
def alert_got_or_created(w: World) -> None:
    Alert.objects.get_or_create(details="first", client=w.client)
    Alert.objects.get_or_create(details="another", client=w.client, defaults={"severity": "critical"})


@way
def alert_updated_or_created(w: World) -> None:
    Alert.objects.update_or_create(pk=w.alert.pk, defaults={"status": "Complete"})
    Alert.objects.update_or_create(pk=uuid.uuid4(), defaults={"status": "Complete", "client": w.client})
    w.client.alerts.update_or_create(details="third", defaults={"severity": "low"})


@way
def alert_assignees_cleared(w: World) -> None:
    w.user.assigned_alerts.clear()


@way
def alert_assignee_removed(w: World) -> None:
    w.user.assigned_alerts.remove(w.alert)


@way
def alerts_created_in_bulk(w: World) -> None:
    Alert.objects.bulk_create(
        [w.an_alert(details=f"bulk {number}", count=str(number)) for number in range(4)]
    )


@way
def alerts_created_in_bulk_but_those_in_conflict(w: World) -> None:
    Alert.objects.bulk_create(
        [w.an_alert(id=w.alert.pk, details="never inserted"), w.an_alert(details="inserted")],
        ignore_conflicts=True,
    )


@way
def alert_created_in_bulk_in_conflict(w: World) -> None:
    Alert.objects.bulk_create([w.an_alert(id=w.alert.pk, details="never")], ignore_conflicts=True)
    Alert.objects.bulk_create([w.an_alert(details="inserted alone")], ignore_conflicts=True)


@way
def alerts_upserted(w: World) -> None:
    Alert.objects.bulk_create(
        [w.an_alert(id=w.alert.pk, details="kept", severity="low"), w.an_alert(severity="low")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["severity"],
    )


@way
def alerts_upserted_with_their_client(w: World) -> None:
    rows = [
        Alert(id=w.alert.pk, client=w.second),
        Alert(client=w.second),
        Alert(id=w.alert2.pk, client=w.client),
    ]
    Alert.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["pk"], update_fields=["client", "application", "agent"]
    )


@way
def alerts_updated_in_bulk(w: World) -> None:
    rows = [changed(w.alert, details="memory", severity="low"), changed(w.alert2, severity=Value("critical"))]
    Alert.objects.bulk_update(rows, ["severity"])


@way
def alerts_moved_in_bulk(w: World) -> None:
    Alert.objects.bulk_update([changed(w.alert, client=w.second)], ["client"])


@way
def alert_given_another_key(w: World) -> None:
    Alert.objects.filter(pk=w.alert.pk).update(id=str(uuid.uuid4()).upper())
    Alert.objects.filter(pk=w.alert2.pk).update(id=uuid.uuid4(), client=w.second, agent=None)


@way
def alerts_updated_by_their_values(w: World) -> None:
    Alert.objects.filter(client=w.client).values("id").update(status="Complete")


@way
def alerts_updated_by_a_join(w: World) -> None:
    Alert.objects.filter(client__msp=w.msp, application__name=w.app.name).update(family="joined")


@way
def alerts_updated_by_an_annotation(w: World) -> None:
    users = Alert.objects.annotate(assigned=Count("assignee__assigned_alerts"))
    users.filter(assigned__gt=0).update(details="assigned")


@way
def alerts_updated_with_an_annotation(w: World) -> None:
    Alert.objects.annotate(more=F("count") + 8).filter(client=w.client).update(count=F("more"))


@way
def alerts_updated_through_a_partial_query(w: World) -> None:
    Alert.objects.only("status").select_related("application").filter(client=w.client).update(
        status="Complete"
    )


@way
def alerts_updated_by_order_and_distinct(w: World) -> None:
    Alert.objects.order_by("-created_at").distinct().update(subtype="ordered")


@way
def alerts_updated_by_exclusion(w: World) -> None:
    Alert.objects.exclude(Q(assignee=None) | Q(client=w.foreign)).update(severity="critical")


@way
def alerts_updated_by_their_new_value(w: World) -> None:
    """The filter no longer holds once the update is made."""
    Alert.objects.filter(severity="high").update(severity="low")


@way
def alerts_updated_by_a_subquery(w: World) -> None:
    name = Application.objects.filter(pk=OuterRef("application")).values("vendor")[:1]
    Alert.objects.filter(application__isnull=False).update(details=Subquery(name))


@way
def alerts_updated_by_cases(w: World) -> None:
    Alert.objects.update(severity=Case(When(pk=w.alert.pk, then=Value("low")), default=Value("critical")))


@way
def no_alert_updated(w: World) -> None:
    Alert.objects.filter(details="nobody").update(status="Complete")
    Alert.objects.none().update(status="Complete")
    Alert.objects.none().delete()
    w.alert.save()


@way
def alert_saved_by_a_proxy(w: World) -> None:
    changed(ProxyAlert.objects.get(pk=w.alert.pk), severity="critical").save()
    ProxyAlert.objects.create(client=w.client, details="by a proxy")
    ProxyAlert.objects.filter(pk=w.alert2.pk).update(client=w.second)


@way
def alert_deleted_by_a_proxy(w: World) -> None:
    ProxyAlert.objects.get(pk=w.alert.pk).delete()
    ProxyAlert.objects.filter(pk=w.alert2.pk).delete()


@way
def alert_written_asynchronously(w: World) -> None:
    async def write() -> None:
        await changed(w.alert, details="async").asave()
        await Alert.objects.acreate(client=w.client)
        await Alert.objects.filter(pk=w.alert2.pk).aupdate(severity="critical")
        await Alert.objects.abulk_create([w.an_alert()])
        await w.alert.adelete()

    asyncio.run(write())


@way
def alert_deleted_with_other_values_in_memory(w: World) -> None:
    changed(w.alert, details="never stored", client=w.foreign, severity="low").delete()


@way
def alert_deleted_from_a_partial_instance(w: World) -> None:
    Alert.objects.only("id").get(pk=w.alert.pk).delete()


@way
def alerts_deleted_by_a_query(w: World) -> None:
    Alert.objects.only("id").filter(client__msp=w.msp).delete()


@way
def alert_deleted_by_a_plain_queryset(w: World) -> None:
    models.QuerySet(Alert).filter(pk=w.alert.pk).delete()


@way
def alert_of_a_fixture(w: World) -> None:
    new = w.an_alert(details="new in it", updated_at=w.use.occurred_at)
    text = serializers.serialize("json", [changed(w.alert, details="loaded"), new])
    for row in serializers.deserialize("json", text):
        row.save()


@way
def alert_by_the_actions(w: World) -> None:
    actions.acknowledge_alert(w.alert, by=w.user)
    actions.change_alert(w.alert, by=w.user, status="Complete")
    actions.raise_alert(w.client, severity="low", details="raised", agent=w.agent)


# What goes, or is cleared, with what it belongs to


@way
def user_deleted(w: World) -> None:
    w.user.delete()


@way
def users_deleted_by_a_query(w: World) -> None:
    User.objects.filter(msp=w.msp).delete()


@way
def user_deleted_by_a_plain_queryset(w: World) -> None:
    models.QuerySet(User).filter(pk=w.user.pk).delete()


@way
def application_deleted(w: World) -> None:
    w.app.delete()


@way
def applications_deleted_by_a_query(w: World) -> None:
    Application.objects.filter(client=w.client).delete()


@way
def application_deleted_by_a_plain_queryset(w: World) -> None:
    models.QuerySet(Application).filter(pk=w.app.pk).delete()


@way
def agent_deleted(w: World) -> None:
    w.agent.delete()


@way
def agents_deleted_by_a_query(w: World) -> None:
    Agent.objects.all().delete()


@way
def department_deleted(w: World) -> None:
    w.new_rollup(department=w.department)
    w.department.delete()


@way
def departments_deleted_by_a_query(w: World) -> None:
    w.new_rollup(department=w.department)
    Department.objects.filter(client=w.client).delete()


@way
def client_deleted(w: World) -> None:
    w.client.delete()


@way
def clients_deleted_by_a_query(w: World) -> None:
    Client.objects.filter(msp=w.msp).delete()


@way
def client_deleted_by_a_plain_queryset(w: World) -> None:
    models.QuerySet(Client).filter(pk=w.client.pk).delete()


@way
def msp_deleted(w: World) -> None:
    w.msp.delete()


@way
def msps_deleted_by_a_query(w: World) -> None:
    MSP.objects.filter(pk=w.msp.pk).delete()


# Interactions


@way
def use_of_typed_values(w: World) -> None:
    w.new_use(count="5", flagged="True", occurred_at=datetime.now(timezone(timedelta(hours=-9))))
    Interaction.objects.create(client_id=str(w.client.pk).upper(), application_id=w.app.pk.hex, count=True)
    w.new_use(occurred_at=django_timezone.now().isoformat())


@way
def use_of_expressions(w: World) -> None:
    w.new_use(count=Value(3) + Value(4), occurred_at=Now())


@way
def use_only_count_saved(w: World) -> None:
    changed(Interaction.objects.only("count").get(pk=w.use.pk), count=50).save()


@way
def use_saved_with_an_expression(w: World) -> None:
    changed(w.use, count=F("count") + 10).save()
    w.use.save()


@way
def use_saved_after_refresh(w: World) -> None:
    Interaction.objects.filter(pk=w.use.pk).update(count=9)
    w.use.refresh_from_db()
    changed(w.use, count=14).save()


@way
def use_saved_after_a_try_that_was_rolled_back(w: World) -> None:
    undo(lambda: changed(w.use, count=12).save())
    w.use.save()


@way
def use_saved_after_a_savepoint_that_was_rolled_back(w: World) -> None:
    with transaction.atomic():
        changed(w.use, count=6).save()
        undo(lambda: changed(w.use, count=600).save())
        changed(w.use, count=8).save()


@way
def use_saved_in_part_with_other_values_in_memory(w: World) -> None:
    changed(w.use, count=49, user_ref="ana").save(update_fields=["user_ref"])
    changed(w.use, count=48, flagged=True).save(update_fields=["flagged"])


@way
def use_saved_from_a_stale_instance(w: World) -> None:
    Interaction.objects.filter(pk=w.use.pk).update(count=100)
    changed(w.use, flagged=True).save()


@way
def use_saved_under_its_key(w: World) -> None:
    row = Interaction(id=w.use.pk.hex, client=w.client, application=w.app2, count="3")
    row._state.adding = False
    row.save()
    Interaction(id=uuid.uuid4(), client=w.client, application=w.app2, count=4).save(force_insert=True)


@way
def use_of_another_subject_day_and_client(w: World) -> None:
    changed(w.use, application=w.app2).save()
    changed(w.use3, occurred_at=w.use3.occurred_at - timedelta(days=1)).save()
    changed(w.use2, client=w.second, agent=None, application=w.second_app).save()


@way
def use_created_by_its_client(w: World) -> None:
    w.client.interactions.create(application=w.app, count=3)
    w.app2.interactions.add(w.use)


@way
def use_got_or_created(w: World) -> None:
    Interaction.objects.get_or_create(pk=w.use.pk, defaults={"count": 1000})
    Interaction.objects.update_or_create(pk=w.use.pk, defaults={"count": "12"})


@way
def uses_created_in_bulk(w: World) -> None:
    Interaction.objects.bulk_create([w.a_use(count=str(number + 1)) for number in range(5)])


@way
def uses_created_in_bulk_but_those_in_conflict(w: World) -> None:
    Interaction.objects.bulk_create([w.a_use(id=w.use.pk, count=1), w.a_use(count=2)], ignore_conflicts=True)
    Interaction.objects.bulk_create([w.a_use(id=w.use.pk, count=1)], ignore_conflicts=True)


@way
def uses_upserted(w: World) -> None:
    Interaction.objects.bulk_create(
        [w.a_use(id=w.use.pk, count=30), w.a_use(count=2), w.a_use(id=w.use2.pk, count=1, flagged=True)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["count"],
    )


@way
def uses_upserted_without_a_count(w: World) -> None:
    Interaction.objects.bulk_create(
        [w.a_use(id=w.use.pk, count=30, user_ref="ana"), w.a_use(count=2)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["user_ref"],
    )


@way
def uses_updated_in_bulk(w: World) -> None:
    rows = [changed(w.use, count="31", flagged=True), changed(w.use2, count=F("count") + 1)]
    Interaction.objects.bulk_update(rows, ["count"], batch_size=1)


@way
def uses_updated_by_a_query(w: World) -> None:
    Interaction.objects.filter(client=w.client).update(count=F("count") * 3)
    Interaction.objects.filter(count__gt=3).values("pk").update(count=1)


@way
def uses_of_another_subject_by_a_query(w: World) -> None:
    Interaction.objects.filter(agent=w.agent).update(agent=None, application=w.app2)


@way
def use_given_another_key(w: World) -> None:
    Interaction.objects.filter(pk=w.use.pk).update(id=uuid.uuid4(), count=77)
    Interaction.objects.filter(pk=w.use2.pk).update(id=F("id"), count=3)


@way
def uses_updated_by_a_join(w: World) -> None:
    Interaction.objects.filter(application__client__msp=w.msp).update(flagged=True)


@way
def uses_saved_by_a_proxy(w: World) -> None:
    ProxyUse.objects.create(client=w.client, application=w.app, count=6)
    changed(ProxyUse.objects.get(pk=w.use.pk), count=1).save()
    ProxyUse.objects.filter(pk=w.use2.pk).update(count=2)
    ProxyUse.objects.get(pk=w.use3.pk).delete()


@way
def use_deleted_with_other_values_in_memory(w: World) -> None:
    changed(w.use, count=500, application=w.app2).delete()


@way
def use_deleted_from_a_partial_instance(w: World) -> None:
    Interaction.objects.only("id").get(pk=w.use.pk).delete()


@way
def uses_deleted_by_a_query(w: World) -> None:
    Interaction.objects.only("id").filter(application__client=w.client).delete()


@way
def use_deleted_by_a_plain_queryset(w: World) -> None:
    models.QuerySet(Interaction).filter(pk=w.use.pk).delete()


@way
def uses_by_the_actions(w: World) -> None:
    uses = [actions.Use(application=w.app, count=4, user_ref="ana"), actions.Use(agent=w.agent, flagged=True)]
    actions.record_interactions(w.client, uses)
    actions.import_interactions(w.client, uses)


@way
def use_of_a_fixture(w: World) -> None:
    text = serializers.serialize("json", [changed(w.use, count=77), w.a_use(count=3)])
    for row in serializers.deserialize("json", text):
        row.save()


@way
def use_written_asynchronously(w: World) -> None:
    async def write() -> None:
        await changed(w.use, count=40).asave()
        await Interaction.objects.acreate(client=w.client, application=w.app, count="3")
        await Interaction.objects.filter(pk=w.use2.pk).aupdate(count=1)
        await Interaction.objects.filter(pk=w.use3.pk).adelete()

    asyncio.run(write())


# Roll-ups


@way
def rollup_saved(w: World) -> None:
    changed(w.rollup, interactions="70").save()
    changed(Engagement.objects.only("flagged").get(pk=w.rollup2.pk), flagged=3).save()


@way
def rollup_saved_in_part(w: World) -> None:
    changed(w.rollup, interactions=700, flagged=9).save(update_fields=["flagged"])


@way
def rollup_of_another_subject(w: World) -> None:
    changed(w.rollup, application=w.app2).save()
    Engagement.objects.filter(pk=w.rollup2.pk).update(agent=None, department=w.department)


@way
def rollups_created_in_bulk(w: World) -> None:
    Engagement.objects.bulk_create(
        [Engagement(client=w.client, application=w.app2, day=django_timezone.now().date(), interactions="8")]
    )


@way
def rollups_created_in_bulk_but_those_in_conflict(w: World) -> None:
    day = w.rollup.day
    rows = [Engagement(client=w.client, application=app, day=day, interactions=8) for app in (w.app, w.app2)]
    Engagement.objects.bulk_create(rows, ignore_conflicts=True)


@way
def rollups_upserted_by_their_subject(w: World) -> None:
    day = w.rollup.day
    rows = [Engagement(client=w.client, application=app, day=day, interactions=80) for app in (w.app, w.app2)]
    Engagement.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["application", "day"], update_fields=["interactions"]
    )


@way
def rollups_upserted_with_their_subject(w: World) -> None:
    Engagement.objects.bulk_create(
        [Engagement(id=w.rollup.pk, client=w.client, application=w.app2, day=w.rollup.day, interactions=3)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["application", "interactions"],
    )


@way
def rollups_updated_by_a_query(w: World) -> None:
    Engagement.objects.filter(client=w.client).update(interactions=F("interactions") + 1000)


@way
def rollup_given_another_key(w: World) -> None:
    Engagement.objects.filter(pk=w.rollup.pk).update(id=uuid.uuid4(), interactions=50)


@way
def rollups_updated_in_bulk(w: World) -> None:
    rows = [changed(w.rollup, interactions=900), changed(w.rollup2, interactions="901")]
    Engagement.objects.bulk_update(rows, ["interactions"])


@way
def rollup_deleted(w: World) -> None:
    w.rollup.delete()
    Engagement.objects.filter(pk=w.rollup2.pk).delete()


@way
def rollup_deleted_by_a_plain_queryset(w: World) -> None:
    models.QuerySet(Engagement).filter(pk=w.rollup.pk).delete()


@way
def everything_in_one_transaction(w: World) -> None:
    with transaction.atomic():
        changed(w.alert, status="Complete").save()
        undo(lambda: w.alert2.delete())
        changed(w.use, count=99).save()
        undo(lambda: Interaction.objects.all().delete())
        w.new_use(count=13)
        changed(w.rollup, interactions=1).save()
        Alert.objects.filter(pk=w.alert2.pk).update(client=w.second)
        w.use2.delete()
