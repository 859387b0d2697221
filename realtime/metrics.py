"""Counters of delivery, in Prometheus terms. Everything that is repaired, dropped or refused shows here."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

placed = Counter("realtime_events_placed", "Events given their places by this process", ["type"])
published = Counter("realtime_announcements", "Group messages sent to the channel layer")
announcements_failed = Counter(
    "realtime_announcements_failed", "Group messages the channel layer did not take"
)
place_failures = Counter("realtime_place_failures", "Rounds of the publisher that the database refused")
delivered = Counter("realtime_events_delivered", "Events written to sockets", ["encoding"])
frames = Counter("realtime_frames_sent", "Event frames written to sockets", ["encoding"])
delivered_bytes = Counter("realtime_bytes_sent", "Bytes of event frames written to sockets", ["encoding"])
to_hub = Histogram("realtime_commit_to_hub_seconds", "From recording to the hub", buckets=_SECONDS)
gaps = Counter("realtime_gaps_repaired", "Runs of missing events read from the rows", ["found_by"])
doubles = Counter("realtime_doubles_dropped", "Announced events that had come before")
position_checks = Counter(
    "realtime_position_checks", "Positions told in pings, against what was sent", ["result"]
)
presence_frames = Counter("realtime_presence_frames", "Presence frames sent")
catch_ups = Counter("realtime_catch_ups", "Times a connection fell behind the events in memory")
pages = Counter("realtime_pages_read", "Pages of events read from the rows")
sweeps = Counter("realtime_sweeps", "Looks through the rows for what was not announced")
sweep_failures = Counter("realtime_sweep_failures", "Sweeps that the database refused")
resumes = Counter("realtime_resumes", "Streams resumed", ["outcome"])
opened = Counter("realtime_connections_opened", "Connections accepted", ["scope"])
closed = Counter("realtime_connections_closed", "Connections closed", ["code"])
connections = Gauge("realtime_connections", "Connections open in this process", ["scope"])
refused = Counter("realtime_connections_refused", "Connections refused", ["reason"])
errors = Counter("realtime_message_errors", "Frames of clients answered with an error", ["code"])
limited = Counter("realtime_limits_hit", "Limits hit", ["limit"])
revoked = Counter("realtime_connections_revoked", "Connections whose access was taken away")
