"""One WebSocket client's state: where it is in each stream, and all that came. No I/O, no clock of its own.

It keeps to the protocol as any client must: after `resume` it leaves aside what comes on a stream before the
answer (the replay holds it too), and a `resync` moves it on, as a refetch would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.chaos.judge import Record, Replayed, Resynced

EVENTS = frozenset({"alert", "engagement_update", "interaction_update"})


class Watcher:
    """What one client knows. `allowed` are the clients that its user may see."""

    def __init__(self, allowed: set[str], fingerprint: Callable[[str, str, Any], int]) -> None:
        self.allowed = allowed
        self.epoch: str | None = None
        self.records: dict[str, Record] = {}
        self.foreign: list[str] = []
        self.replays: list[Replayed] = []
        self._fingerprint = fingerprint
        self._unanswered: set[str] = set()
        self._replaying: dict[str, tuple[float, int, int]] = {}
        self._resume_sent = 0.0
        self._gap = 0.0

    def positions(self) -> dict[str, int]:
        """Return where it is in each stream."""
        return {stream: record.position for stream, record in self.records.items()}

    def connecting(self, at: float, gap: float) -> None:
        """Note that a handshake begins; `gap`: seconds since it was connected last. What comes is left aside until
        a resume is answered."""
        self._unanswered = set(self.records)
        self._replaying.clear()
        self._resume_sent, self._gap = at, gap

    def resuming(self, at: float) -> None:
        """Note that a `resume` frame is sent."""
        self._resume_sent = at

    def begin(self, stream: str, position: int) -> None:
        """Begin to follow a stream at a position; one that it knows already is resumed instead."""
        if stream not in self.records:
            self.records[stream] = Record(stream, position)

    def take(self, frame: dict[str, Any], at: float) -> None:
        """Take a frame that came at `at` (monotonic seconds)."""
        kind = frame["type"]
        if kind == "batch":
            for message in frame["messages"]:
                self._event(message, at)
        elif kind in EVENTS:
            if "seq" in frame:
                self._event(frame, at)
        elif kind == "resumed":
            self._resumed(frame, at)
        elif kind == "resync":
            self._resync(frame)

    def _event(self, event: dict[str, Any], at: float) -> None:
        stream = event["stream"]
        record = self.records.get(stream)
        if record is None or event["client_id"] not in self.allowed:
            self.foreign.append(f"{stream} {event['seq']} {event['client_id']}")
            return
        if stream in self._unanswered:
            return
        record.took(event["seq"], at, self._fingerprint(event["type"], event["client_id"], event["data"]))
        replaying = self._replaying.get(stream)
        if replaying is not None and event["seq"] >= replaying[1]:
            del self._replaying[stream]
            self.replays.append(Replayed(at, at - replaying[0], replaying[2], self._gap))

    def _resumed(self, frame: dict[str, Any], at: float) -> None:
        stream = frame["stream"]
        self._unanswered.discard(stream)
        if frame["count"]:
            self._replaying[stream] = (self._resume_sent, frame["to"], frame["count"])

    def _resync(self, frame: dict[str, Any]) -> None:
        stream = frame["stream"]
        self._unanswered.discard(stream)
        record = self.records[stream]
        record.resyncs.append(Resynced(len(record.seqs), frame["reason"], record.position, frame["seq"]))
        record.position = frame["seq"]
