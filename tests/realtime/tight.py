"""A shared server with limits so tight that a test reaches each within a few frames."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.conftest import database_url_of_tests
from tests.live import FAST, noticed
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


@pytest.fixture(scope="session")
def _tight_server(django_db_setup: None) -> Iterator[PortalServer]:
    server = PortalServer(
        database_url=database_url_of_tests(),
        redis_url=os.environ["REDIS_URL"],
        environment={**FAST, **SETTINGS},
    )
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def tight(transactional_db: None, _tight_server: PortalServer) -> PortalServer:
    """Return our Daphne with tight limits, on the test database."""
    return noticed(_tight_server)
