"""Many small tenants: 1,000 clients, 5 connections each, events to one client after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.measures.fanout import offered, sustained
from benchmarks.results import Outcome, Table, show
from benchmarks.stage import Stage, Tenant, route, token

Say = Callable[[str], None]

CLIENTS, EACH = 1000, 5
EVENTS_AHEAD = 2000
COLUMNS = {
    "title": "",
    "per_second": "deliveries/s",
    "events": "events/s",
    "cpu_us": "CPU µs a delivery",
    "handshakes": "handshakes/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "offered": "at offered/s",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure client users on their own streams; an event reaches five sockets."""
    from engagement.models import User

    clients = stage.pick(CLIENTS, 200)
    tenant = Tenant(clients)
    users = User.objects.bulk_create(
        [
            User(username=f"{tenant.user.username}-{index}", role="client_user", client=client)
            for index, client in enumerate(tenant.clients)
        ]
    )
    routes = [route(token(user), EACH, batch=True) for user in users]
    streams = [f"client.{client.pk}" for client in tenant.clients]
    with stage.portal() as portal:
        opened = stage.load.connect(portal.port, routes, at_once=100, ready="connection_id")
        publisher: dict[str, Any] = tenant.announcing(stage.redis.url, streams)
        row = sustained(stage, portal.pid, publisher, EACH, EVENTS_AHEAD)
        row |= offered(stage, portal.pid, publisher, EACH, min(5000, 0.5 * row["per_second"]))
    row |= {
        "title": f"{clients:,} clients × {EACH} connections",
        "events": row["per_second"] / EACH,
        "handshakes": clients * EACH / opened["seconds"],
    }
    say(f"{row['title']}: {show(row['per_second'])}/s, p99 {show(row['p99_ms'])} ms")
    table = Table("Many small tenants, one process on one core", COLUMNS, [row])
    table.notes.append(
        "One event a group message, five sockets an event: what an event costs before it is written counts here. One "
        "huge tenant is the last line of the table by connections; an MSP's stream, into which all its clients' events "
        "go, is what the fan-out table listens to."
    )
    return Outcome([table], figures={"rows": [row]})
