"""Kinds of runs: each puts other things close together in time."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.simulation.actors import SIGNALLED
from tests.simulation.runs import Plan
from tests.simulation.tenants import USERS


def choose() -> tuple[str, Plan]:
    """Return a kind of run, and a plan of that kind."""
    name = random.choice(sorted(KINDS))
    return name, KINDS[name]()


def _people(most: int) -> list[str]:
    return random.sample(sorted(USERS), random.randint(2, most))


def arrivals() -> Plan:
    """Handshakes that overlap changes of access."""
    return Plan(
        people=_people(4),
        lasts=3.0,
        between_visits=0.1,
        between_changes=0.3,
        stays=1.0,
        talkative=0.02,
        slow=0.3,
    )


def delivery() -> Plan:
    """Events, resumes and subscriptions, with a layer that loses."""
    return Plan(
        people=_people(4),
        processes=random.choice((1, 2)),
        between_writes=0.1,
        lossy=random.choice((0.0, 0.1, 0.5)),
        failing=random.choice((0.0, 0.03)),
        between_outages=random.choice((1e9, 1.5)),
        settings=random.choice(({}, {"tail_events": 3, "page_events": 4})),
    )


def drains() -> Plan:
    """Processes that are replaced under handshakes."""
    return Plan(
        people=_people(5),
        processes=random.choice((1, 2)),
        between_visits=0.05,
        between_deployments=0.8,
        talkative=0.05,
        slow=0.3,
    )


def renewals() -> Plan:
    """Tokens that are renewed while access is checked again."""
    return Plan(
        people=_people(3),
        between_changes=0.3,
        changes=[SIGNALLED[3], SIGNALLED[3], SIGNALLED[4], SIGNALLED[0]],
        messages=("authenticate",),
        credentials=("token", "session"),
        talkative=0.5,
        slow=0.4,
    )


def acknowledgements() -> Plan:
    """Alerts that vanish while they are acknowledged."""
    return Plan(
        people=_people(3),
        writes=("alert", "vanish"),
        messages=("acknowledge",),
        talkative=0.8,
        between_writes=0.1,
        slow=0.3,
        lasts=3.0,
    )


KINDS: dict[str, Callable[[], Plan]] = {
    work.__name__: work for work in (arrivals, delivery, drains, renewals, acknowledgements)
}
