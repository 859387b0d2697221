"""The judge of `make chaos` must see what it is there to see."""

from __future__ import annotations

import pytest

from benchmarks.chaos.judge import (
    Record,
    Resynced,
    Truth,
    Verdict,
    judge_journal,
    judge_poison,
    judge_record,
    percentile,
)
from benchmarks.chaos.plan import FAULTS, make
from benchmarks.chaos.watcher import Watcher

TRUTH = [seq * 10 for seq in range(1, 11)]


def judged(
    seqs: list[int], *, start: int = 0, marks: list[int] | None = None, resyncs: list[Resynced] | None = None
) -> Verdict:
    record = Record("s", start, resyncs=resyncs or [])
    for index, seq in enumerate(seqs):
        record.took(seq, float(index), marks[index] if marks else seq * 10)
    verdict = Verdict()
    judge_record(record, TRUTH, backlog_events=3, verdict=verdict)
    return verdict


def counts(verdict: Verdict) -> dict[str, int]:
    return {name: getattr(verdict, name) for name in verdict.FAULTS if getattr(verdict, name)}


@pytest.mark.parametrize(
    ("seqs", "found"),
    [
        (list(range(1, 11)), {}),
        ([1, 2, 3, 5, 6, 7, 8, 9, 10], {"lost": 1}),
        (list(range(1, 10)), {"lost": 1}),
        ([], {"lost": 10}),
        ([1, 2, 2, *range(3, 11)], {"doubled": 1}),
        ([1, 3, 2, *range(4, 11)], {"out_of_order": 1}),
        ([*range(1, 11), 11], {"altered": 1}),
    ],
)
def test_what_is_lost_doubled_or_out_of_order_is_counted(seqs, found):
    verdict = judged(seqs)
    assert counts(verdict) == found
    assert verdict.is_clean == (not found)
    assert verdict.deliveries == len(seqs)


def test_what_was_before_the_first_position_must_not_come():
    assert counts(judged(list(range(5, 11)), start=4)) == {}
    assert counts(judged([4, *range(5, 11)], start=4)) == {"doubled": 1}


def test_an_event_that_says_something_else_is_counted():
    assert counts(judged(list(range(1, 11)), marks=[*TRUTH[:-1], 7])) == {"altered": 1}


def test_a_resync_moves_a_client_on_and_must_have_a_reason():
    before, after = [1, 2], [8, 9, 10]
    assert counts(judged(before + after, resyncs=[Resynced(2, "backlog", 2, 7)])) == {}
    assert counts(judged(before + after, resyncs=[Resynced(2, "backlog", 2, 5)])) == {
        "lost": 2,
        "unjustified_resyncs": 1,
    }
    assert counts(judged(before + after, resyncs=[Resynced(2, "epoch", 2, 7)])) == {"unjustified_resyncs": 1}
    assert counts(judged([1, 3, *after], resyncs=[Resynced(2, "backlog", 3, 7)])) == {"lost": 1}


def test_the_log_is_compared_with_what_the_writers_committed():
    truth = Truth(
        "e", 4, {}, told=["kept", "twice", "twice", "rolled back", "of another"], saved=["kept", "maybe"]
    )
    outcomes = {
        "kept": "committed",
        "twice": "committed",
        "missing": "committed",
        "rolled back": "rolled_back",
        "never": "rolled_back",
        "maybe": "unknown",
        "gone": "unknown",
    }
    verdict = Verdict()
    judge_journal(outcomes, truth, verdict)
    assert counts(verdict) == {"unrecorded": 2, "phantom": 2}


def test_poison_must_be_in_the_dead_letters_once_and_alone_there():
    outcomes = {
        "poison 1.0 1": "committed",
        "poison 1.0 11": "committed",
        "poison 1.0 2": "committed",
        "poison 1.0 3": "rolled_back",
        "poison 1.0 4": "rolled_back",
        "poison 1.0 5": "unknown",
        "poison 1.0 6": "unknown",
        "poison 1.0 7": "committed",
        "mark 1.0 8": "committed",
    }
    dead = ["1", "2", "2", "4", "5", "of another"]
    truth = Truth(
        "e",
        2,
        {},
        told=["mark 1.0 8", "poison 1.0 7"],
        saved=["mark 1.0 8"],
        dead=[f'app:poison 1.0 {number} {{"count":1}}' for number in dead[:-1]] + dead[-1:],
    )
    verdict = Verdict()
    judge_journal(outcomes, truth, verdict)
    judge_poison(outcomes, truth, verdict)
    # Not there: 11 and 7. Twice: 2. Rolled back, and there: 4.
    assert counts(verdict) == {"phantom": 1, "poison_elsewhere": 4, "healthy_dead_letters": 1}
    assert (verdict.poison, verdict.dead_letters) == (6, 6)


def test_a_foreign_event_is_noted_and_what_comes_before_the_answer_to_resume_is_left_aside():
    def event(seq: int, client: str = "mine", stream: str = "s") -> dict[str, object]:
        return {"type": "alert", "stream": stream, "seq": seq, "client_id": client, "data": {}}

    watcher = Watcher({"mine"}, lambda *_: 0)
    watcher.begin("s", 3)
    watcher.take(event(4), 1.0)
    watcher.take(event(5, client="theirs"), 1.0)
    watcher.take(event(1, stream="other"), 1.0)
    assert len(watcher.foreign) == 2
    watcher.connecting(2.0, gap=2.0)
    watcher.take(event(7), 2.1)
    watcher.take({"type": "resumed", "stream": "s", "from": 4, "to": 6, "count": 2}, 2.2)
    watcher.take({"type": "batch", "messages": [event(5), event(6), event(7)]}, 2.5)
    assert watcher.records["s"].seqs == [4, 5, 6, 7]
    assert [(round(replay.seconds, 1), replay.count, replay.gap) for replay in watcher.replays] == [
        (0.5, 2, 2.0)
    ]


def test_the_same_seed_makes_the_same_plan_and_every_fault_comes_twice_in_a_default_run():
    arguments = {
        "backend": "postgres",
        "clients": 300,
        "seconds": 170.0,
        "processes": 3,
        "writers": 3,
        "kinds": list(FAULTS),
    }
    plan = make(1, **arguments)
    assert plan == make(1, **arguments)
    assert plan != make(2, **arguments)
    kinds = [fault.kind for fault in plan.faults]
    assert {kind: kinds.count(kind) for kind in FAULTS} == dict.fromkeys(FAULTS, 2)
    assert {watcher.route for watcher in plan.watchers} == {"general", "client", "selected"}
    assert 0 < plan.faults[0].at < plan.faults[-1].at < 170


def test_percentiles_are_of_the_values():
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
