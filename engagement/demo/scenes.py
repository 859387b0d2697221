"""A client as the generators see it: its rows, with how much each department and subject is in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db.models import Q, QuerySet

from engagement.demo import people, world
from engagement.models import Agent, Application, Client, Department

About = Literal["application", "unsanctioned", "agent"]

FLAGGED_WHEN_UNSANCTIONED = 0.25
FLAGGED_AT_MOST = 0.08
FLAGGED_BY_AGENTS = 0.03
"""Shares of flagged uses: of an unsanctioned application; of a permitted one with risk tolerance 0; of an agent."""


@dataclass(frozen=True, slots=True)
class Staff:
    """A department (None: nobody knows which) and its people; `appetite` as in `world.DemoDepartment`."""

    department: Department | None
    people: tuple[str, ...]
    appetite: float = 1.0

    @property
    def name(self) -> str:
        """What an alert calls them."""
        return self.department.name if self.department else "the company"


@dataclass(frozen=True, slots=True)
class Subject:
    """An application or an agent; `flagged` is a share of its uses, 0 to 1; the rest as in `world`."""

    application: Application | None
    agent: Agent | None
    adoption: float
    uses: float
    flagged: float
    retired: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.application or self.agent)

    @property
    def kinds(self) -> set[About]:
        """What an incident with it can be about."""
        if self.application is None:
            return {"agent"}
        unsanctioned = self.application.status == Application.Status.UNSANCTIONED
        return {"application", "unsanctioned"} if unsanctioned else {"application"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A client, its people and what they use."""

    client: Client
    staff: tuple[Staff, ...]
    subjects: tuple[Subject, ...]

    @property
    def size(self) -> int:
        """How many people there are."""
        return sum(len(staff.people) for staff in self.staff)


def demo_clients() -> QuerySet[Client]:
    """Return the demo world's clients, as far as they are in the database; not what others added to its MSPs."""
    named = Q(pk__in=[])
    for msp in world.MSPS:
        named |= Q(msp__name=msp.name, name__in=[client.name for client in msp.clients])
    return Client.objects.filter(named).select_related("msp").order_by("msp__name", "name")


def load(client: Client) -> Scene:
    """Return the scene of any client; what the demo world does not know of it gets middling values."""
    demo = world.find(client.name)
    staff = [_staff(department, demo) for department in Department.objects.filter(client=client)]
    applications = [_application(row, demo) for row in Application.objects.filter(client=client)]
    agents = [_agent(row, demo) for row in Agent.objects.filter(client=client)]
    nobody_knows = Staff(None, people.of_department(demo.domain, "", 12))
    return Scene(client, tuple(staff) or (nobody_knows,), (*applications, *agents))


def _staff(department: Department, demo: world.DemoClient) -> Staff:
    known = {one.name: one for one in demo.departments}.get(department.name)
    settings = known or world.DemoDepartment(department.name, headcount=12)
    return Staff(
        department, people.of_department(demo.domain, settings.name, settings.headcount), settings.appetite
    )


def _application(row: Application, demo: world.DemoClient) -> Subject:
    known = {one.name: one for one in demo.applications}.get(row.name)
    adoption, uses = (known.adoption, known.uses) if known else (0.15, 5.0)
    flagged = FLAGGED_AT_MOST * (100 - row.risk_tolerance) / 100
    if row.status == Application.Status.UNSANCTIONED:
        flagged = FLAGGED_WHEN_UNSANCTIONED
    return Subject(row, None, adoption, uses, flagged)


def _agent(row: Agent, demo: world.DemoClient) -> Subject:
    known = {one.name: one for one in demo.agents}.get(row.name)
    adoption, uses, retired = (
        (known.adoption, known.uses, known.retired) if known else (0.1, 6.0, not row.deployed)
    )
    return Subject(None, row, adoption, uses, FLAGGED_BY_AGENTS, retired)
