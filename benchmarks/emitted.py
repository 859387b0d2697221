"""`python -m benchmarks.emitted`: from `manage.py emit_event` to raw WebSockets on two server processes.

Each event is emitted by a process of its own, as a person would type it. Its time is from the moment it was recorded
(the frame's `timestamp`) to its receipt: what the command takes to start is the person's, not the product's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from websockets.sync.client import connect

from benchmarks import backend
from benchmarks.chaos.judge import percentile
from tests.servers import PortalServer
from tests.servers.portal import ROOT

RESULTS = ROOT / "benchmarks" / "results"
WAIT_SECONDS = 10.0
BOUND_MS = {"postgres": 100, "sqlite": 1500}
"""The median wanted: with Redis on either of two processes; without, by the sweep."""


class Watcher(threading.Thread):
    """A raw WebSocket that takes the time of `count` alerts."""

    def __init__(self, stack: ExitStack, url: str, count: int) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self._count = count
        self._socket = stack.enter_context(connect(url, compression=None))
        self._socket.recv(timeout=WAIT_SECONDS)
        self.start()

    def run(self) -> None:
        while len(self.seconds) < self._count:
            frame = json.loads(self._socket.recv())
            if frame["type"] == "alert":
                recorded = datetime.fromisoformat(frame["timestamp"])
                self.seconds.append((datetime.now(UTC) - recorded).total_seconds())


def measure(servers: list[PortalServer], events: int) -> list[dict[str, Any]]:
    """Emit events and return a row for each server. Needs Django set up on their database."""
    from rest_framework_simplejwt.tokens import AccessToken

    from engagement.models import MSP, Client, User

    msp = MSP.objects.create(name="Northwind IT")
    Client.objects.create(msp=msp, name="Harbor Dental")
    user = User.objects.create(username="watcher", role="msp_user", msp=msp, password="!")
    token = AccessToken.for_user(user)
    command = ["emit_event", "alert", "--client", "Harbor Dental", "--severity", "high", "--details", "Key"]
    with ExitStack() as stack:
        urls = [f"{server.ws_url}/api/v1/ws/engagement?token={token}" for server in servers]
        watchers = [Watcher(stack, url, events) for url in urls]
        for _ in track(range(events), "Emitting"):
            subprocess.run(
                [sys.executable, "manage.py", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
            )
        for watcher in watchers:
            watcher.join(WAIT_SECONDS)
    return [
        {
            "process": number,
            "events": len(watcher.seconds),
            **{
                f"{name}_ms": round((percentile(watcher.seconds, share) or 0.0) * 1000, 1)
                for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
            },
        }
        for number, watcher in enumerate(watchers, 1)
    ]


def main() -> int:
    """Measure; return 1 where an event was lost or the median is too high."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=backend.NAMES, default="postgres", help="(default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=2, help="server processes, each on a port (default: %(default)s)"
    )
    parser.add_argument("--events", type=int, default=30, help="(default: %(default)s)")
    options = parser.parse_args()
    with backend.running(options.backend) as where, ExitStack() as stack:
        servers = [
            PortalServer(database_url=where.database_url, redis_url=where.redis_url)
            for _ in range(options.processes)
        ]
        for server in servers:
            stack.callback(server.close)
            server.start()
        rows = measure(servers, options.events)
    figures = {
        "command": " ".join(["python -m benchmarks.emitted", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "rows": rows,
    }
    path = Path(RESULTS / f"emitted-{options.backend}.json")
    path.write_text(json.dumps(figures, indent=2) + "\n")
    table = Table(title=f"emit_event to a raw WebSocket on {options.backend}: ms after it was recorded")
    for column in rows[0]:
        table.add_column(column.removesuffix("_ms"))
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    whole = all(row["events"] == options.events for row in rows)
    return 0 if whole and max(row["p50_ms"] for row in rows) <= BOUND_MS[options.backend] else 1


if __name__ == "__main__":
    sys.exit(main())
