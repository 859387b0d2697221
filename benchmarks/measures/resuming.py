"""A storm: 2,000 sockets connect at once and resume 100 events back, on a server that has just started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import cores
from benchmarks.load.receiving import stamp
from benchmarks.results import Outcome, Table, show
from benchmarks.stage import Stage, Tenant, route

Say = Callable[[str], None]

SOCKETS, BACK, EVENTS = 2000, 100, 300
COLUMNS = {
    "title": "where the missing events are",
    "sockets": "sockets",
    "seconds": "s until all have all",
    "per_second": "sockets/s",
    "events": "events replayed/s",
    "cpu_ms": "server CPU ms a socket",
    "missing": "lost",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure twice on one server: read from the rows, then from memory."""
    from django.db import transaction

    from realtime.broadcast import broadcast_alert
    from realtime.events import publisher, reading

    tenant = Tenant()
    client = str(tenant.clients[0].pk)
    with transaction.atomic():
        for index in range(EVENTS):
            details = f"{stamp(index)} Prompt with customer records to an unsanctioned service " + "x" * 440
            broadcast_alert(
                client, str(tenant.msp.pk), {"severity": "high", "details": details, "app": "ChatGPT"}
            )
    if not publisher.flush(30) or reading.head(tenant.stream) != EVENTS:
        raise RuntimeError("The events to resume over were not placed.")
    sockets = stage.pick(SOCKETS, 500)
    query = f"&positions={tenant.stream}:{EVENTS - BACK}&epoch={reading.epoch()}"
    table = Table(f"Resume storm: each socket authenticates and gets the {BACK} events it missed", COLUMNS)
    with stage.portal() as portal:
        for title in ("in the rows (the server has just started)", "in memory"):
            used = cores.cpu_seconds(portal.pid)
            routes: list[dict[str, Any]] = [route(tenant.token, sockets, batch=True, query=query)]
            opened = stage.load.connect(portal.port, routes, at_once=sockets)
            answer = stage.load.do("watch", expected=sockets * BACK, seconds=30, fresh=False)
            seconds = opened["seconds"] + answer["seconds"]
            table.rows.append(
                {
                    "title": title,
                    "sockets": sockets,
                    "seconds": seconds,
                    "per_second": sockets / seconds,
                    "events": sockets * BACK / seconds,
                    "cpu_ms": (cores.cpu_seconds(portal.pid) - used) / sockets * 1000,
                    "missing": answer["missing"],
                }
            )
            stage.load.do("close")
            say(f"{title}: {sockets:,} sockets in {show(seconds)} s, {answer['missing']} events missing")
    return Outcome([table], figures={"rows": table.rows})
