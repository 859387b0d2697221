"""Figures and how they are kept: measures give tables and targets; a run of them becomes JSON, Markdown and a plot."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import kit

FOLDER = kit.HERE / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """What was wanted and what was measured (`issues show 6`)."""

    what: str
    wanted: str
    measured: str
    holds: bool


@dataclass(slots=True)
class Table:
    """Rows of figures under `columns`: heading by key of a row."""

    title: str
    columns: dict[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """What a measure found. `figures` are kept for other measures and the plot."""

    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None
    seconds: float = 0.0
    others_percent: float = 0.0
    """Processor time that others took meanwhile, in percent of all cores'."""


@dataclass(slots=True)
class Run:
    """A run of measures."""

    what: str
    command: str
    machine: dict[str, Any]
    versions: dict[str, dict[str, str]]
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def save(self) -> list[Path]:
        """Write the JSON, the Markdown and the plot; return their paths."""
        FOLDER.mkdir(exist_ok=True)
        base = FOLDER / f"{self.started[:19].replace(':', '').replace('T', '-')}-{self.what}"
        data, text, plot = (base.with_suffix(suffix) for suffix in (".json", ".md", ".svg"))
        data.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n")
        subprocess.run(
            [str(kit.PYTHON), "-m", "benchmarks.plot", str(data), str(plot)],
            cwd=kit.ROOT,
            check=True,
            timeout=120,
        )
        text.write_text(markdown(self, plot.name if plot.exists() else None))
        return [path for path in (data, text, plot) if path.exists()]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the least and the most of several rounds."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def markdown(run: Run, plot: str | None) -> str:
    """Return the run as a page: targets and ratios first."""
    each = ", ".join(f"{name} {outcome.others_percent:.0f}" for name, outcome in run.outcomes.items())
    seconds = sum(outcome.seconds for outcome in run.outcomes.values())
    average = sum(outcome.others_percent * outcome.seconds for outcome in run.outcomes.values()) / seconds
    machine = run.machine
    where = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}"
    )
    shared = (
        "Other processes, and other machines that the hypervisor serves, took "
        f"{average:.0f} % of its processor time meanwhile (in percent, {each})."
    )
    lines = [
        f"# Benchmarks of {run.started[:10]}",
        "",
        f"`{run.command}`, started {run.started}. {where}. {shared}",
        "",
        *(_listed(where, found) for where, found in run.versions.items()),
        "",
    ]
    targets = [target for outcome in run.outcomes.values() for target in outcome.targets]
    if targets:
        lines += ["## What was wanted", "", "| | wanted | measured | |", "|---|---|---|---|"]
        lines += [
            f"| {t.what} | {t.wanted} | {t.measured} | {'held' if t.holds else '**missed**'} |"
            for t in targets
        ]
        lines.append("")
    if plot:
        lines += [f"![Deliveries per second, latency, and cost by connections]({plot})", ""]
    for name, outcome in run.outcomes.items():
        if outcome.failed:
            lines += [f"## {name}", "", f"Failed: {outcome.failed}", ""]
        for table in outcome.tables:
            lines += [
                f"## {table.title}",
                "",
                *table_lines(table),
                *(f"{note}  " for note in table.notes),
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def _listed(where: str, found: dict[str, str]) -> str:
    return f"{where.capitalize()}: {', '.join(f'{name} {version}' for name, version in found.items())}.  "


def table_lines(table: Table) -> list[str]:
    """Return a table in Markdown, and an empty line."""
    keys = list(table.columns)
    lines = ["| " + " | ".join(table.columns.values()) + " |", "|---|" + "---:|" * (len(keys) - 1)]
    lines += ["| " + " | ".join(show(row.get(key)) for key in keys) + " |" for row in table.rows]
    return [*lines, ""]


def show(value: Any) -> str:
    """Return a figure as people read it: three digits that matter, thousands apart."""
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        if abs(value) >= 100:
            return f"{value:,.0f}"
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)
