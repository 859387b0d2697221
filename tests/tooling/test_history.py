"""What the test run remembers of earlier runs."""

from __future__ import annotations

from tests.history import KEPT_RUNS, History


def test_a_test_that_fails_now_and_then_is_counted_over_the_last_runs(tmp_path):
    history = History(tmp_path / "history.jsonl")
    for run in range(4):
        history.add(["tests/a.py::often", "tests/b.py::once"] if run == 0 else ["tests/a.py::often"], 1000)

    assert history.summary() == [
        "Failed in the last 4 runs:",
        "   4 of 4  tests/a.py::often",
        "   1 of 4  tests/b.py::once",
    ]


def test_only_the_last_runs_count(tmp_path):
    history = History(tmp_path / "history.jsonl")
    history.add(["tests/a.py::long_ago"], 1000)
    for _ in range(KEPT_RUNS):
        history.add([], 1000)

    assert history.summary() == [f"No test failed in the last {KEPT_RUNS} runs."]
