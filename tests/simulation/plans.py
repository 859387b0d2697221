"""Kinds of runs: each puts other things close together in time."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.simulation.actors import SIGNALLED, UNSIGNALLED, change_role, move_client
from tests.simulation.database import InjectedFault
from tests.simulation.runs import Plan
from tests.simulation.tenants import USERS


def choose() -> Callable[[], Plan]:
    """Return a kind of run: what makes its plan."""
    return random.choices(list(KINDS), list(KINDS.values()))[0]


def by_name(name: str) -> Callable[[], Plan]:
    """Return a kind of run by its name."""
    return next(kind for kind in KINDS if kind.__name__ == name)


def _people(most: int) -> list[str]:
    return random.sample(sorted(USERS), random.randint(2, most))


def arrivals() -> Plan:
    """Handshakes that overlap changes of access."""
    return Plan(
        people=_people(2),
        lasts=1.5,
        several_tabs=True,
        ambushes=0.8,
        between_visits=0.2,
        between_changes=0.1,
        between_writes=0.3,
        by_client_route=0.6,
        stays=10.0,
        gives_up=0.02,
        talkative=0.02,
        crowded=random.choice(("authenticating", "authenticating", "authenticating", "hub", None)),
        slow=random.choice((0.0, 0.0, 0.3)),
    )


def delivery() -> Plan:
    """Events, resumes and subscriptions, with a layer that loses."""
    return Plan(
        people=_people(3),
        processes=random.choice((1, 1, 2)),
        lasts=3.0,
        between_writes=0.15,
        lossy=random.choice((0.0, 0.1, 0.5)),
        failing=random.choice((0.0, 0.03)),
        between_outages=random.choice((1e9, 1.5)),
        settings=random.choice(({}, {"tail_events": 3, "page_events": 4})),
    )


def drains() -> Plan:
    """Processes that are replaced under handshakes."""
    return Plan(
        people=_people(4),
        lasts=2.5,
        between_writes=0.5,
        processes=random.choice((1, 2)),
        between_visits=0.05,
        between_deployments=0.8,
        talkative=0.05,
        slow=0.3,
    )


def renewals() -> Plan:
    """Tokens that are renewed while access is checked again."""
    return Plan(
        people=_people(2),
        lasts=3.0,
        between_writes=0.5,
        between_changes=0.3,
        changes=[SIGNALLED[3], SIGNALLED[3], SIGNALLED[4], SIGNALLED[0], ("change the role", change_role)],
        messages=("authenticate",),
        credentials=("token", "session"),
        talkative=0.5,
        slow=0.4,
    )


def moves() -> Plan:
    """Clients that change their MSP and come back, among sockets that resume what was sent long ago."""
    return Plan(
        people=["nina", "sara"],
        lasts=6.0,
        in_memory=random.random() < 0.8,
        changes=[("move bolt", move_client, "bolt")],
        between_changes=2.0,
        between_writes=0.2,
        burst=3,
        back=(3, 30, 30),
        lossy=random.choice((0.0, 0.3)),
        slow=0.0,
        slow_layer=random.choice((0.0, 0.6)),
        messages=("resume",),
        by_client_route=0.0,
        talkative=0.8,
        stays=6.0,
        bound=1.5,
        settings={"sweep_shared": 0.8} | random.choice(({}, {"tail_events": 3, "page_events": 4})),
    )


def losses() -> Plan:
    """Changes of access of which some are not heard of, and others are."""
    return Plan(
        people=["nina", "nils", "sara"],
        lasts=2.0,
        changes=[SIGNALLED[1], ("move bolt", move_client, "bolt")],
        in_order=True,
        between_changes=0.1,
        between_writes=0.3,
        lossy=0.4,
        slow=0.0,
        by_client_route=0.0,
        selected=0.0,
        talkative=0.0,
        stays=10.0,
    )


def silent() -> Plan:
    """Changes of access that nothing tells of."""
    return Plan(
        people=_people(3),
        lasts=6.0,
        changes=[*UNSIGNALLED, UNSIGNALLED[2]],
        told=False,
        between_changes=0.8,
        between_writes=0.3,
        messages=("resume",),
        talkative=0.5,
        bound=2.0,
        stays=10.0,
        selected=0.4,
        slow=0.0,
        settings={"recheck_seconds": 1.0},
    )


def followers() -> Plan:
    """Sockets that cannot be written to, and events that not every encoding can carry."""
    return Plan(
        people=[*_people(3), "nina", "nils", "ada"],
        lasts=2.0,
        writes=("events", "events", "events", "large"),
        between_writes=0.1,
        breaking=random.choice((0.0, 0.3)),
        lossy=0.0,
        slow=0.0,
        stays=10.0,
        talkative=0.05,
        expected_errors=("event cannot be encoded", "write failed: left to the writer"),
    )


def acknowledgements() -> Plan:
    """Alerts that vanish while they are acknowledged."""
    return Plan(
        people=_people(3),
        in_memory=False,
        writes=("alert", "vanish"),
        messages=("acknowledge",),
        talkative=0.8,
        between_writes=0.1,
        slow=0.3,
        lasts=3.0,
    )


def sequencing() -> Plan:
    """The log as it is in the database: clients that move before their events are sequenced, statements that fail."""
    return Plan(
        people=["nina", "sara", random.choice(("ada", "bea"))],
        processes=random.choice((1, 2)),
        lasts=3.0,
        in_memory=False,
        changes=[("move a client", move_client)],
        between_changes=0.5,
        between_writes=0.1,
        between_outages=0.8,
        failing=random.choice((0.0, 0.02)),
        slow=0.3,
        by_client_route=0.1,
        selected=0.0,
        talkative=0.05,
        stays=10.0,
    )


def poison() -> Plan:
    """Recorded changes that cannot be published, among others."""
    return Plan(
        people=_people(3),
        lasts=2.0,
        in_memory=False,
        writes=("poison", "events"),
        between_writes=0.1,
        failing=random.choice((0.0, 0.02)),
        stays=10.0,
        talkative=0.05,
        expected_errors=("event cannot be published", "events cannot be published"),
    )


def faults() -> Plan:
    """Errors of our own in anything that asks the database."""
    return Plan(
        people=_people(3),
        processes=random.choice((1, 2)),
        lasts=3.0,
        failing=random.choice((0.02, 0.1)),
        error=InjectedFault,
        between_changes=0.5,
        lossy=random.choice((0.1, 0.5)),
        between_writes=0.15,
        between_outages=random.choice((1e9, 1.0)),
    )


def restores() -> Plan:
    """A log that is restored from a backup."""
    return Plan(
        people=_people(3),
        lasts=2.5,
        between_writes=0.1,
        before_restore=1.0,
        lossy=random.choice((0.1, 0.5)),
        failing=random.choice((0.0, 0.15)),
        crowded=random.choice(("hub", None)),
        slow=0.3,
        stays=10.0,
    )


def presence() -> Plan:
    """Who watches, while people come and go and sockets are slow."""
    return Plan(
        people=[random.choice(("nina", "nils")), *random.sample(("ada", "abe", "bea", "nils", "nina"), 3)],
        processes=random.choice((1, 2)),
        keeps_rows=True,
        messages=("presence", "presence", "stall"),
        between_visits=0.5,
        between_writes=1e9,
        stays=random.choice((1.0, 3.0)),
        talkative=0.7,
        selected=0.8,
        latencies=(0.0, 0.05, 0.8),
        by_client_route=0.3,
        paced=0.0,
    )


def rows() -> Plan:
    """Rows of connections, whose statements fail."""
    return Plan(
        people=_people(3),
        processes=random.choice((1, 2)),
        keeps_rows=True,
        failing=random.choice((0.02, 0.1)),
        between_outages=random.choice((1e9, 1.0)),
        between_deployments=random.choice((1e9, 2.0)),
        between_writes=1.0,
        crashes=0.5,
        stays=0.8,
        talkative=0.1,
    )


KINDS: dict[Callable[[], Plan], int] = {
    arrivals: 5,
    delivery: 5,
    drains: 5,
    renewals: 5,
    moves: 2,
    losses: 2,
    silent: 2,
    followers: 2,
    acknowledgements: 1,
    faults: 3,
    restores: 3,
    sequencing: 1,
    poison: 1,
    presence: 1,
    rows: 1,
}
"""How often each kind is chosen. Those that go through Django and SQLite take longest."""
