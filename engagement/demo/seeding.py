"""Write the demo world and its history into the database: only what is missing, and nothing as an event."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.db import models, transaction

from engagement.access import CLIENT_ROLES
from engagement.demo import history, scenes, world
from engagement.models import (
    MSP,
    ActiveUser,
    Agent,
    Alert,
    Application,
    Client,
    Department,
    Engagement,
    Interaction,
    User,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_Row = TypeVar("_Row", bound=models.Model)

STAFF_MAY = {
    "view": ("alert", "client", "department", "application", "agent", "interaction", "engagement", "user"),
    "change": ("alert", "department", "application", "agent"),
    "add": ("alert", "department", "application", "agent"),
}
"""What an MSP's staff may do in the admin site, with the rows of their own MSP."""

BATCH = 1000
"""Rows of one INSERT, where the database does not want fewer."""


@transaction.atomic
def people_the_world(password: str) -> dict[str, int]:
    """Create what is missing of MSPs, clients, what those have, and logins; return how many of each were new.

    A login that exists is left as it is, its password too.
    """
    new = {"MSPs": 0, "clients": 0, "logins": 0}
    tenants = []
    for demo_msp in world.MSPS:
        msp, made = MSP.objects.get_or_create(name=demo_msp.name)
        new["MSPs"] += made
        clients = [_client(msp, demo_client) for demo_client in demo_msp.clients]
        new["clients"] += sum(made for _, made in clients)
        tenants.append((msp, clients[0][0]))
    hashed = make_password(password)
    usernames = [login.username for login in world.LOGINS]
    taken = set(User.objects.filter(username__in=usernames).values_list("username", flat=True))
    for login in world.LOGINS:
        if login.username not in taken:
            _user(login, hashed, tenants)
            new["logins"] += 1
    return new


def missing_days(client: Client, days: int, today: datetime.date) -> list[datetime.date]:
    """Return the last `days` days up to `today` of which the client has no roll-up, oldest first."""
    first = today - datetime.timedelta(days=days - 1)
    known = set(
        Engagement.objects.filter(client=client, day__range=(first, today)).values_list("day", flat=True)
    )
    return [
        day for day in (first + datetime.timedelta(days=back) for back in range(days)) if day not in known
    ]


@transaction.atomic
def fill_history(client: Client, days: int, now: datetime.datetime) -> list[datetime.date]:
    """Write what is missing of the client's last `days` days; return the days that were written."""
    Client.objects.select_for_update().get(pk=client.pk)  # two seeders take turns
    scene = scenes.load(client)
    responders = list(User.objects.filter(msp=client.msp_id, is_active=True).order_by("username"))
    written = missing_days(client, days, now.astimezone(datetime.UTC).date())
    filled = [history.of(scene, day, now, responders) for day in written]
    write_without_events(Interaction, [row for day in filled for row in day.interactions])
    write_without_events(Engagement, [row for day in filled for row in day.engagements])
    write_without_events(ActiveUser, [row for day in filled for row in day.active_users])
    _write_alerts([row for day in filled for row in day.alerts])
    return written


def write_without_events(model: type[_Row], rows: Sequence[_Row]) -> None:
    """Create the rows untold: history is not news, and would be a long backlog for whoever connects next."""
    _untold(model).bulk_create(rows, batch_size=BATCH)


def _untold(model: type[_Row]) -> models.QuerySet[_Row]:
    """Return Django's own queryset: a tracked model's would send `rows_changed`."""
    return models.QuerySet(model)


def _write_alerts(alerts: Sequence[Alert]) -> None:
    changed = [alert.updated_at for alert in alerts]
    write_without_events(Alert, alerts)  # sets updated_at to now
    for alert, moment in zip(alerts, changed, strict=True):
        alert.updated_at = moment
    _untold(Alert).bulk_update(alerts, ["updated_at"], batch_size=BATCH)


def _client(msp: MSP, demo: world.DemoClient) -> tuple[Client, bool]:
    client, made = Client.objects.get_or_create(
        msp=msp,
        name=demo.name,
        defaults={
            "industry": demo.industry,
            "company_size": demo.company_size,
            "status": demo.status,
            "subscription_tier": demo.tier,
        },
    )
    if made:  # one that exists keeps what its owner made of it
        _furnish(client, demo)
    return client, made


def _furnish(client: Client, demo: world.DemoClient) -> None:
    Department.objects.bulk_create(Department(client=client, name=one.name) for one in demo.departments)
    applications = Application.objects.bulk_create(
        Application(
            client=client,
            name=one.name,
            vendor=one.vendor,
            icon=one.icon,
            status=one.status,
            risk_tolerance=one.risk_tolerance,
        )
        for one in demo.applications
    )
    by_name = {application.name: application for application in applications}
    for one in demo.agents:
        agent = Agent.objects.create(
            client=client, name=one.name, vendor=one.vendor, icon=one.icon, deployed=one.deployed
        )
        agent.associated_apps.set([by_name[name] for name in one.apps])


def _user(login: world.DemoLogin, hashed: str, tenants: Sequence[tuple[MSP, Client]]) -> None:
    tenant: dict[str, Any] = {}
    if login.msp is not None:
        msp, first_client = tenants[login.msp]
        tenant = {"client": first_client} if login.role in CLIENT_ROLES else {"msp": msp}
    user = User(
        username=login.username,
        first_name=login.first_name,
        last_name=login.last_name,
        email=f"{login.username}@demo.example",
        password=hashed,
        role=login.role or "",
        is_staff=login.staff or login.role is None,
        is_superuser=login.role is None,
        **tenant,
    )
    user.save()
    if login.staff:
        user.user_permissions.set(_staff_permissions())


def _staff_permissions() -> models.QuerySet[Permission]:
    codenames = [f"{verb}_{model}" for verb, names in STAFF_MAY.items() for model in names]
    return Permission.objects.filter(content_type__app_label="engagement", codename__in=codenames)
