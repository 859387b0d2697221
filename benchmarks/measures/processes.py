"""Two processes against one: `manage.py serve --processes N`, all cores for all.

On two cores this cannot show twice the deliveries: the load client, Redis and both processes share them. It shows
what decides: the processor time of a delivery, summed over all processes. Where two processes need no more of it than
one, each brings its whole rate to a core of its own, and N cores deliver N times as much, up to what Redis and placing
take (`benchmarks.model`). Each process hears and encodes every event for itself: that part is paid N times, and is what
the ratio is above 1 by; with 250 connections to a process it is small beside the deliveries.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks import cores
from benchmarks.measures.fanout import sustained
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage, Tenant, route

Say = Callable[[str], None]

CONNECTIONS = 500
TURNS = 5
COLUMNS = {
    "title": "",
    "per_second": "deliveries/s",
    "spread": "least – most",
    "cpu_us": "CPU µs a delivery",
    "capacity": "deliveries per CPU second, all processes",
    "times": "times one process",
}
WANTED_CPU_RATIO = 1.15


def run(stage: Stage, say: Say) -> Outcome:
    """Measure frames per event, where the server and not the load client is the limit; one process and two in turn."""
    table = Table("Processes that share one port, a frame per event, no pinning", COLUMNS)
    turns: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    with (
        stage.everything_everywhere(),
        stage.portal(processes=1, on=cores.ALL) as one,
        stage.portal(processes=2, on=cores.ALL) as two,
    ):
        for _ in range(stage.pick(TURNS, 1)):
            for count, portal in ((1, one), (2, two)):
                tenant = Tenant()
                stage.load.connect(portal.port, [route(tenant.token, CONNECTIONS, batch=False)])
                turns[count].append(
                    sustained(stage, portal.pid, tenant.announcing(stage.redis.url), CONNECTIONS)
                )
                stage.load.do("close")
    for count, rows in turns.items():
        cpu_us = statistics.median(row["cpu_us"] for row in rows)
        row = {
            "title": f"{count} process{'es' * (count > 1)}",
            "per_second": statistics.median(row["per_second"] for row in rows),
            "spread": f"{show(min(row['least'] for row in rows))} – {show(max(row['most'] for row in rows))}",
            "cpu_us": cpu_us,
            "capacity": 1e6 / cpu_us,
        }
        row["times"] = row["per_second"] / table.rows[0]["per_second"] if table.rows else 1.0
        table.rows.append(row)
        say(f"{row['title']}: {show(row['per_second'])}/s, {show(row['cpu_us'])} µs of CPU a delivery")
    ratios = sorted(after["cpu_us"] / before["cpu_us"] for before, after in zip(*turns.values(), strict=True))
    ratio = statistics.median(ratios)
    table.notes.append(
        f"One process and two in turn, {len(ratios)} times; two take {show(ratio)} times one's processor time for a "
        f"delivery ({show(ratios[0])} – {show(ratios[-1])})."
    )
    table.notes.append(
        f"On {len(cores.ALL)} cores the load client and Redis need a good part of one, so two processes cannot "
        "deliver twice as much here; what tells is the processor time a delivery costs: where it stays "
        "the same, a process on a core of its own adds its whole rate."
    )
    target = Target(
        "CPU of a delivery with two processes, times that with one",
        f"≤ {WANTED_CPU_RATIO}",
        show(ratio),
        ratio <= WANTED_CPU_RATIO,
    )
    return Outcome([table], [target], {"rows": table.rows})
