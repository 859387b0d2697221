"""Draws what a run measured: `python -m benchmarks.plot RESULT.json PLOT.svg`, in benchmarks/.venv."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {
    "svg.fonttype": "none",
    "svg.hashsalt": "portal",
    "font.size": 8,
    "font.family": "sans-serif",
}

import matplotlib.pyplot as plt  # noqa: E402

OURS, THEIRS, LIMIT = "#1f6feb", "#9aa4b2", "#d0d7de"


def deliveries(axes: Any, outcomes: dict[str, Any]) -> None:
    """Sustained deliveries a second, one bar a server."""
    rows = sorted(outcomes["fanout"]["figures"]["rows"].items(), key=lambda item: item[1]["per_second"])
    rates = [row["per_second"] for _, row in rows]
    error = [
        [row["per_second"] - row["least"] for _, row in rows],
        [row["most"] - row["per_second"] for _, row in rows],
    ]
    axes.barh(
        [_title(row) for _, row in rows],
        rates,
        xerr=error,
        color=[_colour(key) for key, _ in rows],
        ecolor="#57606a",
    )
    for index, (_, row) in enumerate(rows):
        axes.text(row["most"] * 1.1, index, f"{row['per_second']:,.0f}", va="center")
    axes.set_xscale("log")
    axes.set_xlim(right=max(rates) * 6)
    axes.set_title("Deliveries a second, 500 connections (log scale)")


def latency(axes: Any, outcomes: dict[str, Any]) -> None:
    """p50 and p99 at the offered rate."""
    rows = sorted(outcomes["fanout"]["figures"]["rows"].items(), key=lambda item: -item[1]["p99_ms"])
    titles = [f"{_title(row)} @ {row['offered'] / 1000:.0f}k/s" for _, row in rows]
    axes.barh(titles, [row["p99_ms"] for _, row in rows], color=[_colour(key) for key, _ in rows])
    axes.plot([row["p50_ms"] for _, row in rows], range(len(rows)), "|", color="black", markersize=8)
    for index, (_, row) in enumerate(rows):
        axes.text(row["p99_ms"] * 1.1, index, f"{row['p99_ms']:.1f}", va="center")
    axes.set_xscale("log")
    axes.set_xlim(right=max(row["p99_ms"] for _, row in rows) * 4)
    axes.set_title("Latency p99 in ms at the offered rate (| p50, log scale)")


def connections(axes: Any, outcomes: dict[str, Any]) -> None:
    """Deliveries a second and p99 by number of connections."""
    rows = [row for row in outcomes["scale"]["figures"]["rows"] if row["server"] == "daphne"]
    counts = [row["connections"] for row in rows]
    axes.plot(counts, [row["per_second"] for row in rows], "o-", color=OURS)
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_ylabel("deliveries/s", color=OURS)
    other = axes.twinx()
    other.plot(counts, [row["p99_ms"] for row in rows], "s--", color="#57606a")
    other.set_ylim(bottom=0)
    other.set_ylabel("p99 ms at 20,000/s", color="#57606a")
    axes.set_title("The portal on Daphne by connections")


PANELS: dict[str, list[Callable[[Any, dict[str, Any]], None]]] = {
    "fanout": [deliveries, latency],
    "scale": [connections],
}


def _title(row: dict[str, Any]) -> str:
    return str(row["title"]).strip("*")


def _colour(key: str) -> str:
    return OURS if key.startswith("ours") else LIMIT if key.startswith("bare") else THEIRS


def main(source: Path, target: Path) -> None:
    """Draw the panels that the run has figures for; nothing where it has none."""
    outcomes = {
        name: found for name, found in json.loads(source.read_text())["outcomes"].items() if found["figures"]
    }
    panels = [draw for name, drawn in PANELS.items() if name in outcomes for draw in drawn]
    if not panels:
        return
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(9, 4 * len(panels)), layout="constrained", squeeze=False
    )
    for draw, place in zip(panels, axes[:, 0], strict=True):
        draw(place, outcomes)
        place.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})


main(Path(sys.argv[1]), Path(sys.argv[2]))
