"""Access that changes at random moments of handshakes, resumes and renewals, under load, and who is told what.

`ACCESS_ROUNDS=500` makes so many rounds on each server, `ACCESS_SEED=7` others.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from tests.flows.conftest import UNHURRIED
from tests.flows.random_access import PROMPT, RECHECK, SPAN, Person
from tests.live import SharedServers
from tests.servers import PortalServer

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("ACCESS_ROUNDS", "10"))
SEED = int(os.environ.get("ACCESS_SEED", "1"))
AT_ONCE = 20
"""Rounds at the same time, each with a user and tenants of its own: they are each other's load."""
EVENTS_PER_SECOND = 200.0


@pytest.fixture(params=["daphne", "uvicorn"])
def rechecking(
    request: pytest.FixtureRequest, transactional_db: None, shared_servers: SharedServers
) -> Iterator[PortalServer]:
    """Return each server software in turn, which reads every connection's access anew several times a second."""
    environment = {**UNHURRIED, "REALTIME_RECHECK_SECONDS": str(RECHECK)}
    with shared_servers.awake(f"rechecking {request.param}", environment, kind=request.param) as awake:
        yield awake


async def test_nobody_is_told_what_is_no_longer_theirs(rechecking):
    faulthandler.cancel_dump_traceback_later()  # many rounds take longer than a test may
    chance, wrongs, taken, begin = random.Random(SEED), [], Counter(), time.monotonic()
    for first in range(0, ROUNDS, AT_ONCE):
        people = await one_lot(rechecking, chance, min(AT_ONCE, ROUNDS - first), wrongs)
        for person in people:
            for socket in person.sockets:
                taken[socket.credential] += len(socket.taken)
    print(f"{ROUNDS} rounds, {dict(taken)} events, {time.monotonic() - begin:.0f} s")
    assert not wrongs, "\n".join(wrongs)
    assert taken.total() > ROUNDS * 5, "so few events came that this shows nothing"


async def one_lot(server: PortalServer, chance: random.Random, count: int, wrongs: list[str]) -> list[Person]:
    """Do some rounds at once; add what went wrong."""
    people = await sync_to_async(
        lambda: [Person(random.Random(chance.random()), server.ws_url, server.url) for _ in range(count)]
    )()
    saved: dict[str, float] = {}
    finals: dict[Person, dict[str, str]] = {}
    stop, ended = threading.Event(), asyncio.Event()
    saving, changing = background(lambda: save(people, saved, chance.random(), stop)), None
    watching = [
        asyncio.ensure_future(person.watch(socket, saved, ended))
        for person in people
        for socket in person.sockets
    ]
    try:
        changing = background(lambda: change(people, saved))
        await until(lambda: not changing.is_alive(), SPAN + 60)
        await asyncio.sleep(max(0.0, max(untold_until(person) for person in people) - time.monotonic()))
        stop.set()
        await until(lambda: not saving.is_alive(), 10)
        for person in people:
            finals[person] = {}
            for name in person.clients:
                finals[person][name] = await sync_to_async(person.save)(name, saved)
        with contextlib.suppress(TimeoutError):
            await until(lambda: not any(person.wrongs(finals[person]) for person in people), PROMPT * 2)
        await asyncio.sleep(0.2)  # what comes too late to be right
        wrongs += [wrong for person in people for wrong in person.wrongs(finals[person])]
    finally:
        stop.set()
        ended.set()
        for person in people:
            for socket in person.sockets:
                if socket.raw is not None:
                    await socket.raw.close()
        await asyncio.gather(*watching)
        for thread in (saving, changing):
            if thread is not None:
                await until(lambda thread=thread: not thread.is_alive(), 60)
    return people


def untold_until(person: Person) -> float:
    """Return when the last change of a person's access has been found."""
    return max((period.found for period in person.history[:-1]), default=0.0)


def save(people: list[Person], saved: dict[str, float], seed: float, stop: threading.Event) -> None:
    chance = random.Random(seed)
    while not stop.wait(1 / EVENTS_PER_SECOND):
        person = chance.choice(people)
        person.save(chance.choice(list(person.clients)), saved)


def change(people: list[Person], saved: dict[str, float]) -> None:
    begin = time.monotonic()
    due = [
        (moment, index, name)
        for index, person in enumerate(people)
        for moment, name in zip(person.moments, person.changes, strict=True)
    ]
    for moment, index, name in sorted(due):
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        people[index].change(name)
        for client in people[index].clients:  # the first that may not be told any more
            people[index].save(client, saved)


def background(work: Callable[[], None]) -> threading.Thread:
    """Do `work` in a thread with a database connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


async def until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a thread sets no event of this loop
            await asyncio.sleep(0.02)
