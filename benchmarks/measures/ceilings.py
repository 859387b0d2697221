"""What sequencing and Redis take at most: `benchmarks.model` reads it.

Processor time where it can be told apart, so that a limit is what one core does, on a shared machine too.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from benchmarks import cores
from benchmarks.results import Outcome, Table, show, spread
from benchmarks.stage import Stage, Tenant

Say = Callable[[str], None]

ROUND = 500
"""Events in a full round of the publisher (`REALTIME_PUBLISH_BATCH`)."""

APPLICATIONS = 50
FACTS = json.dumps({"count": 1, "flagged": 0, "day": datetime.now(UTC).date().isoformat()})
MESSAGE_BYTES = 900
"""A group message with one event, about."""

WRITERS = 8
SUBSCRIBERS = 20
PUBLISHED_TOGETHER = 2
"""What an event is published with: to its client's group and its MSP's."""

COLUMNS = {"title": "", "per_second": "a second", "cpu_us": "CPU µs each", "note": ""}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure each part for itself."""
    table = Table("What sequencing and Redis take", COLUMNS)
    figures: dict[str, float] = {}
    for measure in (_placing, _saving, _redis):
        rows, found = measure(stage)
        table.rows += rows
        figures |= found
        for row in rows:
            say(f"{row['title']}: {show(row.get('per_second'))}/s, {show(row.get('cpu_us'))} µs of CPU")
    table.notes.append(
        "Sequencing runs alone, one batch after the other; with fsync. Its "
        "processor time is PostgreSQL's and the publisher's together. Redis is asked over one connection, "
        f"{PUBLISHED_TOGETHER} messages at a time, as an event is published; its processor time is its own."
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
    rates, cpu, count = [], [], stage.pick(10_000, 4000)
    with stage.everything_everywhere(), cores.on(cores.ALL):
        for _ in range(3):
            took, used = _place(stage, applications, count)
            rates.append(count / took)
            cpu.append(used / count * 1e6)
    figures = {"placed_per_second": spread(rates)["median"], "placed_cpu_us": spread(cpu)["median"]}
    title = f"events sequenced, {ROUND} a batch"
    row = {
        "title": title,
        "per_second": figures["placed_per_second"],
        "cpu_us": figures["placed_cpu_us"],
        "note": "",
    }
    return [row], figures


def _place(stage: Stage, applications: list[Any], count: int) -> tuple[float, float]:
    """Return the seconds and the processor seconds of placing `count` events."""
    from realtime.events import placing

    _record([applications[index % len(applications)] for index in range(count)])
    used, started = cores.cpu_seconds(stage.postgres.pid) + time.process_time(), time.perf_counter()
    placed = 0
    while placed < count:
        placed += len(placing.place(ROUND, "default")[0])
    took = time.perf_counter() - started
    return took, cores.cpu_seconds(stage.postgres.pid) + time.process_time() - used


def _record(applications: list[Any]) -> None:
    from realtime.models import Outbox

    Outbox.objects.bulk_create(
        Outbox(
            tx=uuid.uuid4(),
            kind="interaction",
            client_id=application.client_id,
            msp_id=application.client.msp_id,
            key=f"app:{application.pk}",
            facts=FACTS,
        )
        for application in applications
    )


def _saving(stage: Stage) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Save interactions from several threads, and place them: PostgreSQL's processor time for each."""
    from django.db import connections

    from engagement.models import Application, Interaction
    from realtime.events import publisher

    tenant, each = Tenant(WRITERS), stage.pick(200, 60)
    applications = [
        Application.objects.create(client=client, name="Application") for client in tenant.clients
    ]

    def save(application: Any) -> None:
        for _ in range(each):
            Interaction(client=application.client, application=application).save()
        connections.close_all()

    used, started = cores.cpu_seconds(stage.postgres.pid), time.perf_counter()
    with stage.everything_everywhere(), cores.on(cores.ALL), ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(save, applications))
        if not publisher.flush(30):
            raise RuntimeError("Events were not placed within 30 s.")
    count = WRITERS * each
    cpu = (cores.cpu_seconds(stage.postgres.pid) - used) / count * 1e6
    row = {
        "title": "PostgreSQL: a tracked save and its sequencing",
        "per_second": count / (time.perf_counter() - started),
        "cpu_us": cpu,
        "note": f"{WRITERS} writers",
    }
    return [row], {"save_pg_us": cpu}


def _redis(stage: Stage) -> tuple[list[dict[str, Any]], dict[str, float]]:
    count = stage.pick(60_000, 20_000)
    rate_alone, cpu_alone = _publish(stage, 0, count)
    _, cpu_all = _publish(stage, SUBSCRIBERS, count // 4)
    copy = (cpu_all - cpu_alone) / SUBSCRIBERS
    rows = [
        {
            "title": "Redis: PUBLISH that nobody receives",
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
