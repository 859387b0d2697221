"""Fixtures of the flows: the tenant and the servers of the socket tests, and servers with settings of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.conftest import database_url_of_tests
from tests.live import FAST, _shared_servers, daphne, noticed, server
from tests.realtime.conftest import in_thread, tenant
from tests.realtime.tight import _tight_server, tight
from tests.servers import PortalServer

__all__ = ["_shared_servers", "_tight_server", "daphne", "in_thread", "server", "tenant", "tight"]

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

StartShared = Callable[[str, Mapping[str, str]], PortalServer]


@pytest.fixture(scope="session")
def _servers_by_name(django_db_setup: None) -> Iterator[StartShared]:
    """Start servers that live as long as the run, one for each name."""
    started: dict[str, PortalServer] = {}
    with ExitStack() as stack:

        def get(name: str, environment: Mapping[str, str]) -> PortalServer:
            if name not in started:
                portal = PortalServer(
                    database_url=database_url_of_tests(),
                    redis_url=os.environ["REDIS_URL"],
                    environment=environment,
                )
                stack.callback(portal.close)
                started[name] = portal.start()
            return started[name]

        yield get


@pytest.fixture
def lossy(transactional_db: None, _servers_by_name: StartShared) -> PortalServer:
    """Return our Daphne over a channel layer that loses a tenth of its messages and doubles a twentieth."""
    return noticed(_servers_by_name("lossy", LOSSY))


@pytest.fixture
def present(transactional_db: None, _servers_by_name: StartShared) -> PortalServer:
    """Return our Daphne with quick heartbeats and presence that looks five times a second."""
    return noticed(_servers_by_name("present", PRESENT))


@pytest.fixture
def unhurried(transactional_db: None, _servers_by_name: StartShared) -> PortalServer:
    """Return our Daphne without limits on how much a client may say."""
    return noticed(_servers_by_name("unhurried", UNHURRIED))
