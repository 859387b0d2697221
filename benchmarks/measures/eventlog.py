"""Whether the log's size tells: resuming and sweeping with 10,000 events in it, and with 10 million."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO

from benchmarks import cores, kit
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage
from tests.servers import PostgresServer

Say = Callable[[str], None]

FEW, MANY, MANY_QUICK = 10_000, 10_000_000, 1_000_000
TURNS, TURNS_QUICK = 11, 3
WANTED_RATIO = 1.5
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
        self._process = running.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.logtimes", str(events)],
                cwd=kit.ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        running.callback(self._process.kill)
        self._line()  # says that it is filled

    def turn(self) -> dict[str, float]:
        """Return the median milliseconds of each reader in a short turn."""
        print(file=_open(self._process.stdin), flush=True)
        took: dict[str, float] = json.loads(self._line())
        return took

    def _line(self) -> str:
        line = _open(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"benchmarks.logtimes ended with status {self._process.wait()}.")
        return line


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


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("The process has no such pipe.")
    return pipe
