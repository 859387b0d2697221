"""What a `save()` of a tracked model costs its caller, against an untracked twin in its own transaction."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import Any, Self

from benchmarks import cores
from benchmarks.child import Child
from benchmarks.results import Outcome, Table, Target, show
from benchmarks.stage import Stage, Tenant

Say = Callable[[str], None]

WANTED_RATIO = 2.0
"""The outbox's INSERT is a round trip of its own: that is what works with any PostgreSQL backend of Django's."""
SETUPS = (("1 writer", 1, 1), ("8 writers, threads of one process", 1, 8), ("8 writers, 8 processes", 8, 1))
COLUMNS = {
    "title": "writers of one client",
    "ratio": "tracked ÷ untracked",
    "spread": "least – most",
    "untracked_ms": "untracked, median ms",
    "tracked_ms": "tracked, median ms",
    "tracked_p99_ms": "tracked, p99 ms",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure in short turns, tracked and untracked; everything on all cores, as on a machine that does it all.

    The ratio is the median of those of neighbouring turns: the machine's own speed changes from one second to the next.
    """
    tenant = Tenant()
    table = Table("save() of a tracked model against an untracked twin, up to its return (fsync on)", COLUMNS)
    with stage.everything_everywhere(), cores.on(cores.ALL):
        for title, processes, threads in SETUPS:
            count = stage.pick(400, 100) // (1 if processes * threads == 1 else 2)
            with (
                Writers("untracked", tenant, processes, threads) as untracked_writers,
                Writers("tracked", tenant, processes, threads) as tracked_writers,
            ):
                both = (untracked_writers, tracked_writers)
                rounds = [[writers.save(count) for writers in both] for _ in range(stage.pick(7, 3))]
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
        "Saves follow each other without a pause, so the publisher's sequencing and publishing run beside them on the "
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


class Writers:
    """Processes that save on demand; between their turns they rest, with their connections and caches warm."""

    def __init__(self, kind: str, tenant: Tenant, processes: int, threads: int) -> None:
        self._processes: list[Child] = []
        try:
            for _ in range(processes):
                writer = Child("benchmarks.writer", kind, str(tenant.clients[0].pk), str(threads))
                self._processes.append(writer)
                if len(self._processes) == 1:
                    writer.hear()  # says that it is ready: the first makes the twin's table
            for writer in self._processes[1:]:
                writer.hear()
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def save(self, count: int) -> list[float]:
        """Save `count` rows by each thread of each process at the same time; return the seconds that each took."""
        for writer in self._processes:
            writer.tell(str(count))
        took: list[float] = []
        for writer in self._processes:
            answer = json.loads(writer.hear())
            if not answer["flushed"]:
                raise RuntimeError("A writer's publisher did not get through its events in time.")
            took += answer["took"]
        return took

    def end(self) -> None:
        """End the processes."""
        for writer in self._processes:
            writer.end()
