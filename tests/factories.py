"""Rows for tests. Each factory makes what it needs around it; pass `client=`, `msp=` to place a row in a tenant."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from factory.django import DjangoModelFactory

from engagement.access import MSP_ROLES, Role
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

PASSWORD = "correct horse battery staple"
"""What every `UserFactory` user signs in with."""


@functools.cache
def hashed_password() -> str:
    """Hash `PASSWORD` once a session."""
    return make_password(PASSWORD)


class MSPFactory(DjangoModelFactory[MSP]):
    class Meta:
        model = MSP

    name = factory.Sequence("MSP {:04}".format)


class ClientFactory(DjangoModelFactory[Client]):
    class Meta:
        model = Client

    msp = factory.SubFactory(MSPFactory)
    name = factory.Sequence("Client {:04}".format)


class UserFactory(DjangoModelFactory[User]):
    """`UserFactory(role=..., msp=... or client=...)`: the tenant that the role needs is made if not given."""

    class Meta:
        model = User

    username = factory.Sequence("user{}".format)
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    password = factory.LazyFunction(hashed_password)
    role = Role.MSP_ADMIN
    msp = factory.Maybe("of_an_msp", yes_declaration=factory.SubFactory(MSPFactory), no_declaration=None)
    client = factory.Maybe(
        "of_a_client", yes_declaration=factory.SubFactory(ClientFactory), no_declaration=None
    )

    class Params:
        of_an_msp = factory.LazyAttribute(lambda user: user.role in MSP_ROLES)
        of_a_client = factory.LazyAttribute(lambda user: bool(user.role) and user.role not in MSP_ROLES)


class SuperuserFactory(UserFactory):
    """A user of the portal itself: no role, no tenant, every permission."""

    username = factory.Sequence("superuser{}".format)
    role = ""
    is_staff = True
    is_superuser = True


class DepartmentFactory(DjangoModelFactory[Department]):
    class Meta:
        model = Department

    client = factory.SubFactory(ClientFactory)
    name = factory.Sequence("Department {:04}".format)


class ApplicationFactory(DjangoModelFactory[Application]):
    class Meta:
        model = Application

    client = factory.SubFactory(ClientFactory)
    name = factory.Sequence("Application {:04}".format)
    vendor = "OpenAI"


class AgentFactory(DjangoModelFactory[Agent]):
    class Meta:
        model = Agent
        skip_postgeneration_save = True

    client = factory.SubFactory(ClientFactory)
    name = factory.Sequence("Agent {:04}".format)
    vendor = "In-house"

    @factory.post_generation
    def associated_apps(self, create: bool, applications: Any, **_: Any) -> None:
        """`AgentFactory(associated_apps=[...])`."""
        if create and applications:
            self.associated_apps.set(applications)


class _OfAnApplication(DjangoModelFactory):
    """A row about an application of its own client, unless told another subject."""

    class Meta:
        abstract = True

    client = factory.SubFactory(ClientFactory)
    agent = None
    application = factory.Maybe(
        "of_an_application",
        yes_declaration=factory.SubFactory(ApplicationFactory, client=factory.SelfAttribute("..client")),
        no_declaration=None,
    )

    class Params:
        of_an_application = factory.LazyAttribute(lambda row: row.agent is None)


class InteractionFactory(_OfAnApplication):
    class Meta:
        model = Interaction


class AlertFactory(_OfAnApplication):
    class Meta:
        model = Alert

    severity = Alert.Severity.HIGH
    details = factory.Sequence("Suspicious activity {}".format)
    asset_kind = factory.LazyAttribute(lambda alert: "agent" if alert.agent else "application")


class EngagementFactory(_OfAnApplication):
    """A roll-up of today, of an application unless `department=` or `agent=` is given."""

    class Meta:
        model = Engagement

    department = None
    day = factory.LazyFunction(lambda: timezone.now().date())

    class Params:
        of_an_application = factory.LazyAttribute(lambda row: row.agent is None and row.department is None)


@dataclass(frozen=True)
class Tenant:
    """An MSP with two clients, and a user of every role; the client roles are of the first client."""

    msp: MSP
    clients: tuple[Client, Client]
    users: dict[Role, User]

    @property
    def client(self) -> Client:
        """The first client."""
        return self.clients[0]

    @property
    def msp_admin(self) -> User:
        return self.users[Role.MSP_ADMIN]

    @property
    def msp_user(self) -> User:
        return self.users[Role.MSP_USER]

    @property
    def client_admin(self) -> User:
        return self.users[Role.CLIENT_ADMIN]

    @property
    def client_user(self) -> User:
        return self.users[Role.CLIENT_USER]


def tenant() -> Tenant:
    """Make an MSP with two clients and a user of every role."""
    msp = MSPFactory()
    clients = (ClientFactory(msp=msp), ClientFactory(msp=msp))
    users = {
        role: UserFactory(role=role, msp=msp)
        if role in MSP_ROLES
        else UserFactory(role=role, client=clients[0])
        for role in Role
    }
    return Tenant(msp, clients, users)


def two_tenants() -> tuple[Tenant, Tenant]:
    """Make two MSPs that must never see each other."""
    return tenant(), tenant()
