"""What a `save()` of a tracked model costs its caller, against an untracked twin in its own transaction."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import cores, kit
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage, Tenant

Say = Callable[[str], None]

WANTED_RATIO = 1.6
SETUPS = (("1 writer", 1, 1), ("8 writers, threads of one process", 1, 8), ("8 writers, 8 processes", 8, 1))
COLUMNS = {
    "title": "writers of one client",
    "ratio": "tracked ÷ untracked",
    "spread": "least – most",
    "untracked_ms": "untracked, median ms",
    "tracked_ms": "tracked, median ms",
    "tracked_p99_ms": "tracked, p99 ms",
}
ANSWER_SECONDS = 120


def run(stage: Stage, say: Say) -> Outcome:
    """Measure in turns, tracked and untracked; everything on all cores, as on a machine that does it all."""
    tenant = Tenant()
    table = Table("save() of a tracked model against an untracked twin, up to its return (fsync on)", COLUMNS)
    with stage.everything_everywhere(), cores.on(cores.ALL):
        for title, processes, threads in SETUPS:
            count = stage.pick(400, 150) // (1 if processes * threads == 1 else 2)
            rounds = [
                [_round(kind, tenant, processes, threads, count) for kind in ("untracked", "tracked")]
                for _ in range(stage.pick(3, 2))
            ]
            ratios = [
                statistics.median(tracked) / statistics.median(untracked) for untracked, tracked in rounds
            ]
            untracked = sorted(seconds for round_ in rounds for seconds in round_[0])
            tracked = sorted(seconds for round_ in rounds for seconds in round_[1])
            row: dict[str, Any] = {
                "title": title,
                "ratio": statistics.median(ratios),
                "spread": f"{show(min(ratios))} – {show(max(ratios))}",
                "untracked_ms": statistics.median(untracked) * 1000,
                "tracked_ms": statistics.median(tracked) * 1000,
                "tracked_p99_ms": tracked[len(tracked) * 99 // 100] * 1000,
            }
            table.rows.append(row)
            say(
                f"{title}: {show(row['ratio'])} times ({show(row['untracked_ms'])} → {show(row['tracked_ms'])} ms)"
            )
    table.notes.append(
        "Saves follow each other without a pause, so the publisher's placing and announcing runs beside them on the "
        "same cores (and, with threads, under the same interpreter lock)."
    )
    targets = [
        Target(
            f"cost of a tracked save(), {row['title']}",
            f"≤ {WANTED_RATIO}",
            show(row["ratio"]),
            row["ratio"] <= WANTED_RATIO,
        )
        for row in table.rows
    ]
    return Outcome([table], targets, {"rows": table.rows})


def _round(kind: str, tenant: Tenant, processes: int, threads: int, count: int) -> list[float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.writer",
        kind,
        str(tenant.clients[0].pk),
        str(threads),
        str(count),
    ]
    writers = []
    try:
        for _ in range(processes):
            writer = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=kit.ROOT
            )
            writers.append(writer)
            if len(writers) == 1:
                _expect_ready(writer)  # the first makes the twin's table
        for writer in writers[1:]:
            _expect_ready(writer)
        for writer in writers:
            _write(writer, "go\n")
        took: list[float] = []
        for writer in writers:
            output, _ = writer.communicate(timeout=ANSWER_SECONDS)
            answer = json.loads(output.splitlines()[-1])
            if not answer["flushed"]:
                raise RuntimeError("A writer's publisher did not get through its events in time.")
            took += answer["took"]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    return took


def _expect_ready(writer: subprocess.Popen[str]) -> None:
    line = writer.stdout.readline() if writer.stdout else ""
    if line != "ready\n":
        raise RuntimeError(f"A writer said {line!r} and ended with status {writer.wait()}.")


def _write(writer: subprocess.Popen[str], text: str) -> None:
    if writer.stdin is None:
        raise RuntimeError("A writer has no input.")
    writer.stdin.write(text)
    writer.stdin.flush()
