"""The pytest plugin that remembers which tests failed in the last runs, and says so at the end of each.

A test that fails now and then is a fault to be found: nothing is run a second time to decide. `make test-loop` runs
everything again and again, and what this plugin prints shows which tests are not steady.

A run is a line of JSON in `test-results/history-<backend>.jsonl`. Only whole runs count: not those that were
interrupted, nor those of a few tests.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

KEPT_RUNS = 20
WHOLE_RUN = 500
"""The least number of tests in a run that counts."""

FOLDER = Path(__file__).resolve().parents[1] / "test-results"


class History:
    """The runs on one backend."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, failed: list[str], tests: int) -> None:
        """Add a run, and forget those before the last twenty."""
        run = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "tests": tests,
            "failed": sorted(failed),
        }
        self._path.parent.mkdir(exist_ok=True)
        lines = [json.dumps(one) for one in [*self.runs(), run][-KEPT_RUNS:]]
        self._path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def runs(self) -> list[dict[str, object]]:
        """Return the runs, oldest first."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines() if line]

    def summary(self) -> list[str]:
        """Return the lines that say how often each test failed."""
        runs = self.runs()
        counted = Counter(name for run in runs for name in run["failed"])  # type: ignore[attr-defined]
        if not counted:
            return [f"No test failed in the last {len(runs)} runs."]
        heading = f"Failed in the last {len(runs)} runs:"
        return [heading, *(f"  {count:>2} of {len(runs)}  {name}" for name, count in counted.most_common())]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Add this run, and print how often each test failed."""
    stats = terminalreporter.stats
    failed = [report.nodeid for outcome in ("failed", "error") for report in stats.get(outcome, [])]
    tests = len(stats.get("passed", [])) + len(failed)
    if tests < WHOLE_RUN or exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return
    history = History(FOLDER / f"history-{config.option.backend}.jsonl")
    history.add(failed, tests)
    for line in history.summary():
        terminalreporter.write_line(line)
