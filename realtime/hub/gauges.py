"""What a hub shows of itself once a second: who is open and behind, how late the loop is, what the process uses."""

from __future__ import annotations

import os
import platform
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import django

from realtime import metrics

if TYPE_CHECKING:
    from realtime.hub.hub import Hub

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")
SCOPES = ("msp", "client")


class Gauges:
    """The gauges of one hub, under its process's id."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.loop_lag = 0.0
        """How late the last tick was, in seconds."""
        process = str(os.getpid())
        self._connections = {scope: metrics.connections.labels(scope, process) for scope in SCOPES}
        self._behind = metrics.behind.labels(process)
        self._lag = metrics.lag.labels(process)
        self._loop_lag = metrics.loop_lag.labels(process)
        self._memory = metrics.memory.labels(process)
        self._cpu = metrics.cpu.labels(process)
        self._draining = metrics.draining.labels(process)
        versions = (platform.python_version(), django.get_version())
        metrics.info.labels(process, socket.gethostname(), *versions).set(time.time())

    def opened(self, scope: str) -> None:
        """One more connection."""
        self._connections[scope].inc()

    def closed(self, scope: str) -> None:
        """One less."""
        self._connections[scope].dec()

    def lags(self, lags: list[int]) -> None:
        """Take how many events the connections are behind."""
        self._behind.set(sum(lag > 0 for lag in lags))
        self._lag.set(max(lags, default=0))

    def sample(self, late: float) -> None:
        """Take all that is a state; `late`: by how many seconds this tick came late."""
        self.loop_lag = max(0.0, late)
        self._loop_lag.set(self.loop_lag)
        self._draining.set(self._hub.draining)
        self._cpu.set(time.process_time())
        if _STATM.exists():  # Linux
            self._memory.set(int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES)
