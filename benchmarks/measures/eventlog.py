"""Whether the log's size tells: resuming and sweeping with 10,000 events in it, and with 10 million."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

from benchmarks import cores, kit
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage
from tests.servers import PostgresServer

Say = Callable[[str], None]

FEW, MANY, MANY_QUICK = 10_000, 10_000_000, 1_000_000
WANTED_RATIO = 1.5
SECONDS = 400
COLUMNS = {"title": "", "few": f"ms with {FEW:,} events", "many": "ms with {many} events", "ratio": "times"}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure on a database of its own."""
    many = stage.pick(MANY, MANY_QUICK)
    say(f"filling a log with {many:,} events")
    with cores.on(cores.ALL), PostgresServer(durable=False) as postgres:
        environment = {**os.environ, "DATABASE_URL": postgres.url}
        manage = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(manage, cwd=kit.ROOT, env=environment, check=True, timeout=120)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.logtimes", str(FEW), str(many)],
            cwd=kit.ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found = json.loads(done.stdout.splitlines()[-1])
    columns = COLUMNS | {"many": COLUMNS["many"].format(many=f"{many:,}")}
    table = Table("The event log's size", columns)
    for title, few in found["few"].items():
        row = {"title": title, "few": few, "many": found["many"][title], "ratio": found["many"][title] / few}
        table.rows.append(row)
        say(f"{title}: {show(few)} → {show(row['many'])} ms")
    worst = max(row["ratio"] for row in table.rows)
    what = f"resume and sweep with {many:,} events, times that with {FEW:,} (the worst)"
    table.notes.append("100 clients of 10 MSPs, warm caches. A resume is its decision and the page it sends.")
    return Outcome(
        [table], [Target(what, f"≤ {WANTED_RATIO}", show(worst), worst <= WANTED_RATIO)], {"rows": table.rows}
    )
