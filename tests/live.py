"""The pytest plugin with servers that live as long as the run: real ones, one for each server software, on
the test database.

The database is emptied under them after every test, as a restored backup would; they notice by the log's
epoch. For faults and for settings of its own a test starts one with `portal_server`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from realtime.models import Log
from tests.conftest import database_url_of_tests
from tests.factories import UserFactory
from tests.servers import PortalServer
from tests.servers.portal import Kind
from tests.sockets import token_for

FAST = {
    "REALTIME_SWEEP_LOCAL": "0.05",
    "REALTIME_SWEEP_SHARED": "0.1",
    "REALTIME_HANDSHAKES_BURST": "100000",
    "REALTIME_CONNECTIONS_FLUSH": "0.02",
    "REALTIME_DRAIN_SECONDS": "0",
}
"""Settings of the shared servers: sweeps so often that the in-memory layer costs tests no time."""


@pytest.fixture(scope="session")
def _shared_servers(django_db_setup: None) -> Iterator[Callable[[Kind], PortalServer]]:
    started: dict[Kind, PortalServer] = {}
    with ExitStack() as stack:

        def get(kind: Kind) -> PortalServer:
            if kind not in started:
                server = PortalServer(
                    database_url=database_url_of_tests(),
                    redis_url=os.environ["REDIS_URL"],
                    kind=kind,
                    environment=FAST,
                )
                stack.callback(server.close)
                started[kind] = server.start()
            return started[kind]

        yield get


def has_noticed(server: PortalServer) -> bool:
    """Return whether the server's hub knows that it is on the log of this test."""
    probe = token_for(UserFactory())
    subprotocols = [Subprotocol("compliance.v1"), Subprotocol(f"bearer.{probe}")]
    with connect(f"{server.ws_url}/ws/engagement", subprotocols=subprotocols, compression=None) as socket:
        return bool(json.loads(socket.recv(timeout=5))["epoch"] == str(Log.current().epoch))


def noticed(server: PortalServer) -> PortalServer:
    """Wait until it does."""
    wait_until(lambda: has_noticed(server), "the server never noticed that the database was emptied")
    return server


def wait_until(condition: Callable[[], bool], otherwise: str, timeout: float = 10.0) -> None:
    """Ask for `condition` until it holds; fail saying `otherwise` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


@pytest.fixture
def daphne(transactional_db: None, _shared_servers: Callable[[Kind], PortalServer]) -> PortalServer:
    """Return our Daphne on the test database."""
    return noticed(_shared_servers("daphne"))


@pytest.fixture(params=["daphne", "uvicorn"])
def server(
    request: pytest.FixtureRequest, transactional_db: None, _shared_servers: Callable[[Kind], PortalServer]
) -> PortalServer:
    """Return each server software in turn, on the test database."""
    return noticed(_shared_servers(request.param))
