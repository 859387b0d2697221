"""Real portal servers on the test database: of a test's own, or shared by the tests of a run.

A shared server is awake only in a test that asks for it. Between two tests it is frozen, so that it costs no time and
touches no rows; the database is emptied meanwhile, and it notices by the log's epoch, as after a restored backup. For
faults and for settings of its own a test starts a server with `portal_server`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

import pytest
from django.db import connection
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from realtime.models import Log, ServerProcess
from tests.factories import UserFactory
from tests.servers import PortalServer
from tests.servers.portal import Kind
from tests.sockets import token_for

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
FAST = {
    **SETTINGS,
    "REALTIME_SWEEP_LOCAL": "0.05",
    "REALTIME_SWEEP_SHARED": "0.1",
    "REALTIME_HANDSHAKES_BURST": "100000",
    "REALTIME_REFUSALS_AT_ONCE": "100000",
    "REALTIME_CONNECTIONS_FLUSH": "0.02",
    "REALTIME_DRAIN_SECONDS": "0",
}
"""Settings of the shared servers: sweeps so often that the in-memory layer costs tests no time."""

SETTLING_SECONDS = 0.02
"""How long the database may take to see what a process sent just before it was frozen: a BEGIN, say."""

UNDER_WAY = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
AND xact_start IS NOT NULL
"""


def database_url_of_tests() -> str:
    """Return the DATABASE_URL of the database that the tests run in, for a process of its own."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def has_noticed(server: PortalServer) -> bool:
    """Return whether the server's hub lives on the log of this test.

    A socket is told the epoch. A server with a SECRET_KEY of its own refuses our token: that it has written that it
    lives has to do there.
    """
    subprotocols = [Subprotocol("compliance.v1"), Subprotocol(f"bearer.{token_for(UserFactory())}")]
    with connect(f"{server.ws_url}/ws/engagement", subprotocols=subprotocols, compression=None) as socket:
        frame = json.loads(socket.recv(timeout=5))
    if frame["type"] == "error":
        return ServerProcess.objects.filter(pid=server.pid, stopped_at=None).exists()
    return bool(frame["epoch"] == str(Log.current().epoch))


def wait_until(condition: Callable[[], bool], otherwise: str, timeout: float = 10.0) -> None:
    """Ask for `condition` until it holds; fail saying `otherwise` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def in_transaction() -> bool:
    """Return whether anybody but us has a transaction open that another one may have to wait for."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(UNDER_WAY)
            return cursor.fetchone() is not None
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0, isolation_level=None)) as probe:
        try:
            probe.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        probe.execute("ROLLBACK")
    return False


def freeze(server: PortalServer) -> bool:
    """Freeze a server unless it is in the middle of a transaction, whose locks would stay; return whether it is."""
    server.pause()
    time.sleep(SETTLING_SECONDS)
    if in_transaction():
        server.resume()
        return False
    return True


class SharedServers:
    """Servers that live as long as the run, one for each name, started at first use."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: dict[str, PortalServer] = {}

    @contextmanager
    def awake(
        self, name: str, environment: Mapping[str, str] = FAST, kind: Kind = "daphne"
    ) -> Iterator[PortalServer]:
        """Give a server that knows the log of this test; freeze it afterwards."""
        server = self._started.get(name)
        if server is None:
            server = PortalServer(
                database_url=database_url_of_tests(),
                redis_url=os.environ["REDIS_URL"],
                kind=kind,
                environment=environment,
                warm=True,
            )
            self._stack.callback(server.close)
            self._started[name] = server
        if server.is_running():
            server.resume()
        else:  # new, or ended by a test
            server.start()
        try:
            wait_until(lambda: has_noticed(server), "the server never noticed that the database was emptied")
            yield server
        finally:
            if server.is_running():
                wait_until(lambda: freeze(server), "the server was never without a transaction")


@pytest.fixture(scope="session")
def shared_servers(django_db_setup: None) -> Iterator[SharedServers]:
    """Return the servers of the run."""
    with ExitStack() as stack:
        yield SharedServers(stack)


@pytest.fixture
def daphne(transactional_db: None, shared_servers: SharedServers) -> Iterator[PortalServer]:
    """Return our Daphne on the test database."""
    with shared_servers.awake("daphne") as awake:
        yield awake


@pytest.fixture(params=["daphne", "uvicorn"])
def server(
    request: pytest.FixtureRequest, transactional_db: None, shared_servers: SharedServers
) -> Iterator[PortalServer]:
    """Return each server software in turn, on the test database."""
    with shared_servers.awake(request.param, kind=request.param) as awake:
        yield awake
