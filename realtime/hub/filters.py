"""What of a stream a connection wants: topics and a least severity, for all of it or for single clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from realtime.protocol.inbound import EVENT_TOPICS, SEVERITIES, TOPICS, Severity, Topic

if TYPE_CHECKING:
    from realtime.hub.tail import StreamEvent

_RANK: dict[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class Filter:
    """Topics, and for alerts the least severity; None lets all through."""

    topics: frozenset[Topic] = EVENT_TOPICS
    min_severity: Severity | None = None

    def admits(self, event: StreamEvent) -> bool:
        """Return whether `event` is wanted."""
        if event.hidden or event.type not in self.topics:
            return False
        return (
            self.min_severity is None
            or event.type != "alert"
            or _RANK.get(event.severity, 0) >= _RANK[self.min_severity]
        )

    def without(self, topics: frozenset[Topic]) -> Filter:
        """Return this filter less `topics`."""
        return Filter(self.topics - topics, self.min_severity)

    def listed(self) -> list[Topic]:
        """Return the topics in their usual order."""
        return [topic for topic in TOPICS if topic in self.topics]


EVERYTHING = Filter()
NOTHING = Filter(frozenset())


@dataclass(slots=True)
class Selection:
    """A connection's wish for one stream: a filter for all of it, and others for single clients of an MSP's."""

    whole: Filter = EVERYTHING
    clients: dict[str, Filter] = field(default_factory=dict)
    is_everything: bool = True
    """True where nothing is left out: the connection gets the same frames as others like it. Asked at each event."""

    @property
    def wants_presence(self) -> bool:
        """True where presence was asked for, of the stream or of a client in it."""
        return "presence" in self.whole.topics or any(
            "presence" in wish.topics for wish in self.clients.values()
        )

    def admits(self, event: StreamEvent) -> bool:
        """Return whether `event` is wanted."""
        return self.clients.get(event.client_id, self.whole).admits(event)

    def of(self, client_id: str | None) -> Filter:
        """Return the filter for one client, or for the whole stream."""
        return self.whole if client_id is None else self.clients.get(client_id, self.whole)

    def set(self, client_id: str | None, wish: Filter) -> None:
        """Change the filter for one client, or for the whole stream."""
        if client_id is None:
            self.whole = wish
        else:
            self.clients[client_id] = wish
        whole = self.whole
        self.is_everything = not self.clients and whole.min_severity is None and whole.topics >= EVENT_TOPICS
