"""The model of a million connections: its arithmetic, and where its figures come from."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import model
from benchmarks.model import Figure, Load, fleet, heard_by, measured, resources

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    name: Figure(value, "test")
    for name, value in {
        "hear_us": 200.0,
        "deliver_us": 20.0,
        "idle_us": 10.0,
        "process_mb": 100.0,
        "connection_kb": 32.0,
        "place_us": 250.0,
        "publish_us": 10.0,
        "copy_us": 5.0,
        "event_bytes": 500.0,
        "comeback_ms": 3.0,
        "handshake_pg_us": 1000.0,
        "save_pg_us": 2000.0,
    }.items()
}
SMALL = Load(connections=1000, clients=10, msps=2, events=1, msp_share=0.2, per_process=500, storm=10)


def part(name: str, load: Load = SMALL) -> model.Resource:
    [found] = [one for one in resources(load, FIGURES) if one.name.startswith(name)]
    return found


def test_a_small_load_by_hand():
    # 10 events/s. Each goes to 80 connections of its client and 100 of its MSP. Both of 2 processes hear both streams.
    found = fleet(SMALL, FIGURES)

    assert found.deliveries == 10 * (80 + 100)
    assert found.processes == 2
    assert found.heard == pytest.approx(10 * 2 * 2)
    assert found.cpu == pytest.approx((1800 * 20 + 1000 * 10 + 40 * 200) / 1e6)
    assert part("Redis").demand == pytest.approx((20 * 10 + 40 * 5) / 1e6)
    assert part("memory").demand == pytest.approx(1000 * 32 / 2**20 + 200 / 1024)
    assert part("network").demand == pytest.approx(1800 * 500 * 8 / 1e9)
    assert part("sequencing").times == 400
    assert found.hearing == pytest.approx(40 * 200 / 1e6)
    assert part("all come back in 10 s: processes").demand == pytest.approx(0.3)
    assert part("all come back in 10 s: PostgreSQL").demand == pytest.approx(0.1)


def test_a_stream_with_few_followers_is_heard_by_as_many_processes_at_most():
    assert heard_by(100, 1) == pytest.approx(1)
    assert heard_by(100, 5) == pytest.approx(100 * (1 - 0.99**5))
    assert heard_by(100, 10_000) == pytest.approx(100)
    assert heard_by(1, 7) == 1
    assert heard_by(100, 10_000, together=2) == pytest.approx(2)


def test_processes_are_added_until_their_cores_suffice():
    load = replace(SMALL, events=100)

    found = fleet(load, FIGURES)

    assert found.processes > 2
    assert found.cpu <= found.processes * load.use


def test_keeping_tenants_together_spares_hearing_the_same_event_in_every_process():
    load = Load(connections=100_000, clients=10_000, msps=100, events=0.5, msp_share=0.2)

    spread, kept = (fleet(replace(load, together=together), FIGURES) for together in (False, True))

    assert kept.deliveries == spread.deliveries
    assert kept.heard < spread.heard / 5
    assert kept.processes < spread.processes
    for found in (spread, kept):
        assert found.cpu <= found.processes * load.use
        assert found.heard <= found.deliveries


def test_what_cannot_be_added_is_needed_once_or_is_too_little():
    assert part("sequencing").needed(1) == 1
    assert part("sequencing", replace(SMALL, events=500)).needed(1) is None
    assert part("Redis", replace(SMALL, clients=100_000, events=5)).needed(0.5) > 1
    assert part("sequencing", replace(SMALL, events=0)).times == math.inf


def test_the_report_says_what_gives_first():
    text = model.report(replace(SMALL, events=1600), FIGURES)

    # 16,000 events/s of 2 ms each are 32 cores of 8; sequencing takes 4,000.
    assert "**sequencing (one batch at a time)** has given way at 0.25 times this load" in text
    assert (
        "| PostgreSQL: saves of one event each, and sequencing them | 32.0 cores | 8.00 cores | 0.25 |"
        in text
    )


@pytest.mark.parametrize(
    "wrong", [{"connections": 0}, {"msp_share": 1.1}, {"use": 0}, {"storm": -1}, {"events": -0.1}]
)
def test_a_load_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"takes more than 0|shares"):
        Load(**wrong)


def test_figures_are_those_of_the_newest_result_that_did_not_fail(tmp_path):
    newest = max((ROOT / "benchmarks" / "results").glob("*-bench*.json"))
    whole: dict[str, object] = {}
    for path in sorted(newest.parent.glob("*-bench*.json")):
        whole |= json.loads(path.read_text())["outcomes"]

    def result(day: str, **ceilings: object) -> None:
        outcomes = {**whole, "ceilings": {**whole["ceilings"], **ceilings}}  # type: ignore[dict-item]
        (tmp_path / f"{day}-bench.json").write_text(json.dumps({"outcomes": outcomes}))

    kept = {name: 1.0 for _, name in model.FIGURES.values()}
    result("2026-01-01", figures=kept)
    result("2026-01-02", figures={**kept, "placed_cpu_us": 2.0})
    result("2026-01-03", figures={}, failed="it broke")

    assert measured(tmp_path)["place_us"] == Figure(2.0, "ceilings, 2026-01-02")
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(LookupError, match=r"python -m benchmarks --only"):
        measured(tmp_path)


def test_the_committed_results_hold_every_figure():
    found = measured()

    assert found.keys() == FIGURES.keys()
    assert all(figure.value > 0 and "20" in figure.source for figure in found.values())


@pytest.mark.slow
def test_the_command_takes_the_assumptions_and_says_what_is_wrong_with_one():
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks.model", *options]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    few, many = run("--connections", "1000"), run("--connections", "1000000")
    assert (few.returncode, many.returncode) == (0, 0)
    assert few.stdout != many.stdout
    assert "sequencing (one batch at a time)" in many.stdout
    wrong = run("--use", "2")
    assert (wrong.returncode, "shares" in wrong.stderr) == (2, True)
