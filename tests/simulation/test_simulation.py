"""The simulation, run as part of the tests: in processes of its own, since it takes over time and randomness."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run `python -m tests.simulation`."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_seed_gives_the_same_trace_whatever_the_hashes_of_strings():
    first, second = (simulate("--traces", "6", hash_seed=seed).stdout for seed in ("1", "2"))
    assert first == second
    assert len(first.splitlines()) == 6
