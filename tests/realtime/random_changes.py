"""A writer that changes rows at random, by every form of write, with what an application does wrong: stale instances,
partial ones, values of odd types, savepoints and transactions that are rolled back."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core import serializers
from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
from django.db import DatabaseError, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import lazystr

from engagement import actions
from engagement.errors import EngagementError
from engagement.models import Agent, Alert, Application, Client, Department, Engagement, Interaction, User
from tests.factories import (
    AgentFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    MSPFactory,
    UserFactory,
)
from tests.realtime.writes import ProxyAlert, ProxyUse

SEVERITIES = [*Alert.Severity.values, lazystr("high")]
REMEMBERED = 30
"""Instances that a writer keeps in memory while the rows change."""


class Undone(Exception):
    """Roll this back."""


def make_tenants() -> None:
    """Make three clients of two MSPs, with what they have."""
    msps = [MSPFactory(), MSPFactory()]
    for number in range(3):
        furnish(ClientFactory(msp=msps[number % 2]))
    UserFactory(role="msp_admin", msp=msps[0])


def furnish(client: Client) -> None:
    """Give a client applications, an agent and a department."""
    for _ in range(2):
        ApplicationFactory(client=client, name=str(uuid.uuid4()))
    AgentFactory(client=client, name=str(uuid.uuid4()))
    DepartmentFactory(client=client, name=str(uuid.uuid4()))


class Writer:
    """Changes rows at random, as its seed says."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.instances: list[Any] = []
        self.refused: Counter[str] = Counter()
        """Writes that Django or the database refused, by why: a row that another writer deleted, a deadlock of two."""
        self.ways: list[tuple[Callable[[], object], int]] = [
            (self.save_remembered, 12),
            (self.save_remembered_in_part, 8),
            (self.refresh, 5),
            (self.new_alert, 10),
            (self.new_use, 10),
            (self.new_rollup, 4),
            (self.save_part_of_alert, 6),
            (self.save_part_of_use, 6),
            (self.update_alerts, 6),
            (self.update_uses, 8),
            (self.update_rollups, 3),
            (self.upsert_alerts, 4),
            (self.upsert_uses, 6),
            (self.upsert_rollups, 3),
            (self.bulk, 6),
            (self.get_or_create, 5),
            (self.relations, 5),
            (self.proxies, 4),
            (self.move, 5),
            (self.fixture, 2),
            (self.by_actions, 5),
            (self.delete_rows, 8),
            (self.delete_subject, 1),
            (self.delete_client_or_user, 1),
        ]

    def change(self) -> None:
        """Make one change, or a transaction of several."""
        try:
            if self.chance.random() < 0.4:
                self._one()
            else:
                with self._transaction():
                    for _ in range(self.chance.randint(1, 4)):
                        self._maybe_undone()
        except (DatabaseError, ObjectDoesNotExist, MultipleObjectsReturned, EngagementError) as error:
            self._refused(error)
        except ValueError as error:  # Django's own refusals of an instance whose row is gone
            if not any(words in str(error) for words in ("not to insert", "primary key", "is set to None")):
                raise
            self._refused(error)

    def _refused(self, error: Exception) -> None:
        cause = error.__cause__ or error
        self.refused[f"{type(cause).__name__}: {str(cause).partition(chr(10))[0][:70]}"] += 1

    def _one(self) -> None:
        ways, weights = zip(*self.ways, strict=True)
        self.chance.choices(ways, weights)[0]()

    def _maybe_undone(self) -> None:
        with self._transaction(often=0.3) if self.chance.random() < 0.4 else _nothing():
            self._one()

    @contextmanager
    def _transaction(self, often: float = 0.15) -> Iterator[None]:
        """Give a transaction or savepoint, which is rolled back in the end as `often`."""
        try:
            with transaction.atomic():
                yield
                if self.chance.random() < often:
                    raise Undone
        except Undone:
            pass

    # Whom and what

    def pick(self, rows: Any) -> Any:
        """Return one of `rows`; raise where there is none."""
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        if not keys:
            raise ObjectDoesNotExist
        return rows.get(pk=self.chance.choice(keys))

    def client(self) -> Client:
        return self.pick(Client.objects.all())  # type: ignore[no-any-return]

    def subject(self, client: Client) -> dict[str, Any]:
        if self.chance.random() < 0.3:
            return {"agent": self.pick(Agent.objects.filter(client=client)), "application": None}
        return {"application": self.pick(Application.objects.filter(client=client)), "agent": None}

    def keep(self, row: Any) -> Any:
        self.instances.append(row)
        if len(self.instances) > REMEMBERED:
            self.instances.pop(self.chance.randrange(REMEMBERED))
        return row

    def remembered(self) -> Any:
        if not self.instances:
            raise ObjectDoesNotExist
        return self.chance.choice(self.instances)

    def count(self) -> Any:
        number = self.chance.randint(1, 50)
        return self.chance.choice([number, str(number), Value(number), True])

    def moment(self) -> Any:
        moment = timezone.now() - timedelta(days=self.chance.randrange(2), seconds=self.chance.randrange(50))
        return self.chance.choice([moment, moment.isoformat(), Now()])

    def spoil(self, row: Any) -> Any:
        """Give an instance values."""
        if isinstance(row, Alert):
            row.details = self.chance.choice([lazystr("lazy"), f"details {self.chance.random()}"])
            row.severity = self.chance.choice(SEVERITIES)
            row.count = self.chance.choice([self.count(), F("count") + 1])
        elif isinstance(row, Interaction):
            row.count = self.chance.choice([self.count(), F("count") + 1])
            row.flagged = self.chance.choice([True, False, "True"])
            row.occurred_at = self.moment()
        else:
            row.interactions = self.chance.choice([self.chance.randint(0, 99), F("interactions") + 1])
        return row

    # Ways

    def save_remembered(self) -> None:
        self.spoil(self.remembered()).save()

    def save_remembered_in_part(self) -> None:
        row = self.spoil(self.remembered())
        fields = (
            ["interactions"] if isinstance(row, Engagement) else self.chance.sample(["count", "client"], 1)
        )
        row.save(update_fields=fields)

    def refresh(self) -> None:
        self.remembered().refresh_from_db()

    def new_alert(self) -> None:
        client = self.client()
        assignee = User.objects.order_by("?").first()
        row = Alert(client=client, assignee=assignee, **self.subject(client))
        self.keep(self.spoil(row))
        row.count = 1
        row.save()

    def new_use(self) -> None:
        client = self.client()
        row = Interaction(
            client=client, count=self.count(), occurred_at=self.moment(), **self.subject(client)
        )
        row.department = Department.objects.filter(client=client).first()
        self.keep(row).save()

    def new_rollup(self) -> None:
        client = self.client()
        day = timezone.now().date() - timedelta(days=self.chance.randrange(3))
        self.keep(Engagement(client=client, day=day, interactions="3", **self.subject(client))).save()

    def save_part_of_alert(self) -> None:
        rows = self.chance.choice([Alert.objects.only("status"), Alert.objects.defer("details", "client")])
        row = self.keep(self.pick(rows))
        row.status = self.chance.choice(Alert.Status.values)
        row.save()

    def save_part_of_use(self) -> None:
        row = self.keep(self.pick(Interaction.objects.only("count")))
        row.count = self.count()
        row.save()

    def update_alerts(self) -> None:
        rows = Alert.objects.filter(severity=self.chance.choice(Alert.Severity.values))
        rows = self.chance.choice(
            [rows, rows.values("pk"), rows.only("status"), rows.filter(client__msp__isnull=False)]
        )
        rows.update(
            **self.chance.choice([{"status": "Complete"}, {"count": F("count") + 1}, {"severity": "low"}])
        )

    def update_uses(self) -> None:
        rows = Interaction.objects.filter(count__gt=self.chance.randint(1, 40))
        value = {"count": self.count()} if self.chance.random() < 0.5 else {"count": F("count") + 1}
        self.chance.choice([rows, rows.filter(application__client__msp__isnull=False), rows.values()]).update(
            **self.chance.choice(
                [value, {"flagged": True}, {"user_ref": "x"}, {"occurred_at": self.moment()}]
            )
        )

    def update_rollups(self) -> None:
        Engagement.objects.filter(client=self.client()).update(interactions=F("interactions") + 5)

    def upsert_alerts(self) -> None:
        client = self.client()
        rows = [
            Alert(client=client, severity="low"),
            Alert(id=self.pick(Alert.objects.all()).pk, client=client),
        ]
        self._upsert(rows, [["severity"], ["severity", "client", "application", "agent"]])

    def upsert_uses(self) -> None:
        client = self.client()
        known = self.pick(Interaction.objects.all()).pk
        rows = [
            Interaction(id=key, client=client, count=self.count(), flagged=True, **self.subject(client))
            for key in (known, uuid.uuid4())
        ]
        self._upsert(rows, [["count"], ["user_ref"], ["count", "client", "application", "agent"]])

    def _upsert(self, rows: list[Any], fields: list[list[str]]) -> None:
        manager = type(rows[0]).objects
        if self.chance.random() < 0.5:
            manager.bulk_create(rows, ignore_conflicts=True)
        else:
            manager.bulk_create(
                rows, update_conflicts=True, unique_fields=["id"], update_fields=self.chance.choice(fields)
            )

    def upsert_rollups(self) -> None:
        client, day = self.client(), timezone.now().date()
        applications = Application.objects.filter(client=client)
        rows = [Engagement(client=client, day=day, application=one, interactions=9) for one in applications]
        Engagement.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["application", "day"], update_fields=["interactions"]
        )

    def bulk(self) -> None:
        client = self.client()
        new = [Interaction(client=client, count=self.count(), **self.subject(client)) for _ in range(3)]
        Interaction.objects.bulk_create(new)
        Alert.objects.bulk_create([Alert(client=client, count=self.count()) for _ in range(2)])
        for model, fields in ((Interaction, ["count", "flagged"]), (Alert, ["details", "severity"])):
            rows = [self.spoil(row) for row in model.objects.order_by("pk")[:3]]
            model.objects.bulk_update(rows, fields)

    def get_or_create(self) -> None:
        client = self.client()
        Alert.objects.get_or_create(client=client, details="the one", defaults={"severity": "low"})
        Interaction.objects.update_or_create(
            pk=self.pick(Interaction.objects.all()).pk, defaults={"count": self.count()}
        )

    def relations(self) -> None:
        client = self.client()
        client.alerts.add(self.pick(Alert.objects.all()))
        client.interactions.create(count=self.count(), **self.subject(client))
        user = self.pick(User.objects.all())
        user.assigned_alerts.add(self.pick(Alert.objects.all()))
        if self.chance.random() < 0.3:
            user.assigned_alerts.clear()

    def proxies(self) -> None:
        self.keep(self.spoil(self.pick(ProxyAlert.objects.all()))).save()
        self.spoil(self.pick(ProxyUse.objects.all())).save()
        ProxyUse.objects.filter(flagged=True).update(count=2)

    def move(self) -> None:
        client = self.client()
        alert = self.keep(self.pick(Alert.objects.all()))
        alert.client = client
        alert.save()
        Interaction.objects.filter(pk=self.pick(Interaction.objects.all()).pk).update(
            client=client, **self.subject(client)
        )

    def fixture(self) -> None:
        rows = [self.pick(Interaction.objects.all()), self.pick(Alert.objects.all())]
        rows[0].count = 12
        for row in serializers.deserialize("json", serializers.serialize("json", rows)):
            row.save()

    def by_actions(self) -> None:
        client = self.client()
        uses = [actions.Use(count=self.chance.randint(1, 9), user_ref="ana", **self.subject(client))]
        self.chance.choice([actions.record_interactions, actions.import_interactions])(client, uses)

    def delete_rows(self) -> None:
        model = self.chance.choice([Alert, Interaction, Interaction, Engagement])
        row = self.pick(model.objects.all())
        rows = model.objects.filter(pk=row.pk)
        self.chance.choice(
            [
                lambda: self.spoil(row).delete(),
                lambda: rows.only("pk").delete(),
                lambda: models.QuerySet(model).filter(pk=row.pk).delete(),
                lambda: self.remembered().delete(),
            ]
        )()

    def delete_subject(self) -> None:
        client = self.client()
        model, factory = self.chance.choice(
            [(Application, ApplicationFactory), (Agent, AgentFactory), (Department, DepartmentFactory)]
        )
        row = self.pick(model.objects.filter(client=client))
        self.chance.choice([row.delete, models.QuerySet(model).filter(pk=row.pk).delete])()
        factory(client=client, name=str(uuid.uuid4()))

    def delete_client_or_user(self) -> None:
        if self.chance.random() < 0.5:
            user = self.pick(User.objects.all())
            self.chance.choice([user.delete, models.QuerySet(User).filter(pk=user.pk).delete])()
            UserFactory(role="msp_admin", msp=user.msp, username=str(uuid.uuid4()))
        else:
            client = self.client()
            self.chance.choice([client.delete, Client.objects.filter(pk=client.pk).delete])()
            furnish(ClientFactory(msp_id=client.msp_id, name=str(uuid.uuid4())))


@contextmanager
def _nothing() -> Iterator[None]:
    yield
