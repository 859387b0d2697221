"""`python -m benchmarks.chaos`: break the portal under load and count what was lost."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.chaos.plan import FAULTS, ON_SQLITE, Plan, make
from tests.servers import PostgresServer, RedisServer, ServerError
from tests.servers.portal import ROOT

RESULTS = ROOT / "benchmarks" / "results"
DRAIN_SECONDS = 5.0


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    faults = "\n".join(f"  {name:17} {what}" for name, what in FAULTS.items())
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Start a real PostgreSQL (fsync on), a real Redis or Valkey, server processes, writing processes and\n"
            "hundreds of WebSocket clients that drop, sleep and resume; break one thing after the other, and write\n"
            "changes that cannot be published; then "
            "compare what every client got with what the event log holds. Ends with a table, and with status 1 if\n"
            "anything was lost, doubled, out of order or foreign."
        ),
        epilog=f"faults:\n{faults}\n\nA run is repeated with the --seed it prints.",
    )
    made.add_argument("--seed", type=int, default=1, help="what the plan follows from (default: %(default)s)")
    made.add_argument("--clients", type=int, default=300, help="WebSocket clients (default: %(default)s)")
    made.add_argument(
        "--seconds", type=float, default=170.0, help="how long to write and break (default: %(default)s)"
    )
    made.add_argument(
        "--processes", type=int, help="server processes; the third is uvicorn (default: 3, on sqlite 1)"
    )
    made.add_argument(
        "--backend", choices=("postgres", "sqlite"), default="postgres", help="(default: %(default)s)"
    )
    made.add_argument(
        "--rate", type=float, help="writes a second, of all writers (default: 15, on sqlite 10)"
    )
    made.add_argument(
        "--poison",
        type=int,
        default=500,
        metavar="N",
        help="one in N recorded changes cannot be published; 0: none (default: %(default)s)",
    )
    made.add_argument("--writers", type=int, default=3, help="writing processes (default: %(default)s)")
    made.add_argument("--faults", help="comma-separated; `none` for none (default: all that the backend has)")
    made.add_argument(
        "--drain-seconds",
        type=float,
        default=DRAIN_SECONDS,
        help="REALTIME_DRAIN_SECONDS (default: %(default)s)",
    )
    made.add_argument(
        "--json", type=Path, help="where the figures go, Markdown beside (default: benchmarks/results/)"
    )
    return made


def main() -> int:
    """Run; return the exit status."""
    options = parser().parse_args()
    console = Console(stderr=True)
    possible = list(ON_SQLITE if options.backend == "sqlite" else FAULTS)
    kinds = (
        possible if options.faults is None else [k for k in options.faults.split(",") if k and k != "none"]
    )
    unknown = [kind for kind in kinds if kind not in possible]
    if unknown:
        parser().error(
            f"no such fault on {options.backend}: {', '.join(unknown)}. It takes {', '.join(possible)}."
        )
    if options.clients < 1 or options.seconds < 1 or options.writers < 1 or (options.processes or 1) < 1:
        parser().error("--clients, --seconds, --writers and --processes are at least 1.")
    if options.poison < 0:
        parser().error("--poison is at least 0.")
    sqlite = options.backend == "sqlite"
    plan = make(
        options.seed,
        backend=options.backend,
        clients=options.clients,
        seconds=options.seconds,
        processes=options.processes or (1 if sqlite else 3),
        writers=options.writers,
        kinds=kinds,
    )
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="portal-chaos-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            postgres = None if sqlite else stack.enter_context(PostgresServer(durable=True))
            redis = None if sqlite else stack.enter_context(RedisServer())
            environment = {
                "DEBUG": "true",
                "DATABASE_URL": postgres.url if postgres else f"sqlite:///{folder / 'chaos.sqlite3'}",
                "REDIS_URL": redis.url if redis else "",
                "LOG_LEVEL": "WARNING",
                "ACCESS_TOKEN_SECONDS": "7200",
                # One address stands for a whole town of devices here.
                "REALTIME_HANDSHAKES_BURST": "5000",
                "REALTIME_HANDSHAKES_PER_SECOND": "500",
                "REALTIME_DRAIN_SECONDS": str(options.drain_seconds),
            }
            os.environ |= environment | {"LOG_LEVEL": "ERROR"}
            figures, clean = _run(plan, folder, console, postgres, redis, environment, options)
        except ServerError as error:
            console.print(f"[red]{error}[/red]")
            return 2
    from benchmarks.chaos import report

    report.write(figures, options.json or RESULTS / f"chaos-{options.backend}.json")
    report.show(figures, Console(width=None if sys.stdout.isatty() else 140))
    return 0 if clean else 1


def _run(
    plan: Plan,
    folder: Path,
    console: Console,
    postgres: PostgresServer | None,
    redis: RedisServer | None,
    environment: dict[str, str],
    options: argparse.Namespace,
) -> tuple[dict[str, Any], bool]:
    """Set Django up on the run's database, and run."""
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
    os.environ["DJANGO_SETTINGS_MODULE"] = "compliance_portal.settings"
    import django

    django.setup()
    from benchmarks.chaos import report
    from benchmarks.chaos.run import Run

    outcome = Run(
        plan,
        folder,
        console,
        postgres=postgres,
        redis=redis,
        environment={**environment, "DJANGO_SETTINGS_MODULE": "compliance_portal.settings"},
        rate=options.rate or (10.0 if plan.backend == "sqlite" else 15.0),
        poison=options.poison,
    )()
    return report.summary(
        outcome, f"python -m benchmarks.chaos {shlex.join(sys.argv[1:])}".strip()
    ), report.is_clean(outcome)


if __name__ == "__main__":
    sys.exit(main())
