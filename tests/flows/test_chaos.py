"""The short form of `make chaos`: real servers break under real clients, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.servers.portal import ROOT

FAULTS = {"sqlite": "server_kill,publisher_kill", "postgres": "redis_kill,server_kill,postgres_restart"}

pytestmark = pytest.mark.slow


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.longest
def test_nothing_is_lost_while_servers_are_killed_and_restarted(backend, tmp_path):
    figures = tmp_path / "chaos.json"
    processes = 1 if backend == "sqlite" else 2
    options = f"--backend {backend} --faults {FAULTS[backend]} --processes {processes} --json {figures}"
    options += " --clients 30 --seconds 14 --rate 20 --seed 7 --poison 20"
    ended = chaos(*options.split())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(figures.read_text())
    assert found["deliveries"] > 500
    assert {name: found[name] for name in ("lost", "doubled", "out_of_order", "foreign")} == dict.fromkeys(
        ("lost", "doubled", "out_of_order", "foreign"), 0
    )
    assert found["poison"] == found["dead_letters"] > 5
    assert (found["poison_elsewhere"], found["healthy_dead_letters"]) == (0, 0)
    assert {fault["fault"] for fault in found["faults"]} == set(FAULTS[backend].split(","))
    assert sum(found["reconnects"].values()) > 5
    assert "lost" in figures.with_suffix(".md").read_text()


def test_an_unknown_fault_is_one_clear_line():
    ended = chaos("--faults", "earthquake")
    assert ended.returncode == 2
    assert "no such fault on postgres: earthquake" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_says_what_each_fault_is():
    assert "redis_kill" in chaos("--help").stdout
