"""Faults: a layer that is away, a database that restarts, a process that dies, many writers at once."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from realtime.models import Event, Kind, Outbox
from tests.factories import AlertFactory
from tests.live import database_url_of_tests
from tests.realtime.conftest import Tenant, make_tenant
from tests.realtime.doors import GENERAL
from tests.servers import PortalServer, PostgresServer, RedisServer, warm
from tests.servers.portal import ROOT
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)

SLOW_SWEEP = {"REALTIME_SWEEP_SHARED": "5"}
"""With a shared layer: what arrives sooner was announced."""

QUICK = 0.3
"""Seconds: far less than a sweep, or than any timeout of Redis or of an announcement. How quick, `make bench` says."""


def details(number: object) -> str:
    return f"alert {number}"


async def save(tenant: Tenant, number: object) -> float:
    """Save an alert; return how long that took."""
    begin = time.perf_counter()
    await sync_to_async(AlertFactory)(
        client=tenant.client, application=tenant.application, details=details(number)
    )
    return time.perf_counter() - begin


async def arrives(socket: Socket, tenant: Tenant, number: object) -> float:
    """Save an alert and wait for its event; return how long that took."""
    begin = time.perf_counter()
    await save(tenant, number)
    [event] = await socket.events(1, 10)
    assert event["data"]["details"] == details(number)
    return time.perf_counter() - begin


def manage(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` in a process of its own, on the test database."""
    return warm.manage(*arguments, environment={"DATABASE_URL": database_url_of_tests(), **(env or {})})


# Redis


@pytest.fixture
def redis(settings: Any) -> Any:
    """Start a Redis of this test's own, and announce to it from this process."""
    with RedisServer() as server:
        hosts = [{"address": server.url, "socket_timeout": 5, "socket_connect_timeout": 2}]
        backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
        settings.CHANNEL_LAYERS = {
            "default": {"BACKEND": backend, "CONFIG": {"hosts": hosts, "prefix": "portal"}}
        }
        yield server


async def at_once_again(socket: Socket, tenant: Tenant) -> None:
    """Wait until events arrive by announcement: far sooner than any sweep."""
    deadline = time.monotonic() + 20
    while await arrives(socket, tenant, uuid.uuid4()) > QUICK:
        assert time.monotonic() < deadline, "announcements never came back"


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_without_redis_saves_are_as_quick_and_the_sweep_delivers(tenant, portal_server, redis, kind):
    server = await sync_to_async(portal_server)(server=kind, env={**SLOW_SWEEP, "REDIS_URL": redis.url})
    async with tenant.socket(server) as socket:
        await at_once_again(socket, tenant)
        usual = [await arrives(socket, tenant, number) for number in range(20)]
        assert statistics.median(usual) < QUICK

        for end, begin in ((redis.kill, redis.start), (redis.pause, redis.resume)):
            await sync_to_async(end)()
            took = [await save(tenant, number) for number in range(20)]
            assert statistics.median(took) < QUICK
            assert max(took) < 1
            events = await socket.events(20, 12)
            assert [event["data"]["details"] for event in events] == [details(number) for number in range(20)]
            await sync_to_async(begin)()
            await at_once_again(socket, tenant)
    # channels_redis logs each lost connection with its traceback; what is ours is a warning in one line.
    assert [
        line for line in server.log_text().splitlines() if "[error" in line and "[realtime." in line
    ] == []


@pytest.mark.postgres
async def test_between_two_servers_events_arrive_at_once(tenant, portal_server, redis):
    env = {**SLOW_SWEEP, "REDIS_URL": redis.url}
    servers = [await sync_to_async(portal_server)(server=kind, env=env) for kind in ("daphne", "uvicorn")]
    async with tenant.socket(servers[0]) as first, tenant.socket(servers[1]) as second:
        await at_once_again(first, tenant)
        await second.events(
            first_count := (await first.ask({"type": "ping"}))["positions"][f"msp.{tenant.msp.pk}"]
        )
        took = []
        for number in range(20):
            begin = time.perf_counter()
            await save(tenant, number)
            answers = await asyncio.gather(first.events(1), second.events(1))
            took.append(time.perf_counter() - begin)
            assert {events[0]["seq"] for events in answers} == {first_count + number + 1}
        assert statistics.median(took) < QUICK


# PostgreSQL


SETUP = """
from tests.factories import UserFactory
from tests.realtime.conftest import make_tenant
from tests.sockets import token_for
tenant = make_tenant()
print(tenant.client.pk, token_for(tenant.msp_user))
"""


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.longest
async def test_sockets_outlive_a_restart_of_postgresql():
    run = sync_to_async(manage)
    with PostgresServer(durable=False) as postgres:
        env = {"DATABASE_URL": postgres.url, "REDIS_PREFIX": uuid.uuid4().hex}
        await run("migrate", "--verbosity", "0", env=env)
        client, token = (await run("shell", "-c", SETUP, env=env)).stdout.split()[-2:]
        redis_url = os.environ["REDIS_URL"]
        portal = PortalServer(database_url=postgres.url, redis_url=redis_url, environment=env, warm=True)
        with portal as server:
            async with Socket(f"{server.ws_url}{GENERAL}", token=token) as socket:
                for number in (1, 2):
                    await run(
                        "emit_event", "alert", "--client", client, "--details", details(number), env=env
                    )
                    [event] = await socket.events(1, 15)
                    assert (event["data"]["details"], event["seq"]) == (details(number), number)
                    await sync_to_async(postgres.restart)()
                assert (await socket.ask({"type": "ping"}))["type"] == "pong"
                answer = await socket.ask({"type": "request_update", "client_id": client})
                assert answer["type"] in ("engagement_update", "error"), answer
            assert "Traceback" not in server.log_text()


# Other processes


async def test_events_of_another_process_arrive(tenant, server):
    async with tenant.socket(server) as socket:
        await sync_to_async(manage)(
            "emit_event", "alert", "--client", str(tenant.client.pk), "--details", "from afar"
        )
        [event] = await socket.events(1)
    assert event["data"]["details"] == "from afar"


async def test_what_a_dead_process_left_unplaced_is_placed_by_the_hub(tenant, server):
    """A process killed after its commit and before placing leaves rows in the outbox, and nobody to wake."""

    def leave(number: int) -> None:
        facts = {"type": "alert", "data": {"details": details(number)}, "severity": "high"}
        Outbox.objects.create(
            tx=uuid.uuid4(),
            kind=Kind.MESSAGE,
            client_id=tenant.client.pk,
            msp_id=tenant.msp.pk,
            facts=msgspec.json.encode(facts).decode(),
        )

    async with tenant.socket(server) as socket:
        for number in range(3):
            await sync_to_async(leave)(number)
        events = await socket.events(3)
    assert [event["data"]["details"] for event in events] == [details(number) for number in range(3)]
    assert not await Outbox.objects.aexists()


DIES = """
import os, signal
from django.db import transaction
from engagement.models import Client
from realtime.events import publisher
from tests.factories import AlertFactory
publisher.wake = lambda using: os.kill(os.getpid(), signal.SIGKILL)
AlertFactory(client=Client.objects.get(pk="{}"), details="last words")
"""


async def test_a_process_killed_right_after_its_commit_loses_nothing(tenant, daphne):
    async with tenant.socket(daphne) as socket:
        with pytest.raises(subprocess.CalledProcessError) as died:
            await sync_to_async(manage)("shell", "-c", DIES.format(tenant.client.pk))
        assert died.value.returncode == -9
        [event] = await socket.events(1)
    assert event["data"]["details"] == "last words"


# Many writers


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` in threads at once, each with its own database connection; raise what one of them raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


async def test_writers_at_once_make_one_stream_without_gap_double_or_disorder(tenant, server):
    writers, each = 8, 15
    other = await sync_to_async(make_tenant)()

    def write(number: int) -> None:
        for count in range(each):
            AlertFactory(client=tenant.client, application=None, details=f"{number} {count}")
            AlertFactory(client=other.client, application=None, details=f"{number} {count}")

    sockets = [
        tenant.socket(server),
        tenant.socket(server, tenant.client_user, path=f"{GENERAL}?batch=1"),
        other.socket(server),
    ]
    async with AsyncExitStack() as stack:
        for socket in sockets:
            await stack.enter_async_context(socket)
        await sync_to_async(in_threads, thread_sensitive=False)(writers, write)
        for socket in sockets:
            events = await socket.events(writers * each, 20)
            assert [event["seq"] for event in events] == list(range(1, writers * each + 1))
            said = [event["data"]["details"] for event in events]
            assert len(set(said)) == writers * each
            for number in range(writers):
                mine = [text for text in said if text.startswith(f"{number} ")]
                assert mine == [f"{number} {count}" for count in range(each)], "a writer's own order holds"
    positions = await sync_to_async(
        lambda: list(Event.objects.order_by("position").values_list("position", flat=True))
    )()
    assert positions == list(range(1, 2 * writers * each + 1))


async def test_publishers_of_several_processes_share_one_stream(tenant, daphne):
    count = 40

    def emit() -> None:
        env = {**os.environ, "DATABASE_URL": database_url_of_tests()}
        command = [
            sys.executable,
            "manage.py",
            "emit_event",
            "alert",
            "--count",
            str(count),
            "--client",
            str(tenant.client.pk),
        ]
        processes = [
            subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) for _ in range(2)
        ]
        for number in range(count):
            AlertFactory(client=tenant.client, application=tenant.application, details=details(number))
        assert [process.wait(60) for process in processes] == [0, 0]

    async with tenant.socket(daphne) as socket:
        await sync_to_async(emit)()
        events = await socket.events(3 * count, 20)
    assert [event["seq"] for event in events] == list(range(1, 3 * count + 1))
    mine = [event["data"]["details"] for event in events if event["data"]["details"].startswith("alert ")]
    assert mine == [details(number) for number in range(count)]
