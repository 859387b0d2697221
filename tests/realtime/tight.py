"""A shared server with limits so tight that a test reaches each within a few frames."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import FAST, SharedServers
from tests.servers import PortalServer

SUBSCRIPTIONS = 3
BACKLOG_EVENTS = 20
TAIL_EVENTS = 5
MESSAGES_BURST = 30
ERRORS = 8
SETTINGS = {
    "REALTIME_SUBSCRIPTIONS": str(SUBSCRIPTIONS),
    "REALTIME_BACKLOG_EVENTS": str(BACKLOG_EVENTS),
    "REALTIME_TAIL_EVENTS": str(TAIL_EVENTS),
    "REALTIME_PAGE_EVENTS": "4",
    "REALTIME_MESSAGES_BURST": str(MESSAGES_BURST),
    "REALTIME_MESSAGES_PER_SECOND": "5",
    "REALTIME_ERRORS_PER_MINUTE": str(ERRORS),
}


@pytest.fixture
def tight(transactional_db: None, shared_servers: SharedServers) -> Iterator[PortalServer]:
    """Return our Daphne with tight limits, on the test database."""
    with shared_servers.awake("tight", {**FAST, **SETTINGS}) as awake:
        yield awake
