"""From `Alert.save()` in another process to the sockets: 100 saves a second, 200 connections.

PostgreSQL (fsync on), Redis, the server, the saving process and the load client share all cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import cores
from benchmarks.load.receiving import stamp
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage, Tenant, route
from tests.servers.portal import Kind

Say = Callable[[str], None]

CONNECTIONS, RATE = 200, 100
WANTED_MS = {"p50_ms": 8, "p99_ms": 40}
COLUMNS = {
    "title": "server",
    "p50_ms": "p50 ms",
    "spread": "least – most",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "max_ms": "most ms",
    "save_p50_ms": "save() itself, p50 ms",
    "missing": "lost",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure on Daphne and uvicorn."""
    table = Table(
        f"save() to socket: {RATE} saves/s, {CONNECTIONS} connections, everything on the same cores", COLUMNS
    )
    kinds: tuple[Kind, ...] = ("daphne", "uvicorn")
    with stage.everything_everywhere(), cores.on(cores.ALL):
        cores.move(stage.load.pid, cores.ALL)
        try:
            for kind in kinds:
                row = _server(stage, kind)
                table.rows.append(row)
                say(f"{kind}: p50 {show(row['p50_ms'])} ms, p99 {show(row['p99_ms'])} ms")
        finally:
            cores.move(stage.load.pid, cores.LOAD)
    table.notes.append(
        "From just before save() is called to the event's receipt by each socket: the INSERTs, the commit with fsync, "
        "sequencing it in two streams (a second commit), Redis, the hub, the socket. Of several rounds, that with the "
        "median p50."
    )
    row = table.rows[0]
    targets = [
        Target(f"save() to socket, {key[:3]}", f"≤ {most} ms", f"{show(row[key])} ms", row[key] <= most)
        for key, most in WANTED_MS.items()
    ]
    return Outcome([table], targets, {"rows": table.rows})


def _server(stage: Stage, kind: Kind) -> dict[str, Any]:
    from engagement.models import Alert

    tenant = Tenant()
    seconds, rounds = stage.pick(6, 4), []
    with stage.portal(kind, on=cores.ALL) as portal:
        stage.load.connect(portal.port, [route(tenant.token, CONNECTIONS, batch=True)], ready="connection_id")
        _save(Alert, tenant, RATE)  # the first saves open connections and start the publisher
        time.sleep(1)
        count = seconds * RATE
        for _ in range(stage.pick(5, 1)):
            stage.load.begin("watch", expected=count * CONNECTIONS, seconds=seconds + 10)
            time.sleep(0.2)
            took = sorted(_save(Alert, tenant, count))
            rounds.append({"save_p50_ms": took[len(took) // 2] * 1000, **stage.load.answer(seconds + 30)})
    rounds.sort(key=lambda answer: answer["p50_ms"])
    medians = rounds[len(rounds) // 2]
    return {
        "title": kind,
        **medians,
        "spread": f"{show(rounds[0]['p50_ms'])} – {show(rounds[-1]['p50_ms'])}",
        "missing": sum(answer["missing"] for answer in rounds),
    }


def _save(alert_model: Any, tenant: Tenant, count: int) -> list[float]:
    """Save `count` alerts at `RATE`; return how many seconds each save took its caller."""
    took = []
    started = time.perf_counter()
    for index in range(count):
        if (wait := started + index / RATE - time.perf_counter()) > 0:
            time.sleep(wait)
        details = f"{stamp(time.monotonic_ns())} Prompt with customer records to an unsanctioned service"
        alert = alert_model(client=tenant.clients[0], severity="high", family="Data loss", details=details)
        before = time.perf_counter()
        alert.save()
        took.append(time.perf_counter() - before)
    return took
