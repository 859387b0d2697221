"""What an event costs a process, apart from its deliveries; what an empty process weighs. For `benchmarks.model`."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import cores
from benchmarks.measures.fanout import offered
from benchmarks.results import Outcome, Table, show
from benchmarks.stage import Stage, Tenant, route, token

Say = Callable[[str], None]

STREAMS = 100
PER_SECOND = 300
"""Events a second: a gentle rate, at which nothing waits, so each event goes out for itself."""

FEW, MANY = 1, 11
"""Connections of each client."""

COLUMNS = {"title": "", "cpu_us": "CPU µs each"}


def run(stage: Stage, say: Say) -> Outcome:
    """Offer the same events with few and with many connections: the difference is the deliveries."""
    from engagement.models import User

    tenant = Tenant(STREAMS)
    users = User.objects.bulk_create(
        [
            User(username=f"{tenant.user.username}-{index}", role="client_user", client=client)
            for index, client in enumerate(tenant.clients)
        ]
    )
    streams = [f"client.{client.pk}" for client in tenant.clients]
    cpu, megabytes, handshake = {}, 0.0, 0.0
    for each in (FEW, MANY):
        with stage.portal() as portal:
            if each == FEW:
                stage.load.connect(portal.port, [route(tenant.token, 1, batch=True)], ready="connection_id")
                time.sleep(2)
                megabytes = cores.rss_bytes(portal.pid) / 2**20
                stage.load.do("close")
            routes = [route(token(user), each, batch=True) for user in users]
            used = cores.cpu_seconds(stage.postgres.pid)
            stage.load.connect(portal.port, routes, at_once=50, ready="connection_id")
            handshake = (cores.cpu_seconds(stage.postgres.pid) - used) / (each * STREAMS) * 1e6
            publisher = tenant.announcing(stage.redis.url, streams)
            offered(
                stage, portal.pid, publisher, each, PER_SECOND * each
            )  # the first opens and imports things
            row = offered(stage, portal.pid, publisher, each, PER_SECOND * each)
            cpu[each] = row["cpu_percent"] / 100 / PER_SECOND * 1e6
    delivery = (cpu[MANY] - cpu[FEW]) / (MANY - FEW)
    hearing = cpu[FEW] - FEW * delivery
    table = Table(
        f"What an event costs one process, {PER_SECOND} events a second on {STREAMS} streams", COLUMNS
    )
    for title, cost in (
        ("to receive it", hearing),
        ("to deliver it to a connection, a frame each", delivery),
        ("a handshake, of PostgreSQL", handshake),
    ):
        table.rows.append({"title": title, "cpu_us": cost})
        say(f"{title}: {show(cost)} µs of CPU")
    table.notes.append(
        f"Daphne. From {FEW} and {MANY} connections of each client. A process with one connection, which followed one "
        f"stream, has {megabytes:,.0f} MB resident."
    )
    figures = {
        "hear_cpu_us": hearing,
        "deliver_cpu_us": delivery,
        "process_mb": megabytes,
        "handshake_pg_us": handshake,
    }
    return Outcome([table], figures=figures)
