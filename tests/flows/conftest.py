"""Fixtures of the flows: the tenant and the servers of the socket tests, and servers with settings of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import FAST, SharedServers
from tests.realtime.conftest import in_thread, tenant
from tests.realtime.tight import tight
from tests.servers import PortalServer

__all__ = ["in_thread", "tenant", "tight"]

LOSSY = {**FAST, "DJANGO_SETTINGS_MODULE": "tests.settings_lossy", "REALTIME_SWEEP_SHARED": "0.3"}
PRESENT = {
    **FAST,
    "REALTIME_PRESENCE_INTERVAL": "0.2",
    "REALTIME_PRESENCE_DAMPING": "0.6",
    "REALTIME_HEARTBEAT": "0.3",
    "REALTIME_HEARTBEAT_EXPIRY": "1.5",
}

UNHURRIED = {
    **FAST,
    "REALTIME_MESSAGES_PER_SECOND": "10000",
    "REALTIME_MESSAGES_BURST": "100000",
    "REALTIME_ERRORS_PER_MINUTE": "100000",
}


@pytest.fixture
def lossy(transactional_db: None, shared_servers: SharedServers) -> Iterator[PortalServer]:
    """Return our Daphne over a channel layer that loses a tenth of its messages and doubles a twentieth."""
    with shared_servers.awake("lossy", LOSSY) as awake:
        yield awake


@pytest.fixture
def present(transactional_db: None, shared_servers: SharedServers) -> Iterator[PortalServer]:
    """Return our Daphne with quick heartbeats and presence that looks five times a second."""
    with shared_servers.awake("present", PRESENT) as awake:
        yield awake


@pytest.fixture
def unhurried(transactional_db: None, shared_servers: SharedServers) -> Iterator[PortalServer]:
    """Return our Daphne without limits on how much a client may say."""
    with shared_servers.awake("unhurried", UNHURRIED) as awake:
        yield awake
