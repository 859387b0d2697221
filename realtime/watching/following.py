"""How far each stream was followed. Pure: frames go in, events and frames to send come out.

After a break, the new connection begins at the streams' ends, and a `resume` asks for what was missed. Whatever comes
on a stream before the answer to it is left aside: the answer's replay holds it too, reaching up to the stream's end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RESUME_REF = "resume"
EVENTS = frozenset({"engagement_update", "interaction_update", "alert"})


@dataclass(slots=True)
class Following:
    """Positions by stream, as far as events were handed out. `from_last`: begin at the server's bookmark."""

    from_last: bool = False
    positions: dict[str, int] = field(default_factory=dict)
    epoch: str | None = None
    _heads: dict[str, int] = field(default_factory=dict)
    _unanswered: set[str] = field(default_factory=set)

    def connected(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        """Take the `connection` frame; return the `resume` to send, or None where there is nothing to resume."""
        self._heads = dict(frame["positions"])
        self.positions = {stream: at for stream, at in self.positions.items() if stream in self._heads}
        if self.positions:
            resume = {
                "type": "resume",
                "ref": RESUME_REF,
                "positions": dict(self.positions),
                "epoch": self.epoch,
            }
            self._unanswered = set(self.positions)
        elif self.from_last:
            resume = {"type": "resume", "ref": RESUME_REF, "positions": "last"}
            self._unanswered = set(self._heads)
        else:
            resume = None
        for stream, head in self._heads.items():
            self.positions.setdefault(stream, head)
        if resume is None or self.epoch is None:
            self.epoch = frame["epoch"]
        return resume

    def take(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the events of a frame that are new, in order; take note of answers to `resume`."""
        match frame["type"]:
            case "batch":
                return [event for message in frame["messages"] for event in self.take(message)]
            case "resumed":
                self._answered(frame["stream"], frame["from"])
            case "resync":
                self._answered(frame["stream"], frame["seq"])
                self.epoch = frame["epoch"]
            case "error" if frame.get("ref") == RESUME_REF:
                for stream in set(self._unanswered):
                    self._answered(stream, self._heads.get(stream, 0))
            case "presence":
                return [frame]
            case kind if kind in EVENTS and self._advances(frame):
                return [frame]
        return []

    def _answered(self, stream: str, position: int) -> None:
        self._unanswered.discard(stream)
        self.positions[stream] = position

    def _advances(self, event: dict[str, Any]) -> bool:
        stream, seq = event.get("stream"), event.get("seq")
        if stream is None or seq is None:  # a snapshot has no place of its own
            return True
        if stream in self._unanswered or seq <= self.positions.get(stream, 0):
            return False
        self.positions[stream] = seq
        return True
