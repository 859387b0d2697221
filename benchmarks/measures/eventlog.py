"""Whether the log's size tells: resuming and sweeping with 10,000 events in it, and with 10 million."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import cores, kit
from benchmarks.child import Child
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage
from tests.servers import PostgresServer

Say = Callable[[str], None]

FEW, MANY, MANY_QUICK = 10_000, 10_000_000, 1_000_000
TURNS, TURNS_QUICK = 11, 3
WANTED_RATIO = 1.5
FILL_SECONDS = 400
COLUMNS = {
    "title": "",
    "few": f"ms with {FEW:,} events",
    "many": "ms with {many} events",
    "ratio": "times",
    "spread": "least – most",
}


class Reader:
    """A log of some size, on a database server of its own, and a process that times readers of it."""

    def __init__(self, events: int, running: ExitStack) -> None:
        postgres = running.enter_context(PostgresServer(durable=False))
        environment = {**os.environ, "DATABASE_URL": postgres.url}
        manage = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(manage, cwd=kit.ROOT, env=environment, check=True, timeout=120)
        logtimes = Child("benchmarks.logtimes", str(events), environment=environment)
        self._process = running.enter_context(logtimes)
        self._process.hear(FILL_SECONDS)  # says that it is filled

    def turn(self) -> dict[str, float]:
        """Return the median milliseconds of each reader in a short turn."""
        self._process.tell()
        took: dict[str, float] = json.loads(self._process.hear())
        return took


def run(stage: Stage, say: Say) -> Outcome:
    """Time both logs in turn."""
    many = stage.pick(MANY, MANY_QUICK)
    say(f"filling a log with {many:,} events")
    with cores.on(cores.ALL), ExitStack() as running:
        small, large = Reader(FEW, running), Reader(many, running)
        turns = [(small.turn(), large.turn()) for _ in range(stage.pick(TURNS, TURNS_QUICK))]
    columns = COLUMNS | {"many": COLUMNS["many"].format(many=f"{many:,}")}
    table = Table("The event log's size", columns)
    for title in turns[0][0]:
        ratios = sorted(after[title] / before[title] for before, after in turns)
        row = {
            "title": title,
            "few": statistics.median(before[title] for before, _ in turns),
            "many": statistics.median(after[title] for _, after in turns),
            "ratio": statistics.median(ratios),
            "spread": f"{show(ratios[0])} – {show(ratios[-1])}",
        }
        table.rows.append(row)
        say(f"{title}: {show(row['few'])} → {show(row['many'])} ms, {show(row['ratio'])} times")
    worst = max(row["ratio"] for row in table.rows)
    what = f"resume and sweep with {many:,} events, times that with {FEW:,} (the worst)"
    table.notes.append(
        "100 clients of 10 MSPs, warm caches. A resume is its decision and the page it sends. Both logs in short "
        f"turns, {len(turns)} of them; times is the median of the turns'."
    )
    return Outcome(
        [table], [Target(what, f"≤ {WANTED_RATIO}", show(worst), worst <= WANTED_RATIO)], {"rows": table.rows}
    )
