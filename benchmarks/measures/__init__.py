"""The measures, each a module with a `run(stage, say)` that returns an `Outcome`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measures import (
    ceilings,
    encodings,
    eventlog,
    fanout,
    hearing,
    ingest,
    processes,
    rechecks,
    resuming,
    saves,
    scale,
    tenants,
    writes,
)
from benchmarks.results import Outcome
from benchmarks.stage import Stage

Say = Callable[[str], None]
"""Tells of progress, in one line."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure by name."""

    name: str
    what: str
    run: Callable[[Stage, Say], Outcome]


MEASURES = (
    Measure("fanout", "deliveries a second and latency beside the peers, 500 connections", fanout.run),
    Measure(
        "scale", "50, 500, 2,000 and 5,000 connections: deliveries, latency, memory, handshakes", scale.run
    ),
    Measure("tenants", "1,000 clients with 5 connections each", tenants.run),
    Measure("processes", "two processes against one", processes.run),
    Measure("saves", "from save() to the socket", saves.run),
    Measure("writes", "what a save() of a tracked model costs its caller", writes.run),
    Measure("ingest", "interactions a second through REST, save() and bulk_create", ingest.run),
    Measure("resuming", "a storm of 2,000 sockets that resume", resuming.run),
    Measure("rechecks", "what it costs to look at every connection's access again", rechecks.run),
    Measure("encodings", "bytes and processor time of each encoding on dashboard traffic", encodings.run),
    Measure("ceilings", "what sequencing and Redis take at most", ceilings.run),
    Measure("hearing", "what an event costs a process, apart from its deliveries", hearing.run),
    Measure("eventlog", "resuming and sweeping with 10 million events in the log", eventlog.run),
)
