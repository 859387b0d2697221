"""`/metrics`: what Prometheus scrapes.

Open to whoever sits on this machine and to who brings `METRICS_TOKEN`; to nobody else. Behind a proxy on the same
machine everybody's address is the loopback's, so a request that a proxy passed on is never taken for a local one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from realtime import health
from realtime.hub import threads
from realtime.models import DeadLetter, Event, Log, Outbox, ServerProcess

FILES = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder through which processes of one host add up."""

STATE_SECONDS = 3.0
"""How long the database may take to answer a scrape."""

MOST_COUNTED = 100_000
"""Outbox rows are counted up to here: a scrape must stay cheap when the outbox is not."""

_PASSED_ON = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_PROTO",
)


async def metrics(request: HttpRequest) -> HttpResponse:
    """Answer all metrics as Prometheus text; 403 to who may not see them."""
    if not allowed(request):
        return HttpResponse(
            "Metrics are for this machine, and for who brings METRICS_TOKEN as a bearer token.\n",
            status=403,
            content_type="text/plain; charset=utf-8",
        )
    state = await read_state()
    body = await asyncio.to_thread(exposition, state)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def allowed(request: HttpRequest) -> bool:
    """Return whether this request may see the metrics."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = getattr(settings, "METRICS_TOKEN", "")
    if token and scheme.lower() == "bearer" and constant_time_compare(given.strip(), token):
        return True
    return _is_local(request)


def _is_local(request: HttpRequest) -> bool:
    if any(name in request.META for name in _PASSED_ON):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class State:
    """What is so at the moment of a scrape; None: not known, the database did not answer."""

    layer_up: bool
    processes: int | None = None
    position: int | None = None
    unplaced: int | None = None
    unplaced_age: float | None = None
    oldest_age: float | None = None
    dead_letters: int | None = None

    def families(self) -> Iterator[GaugeMetricFamily]:
        """Return the state as gauges; those that are not known are left out."""
        yield _gauge("realtime_database_up", "1 where the database answers", self.processes is not None)
        yield _gauge("realtime_channel_layer_up", "1 where the channel layer takes messages", self.layer_up)
        for name, meaning, value in (
            ("realtime_server_processes", "Server processes that live, on all hosts", self.processes),
            ("realtime_log_position", "Position of the last event in the log", self.position),
            ("realtime_outbox_rows", "Recorded changes that wait to be published", self.unplaced),
            ("realtime_outbox_age_seconds", "Age of the oldest of them; 0: there is none", self.unplaced_age),
            ("realtime_oldest_event_age_seconds", "Age of the oldest event in the log", self.oldest_age),
            (
                "realtime_dead_letters",
                "Changes that could not be published and wait for a decision",
                self.dead_letters,
            ),
        ):
            if value is not None:
                yield _gauge(name, meaning, value)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=float(value))


async def read_state() -> State:
    """Ask the database and the channel layer how they are."""
    layer_up = await health.layer() != "away"
    try:
        return await asyncio.wait_for(threads.run("hub", _read_rows, layer_up), STATE_SECONDS)
    except (Error, TimeoutError):
        return State(layer_up)


def _read_rows(layer_up: bool) -> State:
    now = timezone.now()
    first = Outbox.objects.order_by("pk").values_list("recorded_at", flat=True).first()
    oldest = Event.objects.order_by("position").values_list("occurred_at", flat=True).first()
    return State(
        layer_up,
        processes=ServerProcess.objects.live().count(),
        position=Log.current().position,
        unplaced=Outbox.objects.all()[:MOST_COUNTED].count() if first else 0,
        unplaced_age=max(0.0, (now - first).total_seconds()) if first else 0.0,
        oldest_age=max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        dead_letters=DeadLetter.objects.all()[:MOST_COUNTED].count(),
    )


class _Families(Collector):
    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return self._state.families()


def exposition(state: State) -> bytes:
    """Return the text: this process's metrics, or all those of the folder where processes add up; and `state`."""
    text = generate_latest(_counted())
    registry = CollectorRegistry()
    registry.register(_Families(state))
    return text + generate_latest(registry)


def _counted() -> CollectorRegistry:
    folder = os.environ.get(FILES)
    if not folder:
        return REGISTRY
    _forget_dead(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return registry


def _forget_dead(folder: Path) -> None:
    """Remove the gauges of processes that are gone, however they went; their counters stay and add up."""
    pids = {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}
    for pid in pids:
        if not _is_alive(int(pid)):
            mark_process_dead(pid, path=folder)  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
