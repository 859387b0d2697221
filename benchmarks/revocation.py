"""`python -m benchmarks.revocation`: from the commit that takes access away to the last message and the close.

On a real PostgreSQL and Redis (or, with `--backend sqlite`, the embedded default), with a server under a steady load
of events: users are deactivated one by one, each with a few sockets, from another process than the server; and a
client with many sockets moves to another MSP. Bound: 1 s where there is Redis, the sweep where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks import backend
from benchmarks.chaos.judge import percentile
from tests.servers import PortalServer
from tests.servers.portal import ROOT

RESULTS = ROOT / "benchmarks" / "results"
SOCKETS_PER_USER = 3
WAIT_SECONDS = 20.0
REVOKED = 4003


@dataclass
class End:
    """How one socket ended: when the last event came and when it was closed (monotonic seconds), with which code."""

    last_event: float
    closed: float
    code: int | None


class Socket(threading.Thread):
    """A socket that reads to its end."""

    def __init__(self, stack: ExitStack, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self.end: End | None = None
        self.why = ""
        self.raw: ClientConnection = stack.enter_context(
            connect(
                url,
                subprotocols=[Subprotocol("compliance.v1"), Subprotocol(f"bearer.{token}")],
                compression=None,
                ping_interval=None,
            )
        )
        self.raw.recv(timeout=WAIT_SECONDS)
        self.start()

    def run(self) -> None:
        last = 0.0
        try:
            while True:
                frame = json.loads(self.raw.recv())
                if "seq" in frame:
                    last = time.monotonic()
        except ConnectionClosed as closed:
            self.end = End(last, time.monotonic(), closed.rcvd.code if closed.rcvd else None)
            self.why = repr(closed.__cause__ or closed)


def measure(users: int, crowd: int, rate: float, ws_url: str) -> dict[str, Any]:
    """Take access away and return the figures. Needs Django set up on the server's database."""
    from rest_framework_simplejwt.tokens import AccessToken

    from engagement.models import MSP, Alert, Client, User

    msp, other = MSP.objects.create(name="One"), MSP.objects.create(name="Other")
    client = Client.objects.create(msp=msp, name="Client")
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(1 / rate):
            Alert.objects.create(client_id=client.pk, details="load")

    loading = threading.Thread(target=load, daemon=True)
    loading.start()
    with ExitStack() as stack:
        stack.callback(loading.join)
        stack.callback(stop.set)

        def user(name: str) -> tuple[User, str]:
            made = User.objects.create(username=name, role="msp_user", msp=msp, password="!")
            return made, str(AccessToken.for_user(made))

        def deactivate(one: User) -> None:
            one.is_active = False
            one.save()

        singles: list[tuple[float, End]] = []
        for number in range(users):
            one, token = user(f"user {number}")
            sockets = [Socket(stack, f"{ws_url}/ws/engagement", token) for _ in range(SOCKETS_PER_USER)]
            time.sleep(0.3)
            committed = _committed(lambda one=one: deactivate(one))  # type: ignore[misc]
            singles.extend((committed, end) for end in _ends(sockets))
        tokens = [user(f"crowd {number}")[1] for number in range(crowd // 40 + 1)]
        url = f"{ws_url}/ws/client/{client.pk}/engagement"
        sockets = [Socket(stack, url, tokens[number % len(tokens)]) for number in range(crowd)]
        time.sleep(0.5)

        def move() -> None:
            client.msp = other
            client.save()

        committed = _committed(move)
        moved = [(committed, end) for end in _ends(sockets)]
    return {
        "user_deactivated": _closed(singles),
        "user_deactivated_last_event": _last_event(singles),
        "client_moved": _closed(moved),
        "client_moved_last_event": _last_event(moved),
    }


def _closed(ends: list[tuple[float, End]]) -> dict[str, int]:
    return _shares([end.closed - committed for committed, end in ends])


def _last_event(ends: list[tuple[float, End]]) -> dict[str, int]:
    return _shares([max(0.0, end.last_event - committed) for committed, end in ends])


def _committed(deed: Callable[[], None]) -> float:
    deed()
    return time.monotonic()


def _ends(sockets: list[Socket]) -> list[End]:
    ends = []
    for socket in sockets:
        socket.join(WAIT_SECONDS)
        if socket.end is None:
            raise RuntimeError(f"A revoked socket is still open after {WAIT_SECONDS:g} s.")
        if socket.end.code != REVOKED:
            raise RuntimeError(
                f"A revoked socket was closed with {socket.end.code}, not {REVOKED}: {socket.why}"
            )
        ends.append(socket.end)
    return ends


def _shares(values: list[float]) -> dict[str, int]:
    shares = {
        name: percentile(values, share) or 0.0 for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }
    return {"n": len(values), **{f"{name}_ms": round(value * 1000) for name, value in shares.items()}}


def main() -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=backend.NAMES, default="postgres", help="(default: %(default)s)")
    parser.add_argument(
        "--users", type=int, default=30, help="users to deactivate, 3 sockets each (default: %(default)s)"
    )
    parser.add_argument(
        "--crowd", type=int, default=200, help="sockets on the client that moves (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=50.0, help="events a second meanwhile (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="where the figures go (default: benchmarks/results/)")
    options = parser.parse_args()
    with backend.running(options.backend) as where, ExitStack() as stack:
        portal = PortalServer(
            database_url=where.database_url,
            redis_url=where.redis_url,
            environment={"REALTIME_DRAIN_SECONDS": "0"},
        )
        stack.callback(portal.close)
        portal.start()
        measured = measure(options.users, options.crowd, options.rate, portal.ws_url)
    figures = measured | {
        "command": f"python -m benchmarks.revocation {' '.join(sys.argv[1:])}".strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "backend": options.backend,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
    }
    path = options.json or RESULTS / f"revocation-{options.backend}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    table = Table(title=f"Revocation on {options.backend}: ms after the commit")
    for column in ("what", "n", "p50", "p99", "max"):
        table.add_column(column)
    for name, row in measured.items():
        table.add_row(name, *(str(row[key]) for key in ("n", "p50_ms", "p99_ms", "max_ms")))
    Console().print(table)
    bound = 1000 if options.backend == "postgres" else 1500
    return 0 if max(row["max_ms"] for row in measured.values()) <= bound else 1


if __name__ == "__main__":
    sys.exit(main())
