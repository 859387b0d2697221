"""What delivery counts, in Prometheus terms. Everything that is repaired, dropped or refused shows here.

Counted where it happens, so a scrape costs the database next to nothing; what is a state and not a count (is the
database there, how old is the outbox) is asked by `metrics_endpoint` when somebody scrapes. Several processes
of one host add up through the files of `PROMETHEUS_MULTIPROC_DIR` (docs/operations.md, "Metrics").

On the hot path nothing is looked up by label: `Sending` holds the counters of one encoding. Gauges are labelled with
the process they tell of (its pid), counters are not: they go on growing when a process is replaced.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from realtime.protocol.closing import CloseCode

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

recorded = Counter(
    "realtime_changes_recorded", "Changes written to the outbox, in their own transaction", ["kind"]
)
record_failures = Counter(
    "realtime_record_failures", "Writes whose changes could not be recorded in full: a fault of ours"
)
placed = Counter("realtime_events_placed", "Events sequenced by this process", ["type"])
published = Counter("realtime_announcements", "Group messages sent to the channel layer")
announcements_failed = Counter(
    "realtime_announcements_failed", "Group messages the channel layer did not take"
)
place_failures = Counter("realtime_place_failures", "Batches of the publisher that the database refused")
dead_lettered = Counter(
    "realtime_changes_dead_lettered", "Recorded changes moved to the dead letters", ["kind"]
)
to_published = Histogram(
    "realtime_commit_to_publish_seconds", "From recording to published", buckets=_SECONDS
)
to_hub = Histogram("realtime_commit_to_hub_seconds", "From recording to the hub", buckets=_SECONDS)
to_socket = Histogram(
    "realtime_hub_to_socket_seconds", "From the hub to written to a socket, by event frame", buckets=_SECONDS
)
delivered = Counter("realtime_events_delivered", "Events written to sockets", ["encoding"])
frames = Counter("realtime_frames_sent", "Event frames written to sockets", ["encoding"])
delivered_bytes = Counter("realtime_bytes_sent", "Bytes of event frames written to sockets", ["encoding"])
folded = Counter(
    "realtime_events_folded", "Updates that went out within a newer one of their subject (?rate=)"
)
gaps = Counter("realtime_gaps_repaired", "Runs of missing events read from the rows", ["found_by"])
doubles = Counter("realtime_doubles_dropped", "Duplicates: received events that had come before")
position_checks = Counter(
    "realtime_position_checks", "Positions told in pings, against what was sent", ["result"]
)
presence_frames = Counter("realtime_presence_frames", "Presence frames sent")
skipped = Counter(
    "realtime_events_skipped", "Events left out of an encoding that cannot carry them", ["encoding"]
)
delivery_failures = Counter(
    "realtime_delivery_failures", "Faults of the server in handing an event to one connection"
)
catch_ups = Counter("realtime_catch_ups", "Times a connection fell behind the events in memory")
pages = Counter("realtime_pages_read", "Pages of events read from the rows")
sweeps = Counter("realtime_sweeps", "Searches of the log for events that no group message brought")
sweep_failures = Counter("realtime_sweep_failures", "Sweeps that the database refused")
task_failures = Counter(
    "realtime_task_failures", "Failures of the hub's long-lived tasks and of its one-off work", ["task"]
)
rows_refused = Counter(
    "realtime_connection_rows_dropped",
    "Connection rows that the database refused, or for which it was away too long",
)
resumes = Counter("realtime_resumes", "Streams resumed", ["outcome"])
opened = Counter("realtime_connections_opened", "Connections accepted", ["scope"])
closed = Counter("realtime_connections_closed", "Connections closed", ["code"])
connections = Gauge(
    "realtime_connections", "Connections open", ["scope", "process"], multiprocess_mode="livesum"
)
behind = Gauge(
    "realtime_connections_behind",
    "Connections that have not been sent all there is",
    ["process"],
    multiprocess_mode="livesum",
)
lag = Gauge(
    "realtime_lag_events",
    "Events that the slowest connection is behind",
    ["process"],
    multiprocess_mode="livesum",
)
loop_lag = Gauge(
    "realtime_loop_lag_seconds",
    "How late the event loop's last tick was",
    ["process"],
    multiprocess_mode="livesum",
)
memory = Gauge("realtime_process_memory_bytes", "Resident memory", ["process"], multiprocess_mode="livesum")
cpu = Gauge(
    "realtime_process_cpu_seconds", "Processor time used so far", ["process"], multiprocess_mode="livesum"
)
draining = Gauge(
    "realtime_process_draining",
    "1 while a process hands its connections over",
    ["process"],
    multiprocess_mode="livesum",
)
info = Gauge(
    "realtime_process_start_time_seconds",
    "When a process began to serve sockets, since the epoch; what it runs on",
    ["process", "host", "python", "django"],
    multiprocess_mode="livesum",
)
refused = Counter("realtime_connections_refused", "Connections refused", ["reason"])
auth_failures = Counter(
    "realtime_auth_failures", "Credentials refused, by the door they came to", ["door", "reason"]
)
errors = Counter("realtime_message_errors", "Frames of clients answered with an error", ["code"])
limited = Counter("realtime_limits_hit", "Limits hit", ["limit"])
revoked = Counter("realtime_connections_revoked", "Connections whose access was taken away")
disconnected = Counter("realtime_connections_disconnected", "Connections an administrator closed")
drains = Counter("realtime_drains", "Times a process began to hand its connections over")

_CODES = {str(int(code)) for code in CloseCode} | {"1001", "1002", "1003", "1005", "1006", "1007"}


def code_label(code: int) -> str:
    """Return a close code as a label; `other` for one that clients made up, so that they make no series."""
    return str(code) if str(code) in _CODES else "other"


class Sending:
    """The counts of event frames in one encoding: plain numbers on the hot path, told to Prometheus by `settle`."""

    __slots__ = ("_bytes", "_delivered", "_events", "_frames", "_size", "_waits", "frames")

    def __init__(self, encoding: str) -> None:
        self._delivered = delivered.labels(encoding)
        self._frames = frames.labels(encoding)
        self._bytes = delivered_bytes.labels(encoding)
        self.frames = self._events = self._size = 0
        self._waits: list[float] = []

    def count(self, frames: int, events: int, size: int, waits: Iterable[float]) -> None:
        """Count frames of `events` events and `size` bytes each; and of some, how long the hub had them."""
        self.frames += frames
        self._events += frames * events
        self._size += frames * size
        self._waits += waits

    def count_one(self, events: int, size: int, heard_at: float | None) -> None:
        """Count one frame; of the first in 16, how long the hub had it."""
        waits = (time.monotonic() - heard_at,) if heard_at is not None and self.frames & 15 == 0 else ()
        self.count(1, events, size, waits)

    def settle(self) -> None:
        """Tell Prometheus what was counted since the last time."""
        if not self.frames:
            return
        self._delivered.inc(self._events)
        self._frames.inc(self.frames)
        self._bytes.inc(self._size)
        for wait in self._waits:
            to_socket.observe(wait)
        self.frames = self._events = self._size = 0
        self._waits = []


@cache
def sending(encoding: str) -> Sending:
    """Return the counters of an encoding."""
    return Sending(encoding)
