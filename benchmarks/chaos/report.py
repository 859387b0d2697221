"""The verdict as a table, as JSON and as Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.judge import Replayed, percentile
from benchmarks.chaos.plan import FAULTS
from benchmarks.chaos.run import Outcome


def summary(outcome: Outcome, command: str) -> dict[str, Any]:
    """Return the figures of a run. Times are seconds unless a name says otherwise."""
    plan, verdict = outcome.plan, outcome.verdict
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "seed": plan.seed,
        "backend": plan.backend,
        "clients": len(plan.watchers),
        "server_processes": plan.processes,
        "seconds": round(outcome.seconds, 1),
        "events_committed": verdict.events,
        "deliveries": verdict.deliveries,
        **{name: getattr(verdict, name) for name in verdict.FAULTS},
        "poison": verdict.poison,
        "dead_letters": verdict.dead_letters,
        "resyncs": dict(verdict.resyncs),
        "reconnects": dict(sorted(outcome.reconnects.items())),
        "errors": dict(outcome.refused),
        "failed_attempts": outcome.failed_attempts,
        "replay_ms": _replay(outcome.replays),
        "replay_without_fault_ms": _replay(outcome.quiet_replays),
        "busiest_second_of_a_drain": outcome.busiest_second,
        "faults": [_fault(outcome, kind) for kind in FAULTS if any(b.kind == kind for b in outcome.broken)],
        "all_level_at_the_end": outcome.level,
        "crashes": outcome.crashed,
    }


def is_clean(outcome: Outcome) -> bool:
    """Return whether the run held everything that is promised."""
    return (
        outcome.verdict.is_clean and outcome.level and not outcome.crashed and outcome.verdict.deliveries > 0
    )


def _replay(replays: Sequence[Replayed]) -> dict[str, Any]:
    took = [replay.seconds * 1000 for replay in replays]
    shares = {f"p{share:g}": percentile(took, share / 100) for share in (50, 95, 99)}
    return {
        "n": len(took),
        **{name: None if value is None else round(value) for name, value in shares.items()},
    }


def _fault(outcome: Outcome, kind: str) -> dict[str, Any]:
    of_kind = [done for done in outcome.broken if done.kind == kind]
    level = [done.level_after for done in of_kind]
    return {
        "fault": kind,
        "n": len(of_kind),
        "held": [round(done.mended - done.began, 1) for done in of_kind],
        "level_again_after": [None if after is None else round(after, 2) for after in level],
        "clients_measured": [done.stayed for done in of_kind],
    }


def tables(figures: dict[str, Any]) -> list[Table]:
    """Return the tables that end a run."""
    main = Table(title=f"Chaos on {figures['backend']}, seed {figures['seed']}", show_header=False)
    for name, value in rows(figures):
        main.add_row(name, value)
    faults = Table(title="Faults: seconds until all clients were level again, after the fault was mended")
    for column in ("fault", "n", "held (s)", "level again after (s)", "what it is"):
        faults.add_column(column)
    for fault in figures["faults"]:
        faults.add_row(*_fault_row(fault), FAULTS[fault["fault"]])
    return [main, faults]


def rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the main figures, in words."""
    busiest = figures["busiest_second_of_a_drain"]
    return [
        ("clients, server processes", f"{figures['clients']}, {figures['server_processes']}"),
        ("events committed", f"{figures['events_committed']:,}"),
        ("deliveries", f"{figures['deliveries']:,}"),
        ("lost", f"{figures['lost']:,}"),
        ("doubled", f"{figures['doubled']:,}"),
        ("out of order", f"{figures['out_of_order']:,}"),
        ("foreign", f"{figures['foreign']:,}"),
        ("altered on the way", f"{figures['altered']:,}"),
        ("committed and not in the log", f"{figures['unrecorded']:,}"),
        ("in the log and not committed", f"{figures['phantom']:,}"),
        ("poison committed; dead letters", f"{figures['poison']:,}; {figures['dead_letters']:,}"),
        ("poison that is not a dead letter, once", f"{figures['poison_elsewhere']:,}"),
        ("dead letters that are no poison", f"{figures['healthy_dead_letters']:,}"),
        ("resyncs, by reason", _counts(figures["resyncs"])),
        ("resyncs without a good reason", f"{figures['unjustified_resyncs']:,}"),
        ("reconnects, by what ended the last", _counts(figures["reconnects"])),
        ("handshakes that failed", f"{figures['failed_attempts']:,}"),
        ("error frames", _counts(figures["errors"])),
        ("replay after a 2 s gap, no fault near", _percentiles(figures["replay_without_fault_ms"])),
        ("replay after a 2 s gap, all", _percentiles(figures["replay_ms"])),
        ("busiest second of a drain", "-" if busiest is None else f"{busiest:.1%} of the clients"),
        ("all clients level at the end", "yes" if figures["all_level_at_the_end"] else "NO"),
        ("crashes", "; ".join(figures["crashes"]) or "none"),
        ("took", f"{figures['seconds']:.0f} s"),
    ]


def _fault_row(fault: dict[str, Any]) -> list[str]:
    level = ", ".join("never" if after is None else f"{after:.2f}" for after in fault["level_again_after"])
    return [fault["fault"], str(fault["n"]), ", ".join(f"{held:g}" for held in fault["held"]), level]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items()) or "none"


def _percentiles(replay: dict[str, Any]) -> str:
    if not replay["n"]:
        return "none"
    return f"p50 {replay['p50']} ms, p95 {replay['p95']} ms, p99 {replay['p99']} ms (n = {replay['n']:,})"


def markdown(figures: dict[str, Any]) -> str:
    """Return the figures as a page."""
    machine = figures["machine"]
    lines = [
        f"# Chaos on {figures['backend']}",
        "",
        f"`{figures['command']}` on {figures['date']}, {machine['cpus']} CPUs, Python {machine['python']}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows(figures)),
        "",
        "| fault | n | held (s) | level again after (s) | what it is |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(_fault_row(fault))} | {FAULTS[fault['fault']]} |" for fault in figures["faults"]),
        "",
    ]
    return "\n".join(lines)


def write(figures: dict[str, Any], path: Path) -> None:
    """Write the JSON to `path` and the page beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    path.with_suffix(".md").write_text(markdown(figures))


def show(figures: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    for table in tables(figures):
        console.print(table)
