"""Two processes against one: `manage.py serve --processes N`, all cores for all.

On two cores this cannot show twice the deliveries: the load client, Redis and both processes share them. It shows
what decides: the processor time of a delivery, summed over all processes. Where two processes need no more of it than
one, each brings its whole rate to a core of its own, and N cores deliver N times as much, up to what Redis and placing
take (`benchmarks.model`). Each process hears and encodes every event for itself: that part is paid N times, and is what
the ratio is above 1 by; with 250 connections to a process it is small beside the deliveries.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import cores
from benchmarks.measures.fanout import sustained
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage, Tenant, route

Say = Callable[[str], None]

CONNECTIONS = 500
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
    """Measure frames per event, where the server and not the load client is the limit."""
    table = Table("Processes that share one port, a frame per event, no pinning", COLUMNS)
    with stage.everything_everywhere():
        for count in (1, 2):
            tenant = Tenant()
            with stage.portal(processes=count, on=cores.ALL) as portal:
                stage.load.connect(portal.port, [route(tenant.token, CONNECTIONS, batch=False)])
                row = sustained(stage, portal.pid, tenant.announcing(stage.redis.url), CONNECTIONS)
            row |= {"title": f"{count} process{'es' * (count > 1)}", "capacity": 1e6 / row["cpu_us"]}
            row["times"] = row["per_second"] / table.rows[0]["per_second"] if table.rows else 1.0
            table.rows.append(row)
            say(f"{row['title']}: {show(row['per_second'])}/s, {show(row['cpu_us'])} µs of CPU a delivery")
    table.notes.append(
        f"On {len(cores.ALL)} cores the load client and Redis need a good part of one, so two processes cannot "
        "deliver twice as much here; what tells is the processor time a delivery costs: where it stays "
        "the same, a process on a core of its own adds its whole rate."
    )
    ratio = table.rows[1]["cpu_us"] / table.rows[0]["cpu_us"]
    target = Target(
        "CPU of a delivery with two processes, times that with one",
        f"≤ {WANTED_CPU_RATIO}",
        show(ratio),
        ratio <= WANTED_CPU_RATIO,
    )
    return Outcome([table], [target], {"rows": table.rows})
