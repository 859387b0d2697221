"""The simulation, run as part of the tests: in processes of its own, since it takes over time and randomness."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.reverts import REVERTS

pytestmark = pytest.mark.once

SEEDS = {
    "arrivals": 150,
    "drains": 250,
    "renewals": 300,
    "delivery": 250,
    "restores": 350,
    "faults": 150,
    "silent": 60,
    "losses": 80,
    "followers": 80,
    "moves": 25,
    "acknowledgements": 15,
    "rows": 15,
    "sequencing": 10,
    "poison": 15,
    "presence": 6,
}
"""How many seeds of each kind of run are part of the tests; `make simulate` runs more, of every kind."""


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run `python -m tests.simulation`."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def test_a_seed_gives_the_same_trace_whatever_the_hashes_of_strings():
    first, second = (simulate("--traces", "6", hash_seed=seed).stdout for seed in ("1", "2"))
    assert first == second
    assert len(first.splitlines()) == 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_nothing_is_violated(kind):
    run = simulate("--kind", kind, "--seeds", str(SEEDS[kind]))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [revert.name for revert in REVERTS])
def test_a_mend_taken_back_is_found_again(name):
    run = simulate("--reverts", "--named", name)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"found {name}" in run.stdout
