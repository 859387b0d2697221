"""The newest events of a stream in memory, encoded once for all connections that get them.

A connection keeps no queue: it has a cursor into the tail, and frames are cut from the tail between cursor
and head. Whoever waits at the same place gets the same bytes. The tail is bounded in events and bytes; a
connection whose cursor falls off it reads the rows.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import structlog

from realtime import metrics
from realtime.protocol import encoding as wire
from realtime.protocol.encoding import Encoding, Wire

if TYPE_CHECKING:
    from realtime.hub.connection import Following

log = structlog.get_logger(__name__)

Fold = Callable[[Sequence["StreamEvent"]], Sequence["StreamEvent"]]

FRAMES_KEPT = 16
"""Batch frames kept for followers that are at the same place.

Connections drift apart over a handful of places.
"""


OVERHEAD = 500
"""Bytes of an event in memory besides its data, about."""


class StreamEvent:
    """An event in its place in one stream; its bodies are made at first use, once per encoding."""

    folded = 1
    """How many events it stands for (`conflation`)."""

    __slots__ = (
        "_bodies",
        "_wires",
        "client_id",
        "data",
        "heard_at",
        "hidden",
        "seq",
        "severity",
        "stream",
        "timestamp",
        "type",
    )

    def __init__(
        self,
        stream: str,
        seq: int,
        type_: str,
        client_id: str,
        severity: str,
        timestamp: str,
        data: str,
        *,
        hidden: bool = False,
    ) -> None:
        self.stream = stream
        self.seq = seq
        self.type = type_
        self.client_id = client_id
        self.severity = severity
        self.timestamp = timestamp
        self.data = data
        self.hidden = hidden
        """True where it takes its place and is sent to nobody: see `reading.Row`."""
        self.heard_at: float | None = None
        """When the hub took it, by the monotonic clock; None for one that was read for a single connection."""
        self._bodies: dict[bool, bytes | None] = {}
        self._wires: dict[Encoding, Wire | None] = {}

    @property
    def size(self) -> int:
        """Characters of its data: what it counts for in a frame's bound."""
        return len(self.data)

    @property
    def weight(self) -> int:
        """Bytes it may come to hold in memory: its data as it came, serialised, and as a frame."""
        return 3 * len(self.data) + OVERHEAD

    def body(self, encoding: Encoding) -> bytes | None:
        """Return the serialised frame, before compression; None where it is hidden or `encoding` cannot carry it.

        The event is then left out for connections with that encoding, and they go on with the next one. A `resync`
        would not help them: the event would be there again at each resume.
        """
        if self.hidden:
            return None
        binary = encoding is Encoding.MSGPACK
        if binary not in self._bodies:
            write = wire.event_msgpack if binary else wire.event_json
            try:
                body = write(
                    self.type, self.client_id, self.stream, self.seq, self.timestamp, self.data, self.folded
                )
            except Exception as error:
                _skipped(self, encoding, error)
                body = None
            self._bodies[binary] = body
        return self._bodies[binary]

    def frame(self, encoding: Encoding, compress_above: int) -> Wire | None:
        """Return the frame of this event alone; None where `encoding` cannot carry it."""
        if encoding not in self._wires:
            body = self.body(encoding)
            self._wires[encoding] = None if body is None else wire.finish(body, encoding, compress_above)
        return self._wires[encoding]


SKIPS_KNOWN = 1000
"""Events in an encoding that cannot carry them: so many are remembered, to log and count each once."""

_skips: OrderedDict[tuple[str, int, str, Encoding], None] = OrderedDict()


def _skipped(event: StreamEvent, encoding: Encoding, error: Exception) -> None:
    """Log and count, once a process, an event that is read from the rows again at each resume."""
    carrier = Encoding.MSGPACK if encoding is Encoding.MSGPACK else Encoding.JSON
    key = (event.stream, event.seq, event.timestamp, carrier)
    if key in _skips or event.folded > 1:  # of folded events each goes out, or is skipped, for itself
        return
    _skips[key] = None
    if len(_skips) > SKIPS_KNOWN:
        _skips.popitem(last=False)
    metrics.skipped.labels(carrier).inc()
    log.error(
        "event cannot be encoded",
        stream=event.stream,
        seq=event.seq,
        type=event.type,
        encoding=str(carrier),
        exc_info=error,
        next="connections with this encoding go on without it",
    )


def cut(events: Sequence[StreamEvent], most_bytes: int) -> Sequence[StreamEvent]:
    """Return the longest beginning of `events` under `most_bytes`; at least one event."""
    total = 0
    for index, event in enumerate(events):
        total += event.size
        if total > most_bytes and index:
            return events[:index]
    return events


def fold_for(fold: Fold, events: Sequence[StreamEvent], encoding: Encoding) -> Sequence[StreamEvent]:
    """Return `events` folded; as they are where `encoding` cannot carry what they fold to.

    One event that it cannot carry must not take others of its subject with it.
    """
    folded = fold(events)
    carried = all(event.hidden or event.body(encoding) is not None for event in folded)
    return folded if carried else events


def batch_frame(
    events: Sequence[StreamEvent], encoding: Encoding, compress_above: int
) -> tuple[Wire | None, int]:
    """Return one frame for `events`, a `batch` or the event's own frame where it is one, and how many are in it.

    Those that `encoding` cannot carry are left out; None where there is nothing else.
    """
    if len(events) == 1:
        frame = events[0].frame(encoding, compress_above)
        return frame, int(frame is not None)
    bodies = [body for event in events if (body := event.body(encoding)) is not None]
    if not bodies:
        return None, 0
    body = wire.batch(bodies, encoding) if len(bodies) > 1 else bodies[0]
    return wire.finish(body, encoding, compress_above), len(bodies)


class Cut:
    """A frame for those who are at one place and take one encoding, for as long as they are told of news."""

    __slots__ = ("count", "heard_at", "last", "sockets", "waits", "wire")

    def __init__(self, wire: Wire | None, last: int, count: int, heard_at: float | None) -> None:
        self.wire = wire
        """None where the encoding can carry none of its events."""
        self.last = last
        """The seq of its last event."""
        self.count = count
        """Its events."""
        self.heard_at = heard_at
        """When the hub took its last event."""
        self.sockets = 0
        """How many sockets it was written to."""
        self.waits: list[float] = []
        """Seconds from `heard_at` to a socket, for one socket in 16."""

    def written(self) -> None:
        """Count a socket that it was written to."""
        self.sockets += 1
        if self.sockets & 15 == 1 and self.heard_at is not None:
            self.waits.append(time.monotonic() - self.heard_at)


class Tail:
    """The newest events of one stream.

    `head` is the last seq that is known; -1 until it was read from the rows.
    """

    def __init__(self, stream: str, most_events: int, most_bytes: int) -> None:
        self.stream = stream
        self.head = -1
        self.followers: set[Following] = set()
        self.ahead: dict[int, StreamEvent] = {}
        self.idle_since: float | None = None
        self.alerted = False
        """True while followers are told of news with an alert in it."""
        self.cuts: dict[tuple[int, Encoding], Cut | None] = {}
        """While followers are told of news: what goes to those at a cursor; None where there is nothing in memory."""
        self._waking = False
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._events: list[StreamEvent] = []
        self._start = 0
        self._bytes = 0
        self._frames: dict[tuple[Encoding, int, int, int, Fold | None], tuple[Wire | None, int, int]] = {}

    @property
    def first(self) -> int:
        """The seq of the oldest event in memory; one past the head where there is none."""
        return self.head - (len(self._events) - self._start) + 1

    def offer(self, events: Iterable[StreamEvent]) -> tuple[int, int, bool]:
        """Take announced events.

        Return how many were appended, how many came a second time, and whether some are missing.
        """
        appended = doubled = 0
        for event in events:
            if event.seq == self.head + 1 and self.head >= 0:
                self._append(event)
                appended += 1
            elif event.seq <= self.head:
                doubled += 1
            elif len(self.ahead) < self._most_events:  # what is beyond comes from the rows
                self.ahead[event.seq] = event
        appended += self._catch_up_with_ahead()
        return appended, doubled, bool(self.ahead) and self.head >= 0

    def begin(self, head: int) -> None:
        """Start at `head`, read from the rows after the group was joined."""
        self.head = head
        self._catch_up_with_ahead()

    def jump(self, head: int) -> None:
        """Give up what lies between the head and `head`: it is gone from the rows too."""
        self.forget()
        self.head = head

    def forget(self) -> None:
        """Give up the events in memory: who needs them reads the rows."""
        self._events.clear()
        self._start = self._bytes = 0
        self._frames.clear()

    def clients(self, *, hidden: bool = False) -> set[str]:
        """Return whose events are in memory or wait for those before them: those to be sent, or the hidden ones."""
        held = (*self._events[self._start :], *self.ahead.values())
        return {event.client_id for event in held if event.hidden is hidden}

    def after(self, cursor: int, most_bytes: int = sys.maxsize) -> Sequence[StreamEvent]:
        """Return the events after `cursor`, up to `most_bytes` of them.

        `cursor` must be at or after `first - 1`.
        """
        begin = self._start + cursor - self.first + 1
        return cut(self._events[begin:], most_bytes)

    def fills_after(self, cursor: int) -> bool:
        """Return whether what lies after `cursor` takes half of what the tail may hold."""
        waiting, held = self.head - cursor, len(self._events) - self._start
        return 2 * waiting > self._most_events or 2 * waiting * self._bytes > held * self._most_bytes

    def batch(
        self,
        cursor: int,
        encoding: Encoding,
        most_bytes: int,
        compress_above: int,
        fold: Fold | None = None,
    ) -> tuple[Wire | None, int, int]:
        """Return the frame for all that lies between `cursor` and the head (within `most_bytes`, folded if
        `fold` is given), the last seq that it stands for, and its count. The frame is None where `encoding` can
        carry nothing of it.

        Made once for all who are at the same place.
        """
        key = (encoding, cursor, self.head, most_bytes, fold)
        made = self._frames.get(key)
        if made is None:
            events = self.after(cursor, most_bytes)
            if fold is not None:
                events = fold_for(fold, events, encoding)
            frame, count = batch_frame(events, encoding, compress_above)
            made = (frame, events[-1].seq, count)
            if len(self._frames) >= FRAMES_KEPT:
                self._frames.clear()
            self._frames[key] = made
        return made

    def cut(self, cursor: int, encoding: Encoding, most_bytes: int, compress_above: int) -> Cut | None:
        """Return the frame for who is at `cursor`, and keep it in `cuts`; None where it is not all in memory."""
        made = None
        if self.first - 1 <= cursor < self.head:
            wire, last, count = self.batch(cursor, encoding, most_bytes, compress_above)
            made = Cut(wire, last, count, self.heard_at(last))
        self.cuts[cursor, encoding] = made
        return made

    def heard_at(self, seq: int) -> float | None:
        """Return when the event `seq`, which must be in memory, was taken."""
        return self._events[self._start + seq - self.first].heard_at

    def wake(self) -> None:
        """Tell all followers that there is something new: soon, and once for all that is heard until then."""
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake_followers)

    def _wake_followers(self) -> None:
        self._waking = False
        for following in tuple(self.followers):  # a copy: a socket that ends meanwhile leaves the set
            try:
                following.connection.wake(following)
            except Exception:
                log.exception("connection not woken", connection=str(following.connection.id))
                metrics.delivery_failures.inc()
                following.connection.wake_writer()
        self.alerted = False
        for (_, encoding), cut in self.cuts.items():
            if cut is not None and cut.wire is not None:
                metrics.sending(encoding).count(cut.sockets, cut.count, len(cut.wire), cut.waits)
        self.cuts.clear()

    def _append(self, event: StreamEvent) -> None:
        event.heard_at = time.monotonic()
        self._events.append(event)
        self._bytes += event.weight
        self.head = event.seq
        if event.type == "alert":
            self.alerted = True
        while self._start < len(self._events) - 1 and (
            len(self._events) - self._start > self._most_events or self._bytes > self._most_bytes
        ):
            self._bytes -= self._events[self._start].weight
            self._start += 1
        if 2 * self._start > len(self._events):  # at most half is dead, and an event is moved once, amortised
            del self._events[: self._start]
            self._start = 0

    def _catch_up_with_ahead(self) -> int:
        appended = 0
        while self.ahead and self.head >= 0 and (event := self.ahead.pop(self.head + 1, None)) is not None:
            self._append(event)
            appended += 1
        if self.ahead:
            for seq in [seq for seq in self.ahead if seq <= self.head]:
                del self.ahead[seq]
        return appended
