"""The plan of a run: who connects how, what breaks when. Made from a seed and nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Backend = Literal["postgres", "sqlite"]

MSPS = 2
CLIENTS_PER_MSP = 3
USERS_PER_MSP = 5
USERS_PER_CLIENT = 4

FAULTS: dict[str, str] = {
    "redis_kill": "Redis killed (SIGKILL) and started again, empty",
    "redis_stop": "Redis frozen (SIGSTOP): connections stay, nothing answers",
    "server_kill": "a server process killed (SIGKILL) and started again",
    "server_stop": "a server process frozen (SIGSTOP)",
    "server_drain": "a server process replaced: SIGTERM, drain, a new one",
    "postgres_restart": "PostgreSQL restarted (SIGINT: sessions are cut)",
    "publisher_kill": "a writing process killed between its commit and the placing of its events",
}
ON_SQLITE = ("server_kill", "server_stop", "server_drain", "publisher_kill")
"""What can break on the embedded default: there is no Redis, and the database is a file."""

HELD_SECONDS = {
    "redis_kill": 2.0,
    "redis_stop": 4.0,
    "server_kill": 1.0,
    "server_stop": 4.0,
    "postgres_restart": 1.0,
}
"""How long a fault holds before it is mended; those not named mend as soon as they can."""

SLOT_SECONDS = 9.0
"""The least time between the beginnings of two faults."""

EDGE_SECONDS = 6.0
"""Quiet time at the beginning and the end."""

ENCODINGS = ("compliance.v1", "compliance.v1", "compliance.v1+msgpack", "compliance.v1+deflate")


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` breaks at `at` seconds and is mended after `held`; `target` picks the server process."""

    at: float
    kind: str
    held: float
    target: int


@dataclass(frozen=True, slots=True)
class Watcher:
    """How one WebSocket client behaves."""

    number: int
    user: int
    route: Literal["general", "client", "selected"]
    client: int
    """Which of the clients its user sees: for the client's route."""
    encoding: str
    batches: bool
    resumes_in_query: bool
    patience: float
    """Seconds without any frame after a ping, after which it gives its socket up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run."""

    seed: int
    backend: Backend
    seconds: float
    processes: int
    writers: int
    watchers: list[Watcher]
    faults: list[Fault]


def make(
    seed: int,
    *,
    backend: Backend,
    clients: int,
    seconds: float,
    processes: int,
    writers: int,
    kinds: list[str],
) -> Plan:
    """Return the plan that `seed` stands for."""
    chance = random.Random(f"plan {seed}")
    return Plan(
        seed=seed,
        backend=backend,
        seconds=seconds,
        processes=processes,
        writers=writers,
        watchers=[_watcher(number, chance) for number in range(clients)],
        faults=_faults(chance, seconds, processes, kinds),
    )


def _watcher(number: int, chance: random.Random) -> Watcher:
    msp_users = MSPS * USERS_PER_MSP
    of_msp = chance.random() < 0.4
    user = (
        chance.randrange(msp_users)
        if of_msp
        else msp_users + chance.randrange(MSPS * CLIENTS_PER_MSP * USERS_PER_CLIENT)
    )
    route: Literal["general", "client", "selected"] = "general"
    if of_msp:
        route = chance.choices(["general", "client", "selected"], [7, 2, 1])[0]  # type: ignore[assignment]
    elif chance.random() < 0.3:
        route = "client"
    return Watcher(
        number=number,
        user=user,
        route=route,
        client=chance.randrange(CLIENTS_PER_MSP),
        encoding=chance.choice(ENCODINGS),
        batches=chance.random() < 0.5,
        resumes_in_query=chance.random() < 0.5,
        patience=chance.choice([2.5, 30.0]),
    )


def _faults(chance: random.Random, seconds: float, processes: int, kinds: list[str]) -> list[Fault]:
    """Return each kind as often as there is room for, at least once, in random order and evenly spread."""
    if not kinds:
        return []
    edge = min(EDGE_SECONDS, seconds / 6)
    room = seconds - 2 * edge
    rounds = max(1, int(room // (SLOT_SECONDS * len(kinds))))
    order: list[str] = []
    for _ in range(rounds):
        order.extend(chance.sample(kinds, len(kinds)))
    slot = room / len(order)
    return [
        Fault(
            at=round(edge + index * slot + chance.random() * slot * 0.2, 2),
            kind=kind,
            held=HELD_SECONDS.get(kind, 0.0),
            target=chance.randrange(processes),
        )
        for index, kind in enumerate(order)
    ]
