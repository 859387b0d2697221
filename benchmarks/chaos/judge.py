"""The judge: what every client got against what the log holds. Pure.

A client must have every event after its first position exactly once, in order, unaltered, and nothing else. A
`resync` moves its position; it must have a reason that the plan allows for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.chaos.poison import MARK


@dataclass(slots=True)
class Resynced:
    """A `resync`, before the event at `index` of its record: why, from where, to where."""

    index: int
    reason: str
    position: int
    seq: int


@dataclass(slots=True)
class Replayed:
    """A resume that brought something: when it was done, how long it took, how many events, after how long a gap."""

    at: float
    seconds: float
    count: int
    gap: float


@dataclass(slots=True)
class Record:
    """All that a client got of one stream, in the order it came. `times` are monotonic seconds."""

    stream: str
    start: int
    position: int = -1
    seqs: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    resyncs: list[Resynced] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin at the start."""
        self.position = max(self.position, self.start)

    def took(self, seq: int, at: float, mark: int) -> None:
        """Note an event."""
        self.seqs.append(seq)
        self.times.append(at)
        self.marks.append(mark)
        self.position = max(self.position, seq)

    def level_at(self, head: int, since: float) -> float | None:
        """Return when it had all up to `head`, not before `since`; None if never."""
        if self.start >= head:
            return since
        for seq, at in zip(self.seqs, self.times, strict=True):
            if seq >= head:
                return max(at, since)
        return since if self.position >= head else None


@dataclass(slots=True)
class Truth:
    """What the log holds. `streams`: fingerprints in order, from seq 1. `told`: details of the alerts that it says were
    created, and the marks of poison in any event; `saved`: details of the alerts that exist; `dead`: text of each dead
    letter."""

    epoch: str
    events: int
    streams: dict[str, list[int]]
    told: list[str]
    saved: list[str]
    dead: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """The counts. Those of `FAULTS` must be 0."""

    events: int = 0
    deliveries: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    foreign: int = 0
    altered: int = 0
    unrecorded: int = 0
    """Committed, and not in the log."""
    phantom: int = 0
    """In the log, and not committed; or twice there."""
    unjustified_resyncs: int = 0
    poison: int = 0
    """Changes that cannot be published, and are committed."""
    poison_elsewhere: int = 0
    """Of those, and of those rolled back: not once in the dead letters, or there without a commit."""
    dead_letters: int = 0
    healthy_dead_letters: int = 0
    """Dead letters that hold no poison."""
    resyncs: Counter[str] = field(default_factory=Counter)

    FAULTS = (
        "lost",
        "doubled",
        "out_of_order",
        "foreign",
        "altered",
        "unrecorded",
        "phantom",
        "unjustified_resyncs",
        "poison_elsewhere",
        "healthy_dead_letters",
    )

    @property
    def is_clean(self) -> bool:
        """True where nothing is wrong."""
        return not any(getattr(self, name) for name in self.FAULTS)


def judge_record(record: Record, truth: Sequence[int], backlog_events: int, verdict: Verdict) -> None:
    """Add what one client got of one stream."""
    start = record.start
    ends = [(resync.index, resync) for resync in record.resyncs]
    begin = 0
    for index, resync in [*ends, (len(record.seqs), None)]:
        # What was there to be had, up to where this client was moved on; at the end, up to the head.
        end = resync.position if resync is not None else len(truth)
        _judge_stretch(record, range(begin, index), start, end, truth, verdict)
        if resync is not None:
            verdict.resyncs[resync.reason] += 1
            if resync.reason != "backlog" or resync.seq - resync.position <= backlog_events:
                verdict.unjustified_resyncs += 1
            start, begin = resync.seq, index


def _judge_stretch(
    record: Record, indexes: Iterable[int], start: int, end: int, truth: Sequence[int], verdict: Verdict
) -> None:
    seen: set[int] = set()
    highest = start
    for index in indexes:
        seq = record.seqs[index]
        verdict.deliveries += 1
        if seq in seen or seq <= start:
            verdict.doubled += 1
            continue
        if seq < highest:
            verdict.out_of_order += 1
        seen.add(seq)
        highest = max(highest, seq)
        if seq > len(truth) or truth[seq - 1] != record.marks[index]:
            verdict.altered += 1
    verdict.lost += sum(seq not in seen for seq in range(start + 1, end + 1))


def judge_journal(outcomes: Mapping[str, str], truth: Truth, verdict: Verdict) -> None:
    """Compare what the writers say they committed with what the log tells of, marked alert by marked alert.

    Poison must not be told.
    """
    told = Counter(details for details in truth.told if details in outcomes)
    saved = set(truth.saved)
    for mark, outcome in outcomes.items():
        times = told[mark]
        if MARK.fullmatch(mark):
            verdict.phantom += bool(times)
            continue
        expected = outcome == "committed" or (outcome == "unknown" and mark in saved)
        if expected and not times:
            verdict.unrecorded += 1
        # An alert of unknown outcome may have been committed and deleted since: told once is right then, too.
        elif times > 1 or (times and outcome == "rolled_back"):
            verdict.phantom += 1


def judge_poison(outcomes: Mapping[str, str], truth: Truth, verdict: Verdict) -> None:
    """Look for all poison among the dead letters, once each, and for nothing else there."""
    found: Counter[str] = Counter()
    verdict.dead_letters = len(truth.dead)
    for text in truth.dead:
        mark = MARK.search(text)
        if mark is not None and mark[0] in outcomes:
            found[mark[0]] += 1
        else:
            verdict.healthy_dead_letters += 1
    for mark, outcome in outcomes.items():
        if not MARK.fullmatch(mark):
            continue
        possible = {"committed": {1}, "rolled_back": {0}, "unknown": {0, 1}}[outcome]
        verdict.poison += outcome == "committed" or found[mark] > 0
        verdict.poison_elsewhere += found[mark] not in possible


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` of `values` lie (nearest rank); None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
