"""One process with 50, 500, 2,000 and 5,000 connections to one stream: what grows, and how."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import cores
from benchmarks.measures.fanout import OFFERED, offered, sustained
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage, Tenant, route

Say = Callable[[str], None]

MOST = 5000
WANTED_IDLE_KB = 30
SETTLE_SECONDS = 2.0
EVENTS_AHEAD = 300_000
"""Deliveries on the way at once, however many sockets: the load client's core is the smaller half of the machine."""

COLUMNS = {
    "connections": "connections",
    "server": "server",
    "per_second": "deliveries/s, batches",
    "spread": "least – most",
    "cpu_us": "CPU µs a delivery",
    "p50_ms": f"p50 ms at {OFFERED:,}/s",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "handshakes": "handshakes/s",
    "idle_kb": "KB a connection, idle",
    "busy_kb": "busy",
    "cpu_idle": "CPU % idle",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure each size on a fresh server; Daphne, and the largest on uvicorn too."""
    table = Table("Cost by number of connections, one process on one core", COLUMNS)
    sizes = stage.pick(
        [(50, "daphne"), (500, "daphne"), (2000, "daphne"), (MOST, "daphne"), (MOST, "uvicorn")],
        [(50, "daphne"), (MOST, "daphne")],
    )
    for count, kind in sizes:
        row = _size(stage, kind, count)
        table.rows.append(row)
        say(
            f"{count:,} on {kind}: {show(row['per_second'])}/s, p99 {show(row['p99_ms'])} ms, "
            f"{show(row['idle_kb'])} KB each, {show(row['handshakes'])} handshakes/s"
        )
    table.notes.append(
        "Memory is the server's resident memory above what it was with one connection opened and closed; busy is after "
        "the sustained rounds. Handshakes bring a JWT, are authenticated against PostgreSQL, and wait for the "
        "`connection` frame, 100 at a time. CPU idle: of one core, with nothing happening."
    )
    idle = next(
        row["idle_kb"] for row in table.rows if row["connections"] == MOST and row["server"] == "daphne"
    )
    target = Target(
        f"idle memory of each of {MOST:,} connections",
        f"≤ {WANTED_IDLE_KB} KB",
        f"{show(idle)} KB",
        idle <= WANTED_IDLE_KB,
    )
    return Outcome([table], [target], {"rows": table.rows})


def _size(stage: Stage, kind: Any, count: int) -> dict[str, Any]:
    tenant = Tenant()
    with stage.portal(kind) as portal:
        ready = {"ready": "connection_id"}
        stage.load.connect(portal.port, [route(tenant.token, 1, batch=True)], **ready)
        stage.load.do("close")
        time.sleep(SETTLE_SECONDS)
        empty = cores.rss_bytes(portal.pid)
        opened = stage.load.connect(
            portal.port, [route(tenant.token, count, batch=True)], at_once=100, **ready
        )
        time.sleep(SETTLE_SECONDS)
        idle = cores.rss_bytes(portal.pid)
        used = cores.cpu_seconds(portal.pid)
        time.sleep(SETTLE_SECONDS)
        cpu_idle = (cores.cpu_seconds(portal.pid) - used) / SETTLE_SECONDS * 100
        publisher = tenant.announcing(stage.redis.url)
        at_rate = offered(stage, portal.pid, publisher, count, OFFERED)
        row = sustained(stage, portal.pid, publisher, count, max(4, min(400, EVENTS_AHEAD // count)))
        busy = cores.rss_bytes(portal.pid)
    return {
        "connections": count,
        "server": kind,
        "handshakes": count / opened["seconds"],
        "idle_kb": (idle - empty) / count / 1024 if count >= 500 else None,
        "busy_kb": (busy - empty) / count / 1024 if count >= 500 else None,
        "cpu_idle": cpu_idle,
        **row,
        **at_rate,
    }
