"""What one of each part takes at most: placing, Redis, a process that hears of events. `benchmarks.model` reads it.

Processor time where it can be told apart, so that a limit is what one core does, on a shared machine too.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from benchmarks import cores
from benchmarks.measures.fanout import offered
from benchmarks.results import Outcome, Table, show, spread
from benchmarks.stage import Stage, Tenant, route, token

Say = Callable[[str], None]

ROUND = 500
"""Events in a full round of the publisher (`REALTIME_PUBLISH_BATCH`)."""

APPLICATIONS = 50
STREAMS = 100
HEARD_PER_SECOND = 300
MESSAGE_BYTES = 900
"""A group message with one event, about."""

SUBSCRIBERS = 20
PUBLISHED_TOGETHER = 50
COLUMNS = {"title": "", "per_second": "a second", "cpu_us": "CPU µs each", "note": ""}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure each part for itself."""
    table = Table("What one of each part takes", COLUMNS)
    figures: dict[str, float] = {}
    for measure in (_placing, _redis, _hearing, _empty_process):
        rows, found = measure(stage)
        table.rows += rows
        figures |= found
        for row in rows:
            say(f"{row['title']}: {show(row.get('per_second'))}/s, {show(row.get('cpu_us'))} µs of CPU")
    table.notes.append(
        "Placing runs alone, one transaction after the other, as the lock on the log has it; with fsync. Its "
        "processor time is PostgreSQL's and the publisher's together. Redis is asked over one connection, "
        f"{PUBLISHED_TOGETHER} messages ahead; its processor time is its own."
    )
    return Outcome([table], figures=figures)


def _placing(stage: Stage) -> tuple[list[dict[str, Any]], dict[str, float]]:
    from engagement.models import Application

    tenant = Tenant(20)
    applications = Application.objects.bulk_create(
        [
            Application(client=client, name=f"Application {number}")
            for client in tenant.clients
            for number in range(APPLICATIONS // 10)
        ]
    )
    rows, figures = [], {}
    with stage.everything_everywhere(), cores.on(cores.ALL):
        for title, key, limit, count in (
            (f"events placed, {ROUND} a transaction", "placed", ROUND, stage.pick(10_000, 4000)),
            ("events placed, 1 a transaction", "rounds", 1, stage.pick(200, 100)),
        ):
            rates, cpu = [], []
            for _ in range(3):
                took, used = _place(stage, applications, count, limit)
                rates.append(count / took)
                cpu.append(used / count * 1e6)
            rate = spread(rates)["median"]
            figures |= {f"{key}_per_second": rate, f"{key}_cpu_us": spread(cpu)["median"]}
            rows.append({"title": title, "per_second": rate, "cpu_us": spread(cpu)["median"], "note": ""})
    return rows, figures


def _place(stage: Stage, applications: list[Any], count: int, limit: int) -> tuple[float, float]:
    """Return the seconds and the processor seconds of placing `count` events, `limit` in a transaction."""
    from realtime.events import placing
    from realtime.models import Kind, Outbox

    Outbox.objects.bulk_create(
        [
            Outbox(
                tx=uuid.uuid4(),
                kind=Kind.INTERACTION,
                client_id=application.client_id,
                msp_id=application.client.msp_id,
                key=f"app:{application.pk}",
                facts='{"count":1,"flagged":0}',
            )
            for application in (applications[index % len(applications)] for index in range(count))
        ],
        batch_size=2000,
    )
    used, started = cores.cpu_seconds(stage.postgres.pid) + time.process_time(), time.perf_counter()
    placed = 0
    while placed < count:
        placed += len(placing.place(limit, "default")[0])
    took = time.perf_counter() - started
    return took, cores.cpu_seconds(stage.postgres.pid) + time.process_time() - used


def _redis(stage: Stage) -> tuple[list[dict[str, Any]], dict[str, float]]:
    count = stage.pick(100_000, 40_000)
    rate_alone, cpu_alone = _publish(stage, 0, count)
    _, cpu_all = _publish(stage, SUBSCRIBERS, count // 4)
    copy = (cpu_all - cpu_alone) / SUBSCRIBERS
    rows = [
        {
            "title": "Redis: PUBLISH that nobody hears",
            "per_second": rate_alone,
            "cpu_us": cpu_alone,
            "note": "",
        },
        {
            "title": "Redis: a copy to a subscriber",
            "per_second": None,
            "cpu_us": copy,
            "note": f"of {SUBSCRIBERS} subscribers",
        },
    ]
    return rows, {"publish_cpu_us": cpu_alone, "copy_cpu_us": copy}


def _publish(stage: Stage, subscribers: int, count: int) -> tuple[float, float]:
    """Return the messages a second of one publisher, and Redis's processor time of each in µs."""
    channel = f"bench-{uuid.uuid4()}".encode()
    listening = [_connected(stage) for _ in range(subscribers)]
    readers = [threading.Thread(target=_read_away, args=(one,), daemon=True) for one in listening]
    for one in listening:
        one.sendall(b"SUBSCRIBE " + channel + b"\r\n")
    for reader in readers:
        reader.start()
    command = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
        len(channel),
        channel,
        MESSAGE_BYTES,
        b"x" * MESSAGE_BYTES,
    )
    with _connected(stage) as publisher:
        used, started = cores.cpu_seconds(stage.redis.pid), time.perf_counter()
        for _ in range(count // PUBLISHED_TOGETHER):
            publisher.sendall(command * PUBLISHED_TOGETHER)
            answered = 0
            while answered < PUBLISHED_TOGETHER:
                answered += publisher.recv(65536).count(b"\n")
        took = time.perf_counter() - started
    cpu = cores.cpu_seconds(stage.redis.pid) - used
    for one in listening:
        one.shutdown(socket.SHUT_RDWR)
    for reader in readers:
        reader.join(5)
    for one in listening:
        one.close()
    return count / took, cpu / count * 1e6


def _connected(stage: Stage) -> socket.socket:
    url = urlsplit(stage.redis.url)
    connection = socket.create_connection((url.hostname or "", url.port or 0), 10)
    connection.sendall(f"AUTH {url.password}\r\n".encode())
    answer = connection.recv(100)
    if not answer.startswith(b"+OK"):
        raise ConnectionError(f"Redis: {answer!r}")
    return connection


def _read_away(connection: socket.socket) -> None:
    connection.settimeout(None)
    while connection.recv(1 << 20):
        pass


def _hearing(stage: Stage) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Tell an event's cost to a process from that of each delivery: 1 and 11 connections of each client."""
    from engagement.models import User

    tenant = Tenant(STREAMS)
    users = User.objects.bulk_create(
        [
            User(username=f"{tenant.user.username}-{index}", role="client_user", client=client)
            for index, client in enumerate(tenant.clients)
        ]
    )
    streams = [f"client.{client.pk}" for client in tenant.clients]
    cpu = {}
    for each in (1, 11):
        with stage.portal() as portal:
            routes = [route(token(user), each, batch=True) for user in users]
            stage.load.connect(portal.port, routes, at_once=50, ready="connection_id")
            publisher = tenant.announcing(stage.redis.url, streams)
            offered(stage, portal.pid, publisher, each, HEARD_PER_SECOND * each)  # warm
            row = offered(stage, portal.pid, publisher, each, HEARD_PER_SECOND * each)
            cpu[each] = row["cpu_percent"] / 100 / HEARD_PER_SECOND * 1e6
    delivery = (cpu[11] - cpu[1]) / 10
    hearing = cpu[1] - delivery
    rows = [
        {
            "title": title,
            "per_second": 1e6 / cost,
            "cpu_us": cost,
            "note": f"at {HEARD_PER_SECOND} events a second",
        }
        for title, cost in (
            ("a process hears an event of a client's stream", hearing),
            ("a process delivers it to a connection, a frame each", delivery),
        )
    ]
    return rows, {"hear_cpu_us": hearing, "deliver_cpu_us": delivery}


def _empty_process(stage: Stage) -> tuple[list[dict[str, Any]], dict[str, float]]:
    with stage.portal() as portal:
        stage.load.connect(portal.port, [route(Tenant().token, 1, batch=True)], ready="connection_id")
        time.sleep(2)
        megabytes = cores.rss_bytes(portal.pid) / 2**20
    row = {"title": "a process without connections", "note": f"{megabytes:,.0f} MB resident"}
    return [row], {"process_mb": megabytes}
