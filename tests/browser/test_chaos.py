"""The short form of `python -m benchmarks.browser_chaos`: pages stay open while servers die and the network goes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.browser_chaos import FAULTS
from tests.servers.portal import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.longest]


def test_pages_show_what_the_database_says_after_every_fault(tmp_path):
    path = tmp_path / "figures.json"
    options = f"--backend sqlite --seconds 10 --longest 2.5 --rate 10 --json {path}"
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.browser_chaos", *options.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    figures = json.loads(path.read_text())
    assert set(figures["faults"]) == set(FAULTS)
    for page in figures["pages"]:
        assert page["numbers"] >= 10
        assert page["alerts_raised"] >= len(FAULTS)
        assert page["reconnects"] >= 2
    assert "Chaos in a browser" in path.with_suffix(".md").read_text()
