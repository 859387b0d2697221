"""Fixtures for every test: the test database, real portal servers on it, and a real browser."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from django.db import connections
from playwright.sync_api import Browser, sync_playwright

from tests.live import daphne, database_url_of_tests, server, shared_servers
from tests.servers import PortalServer
from tests.servers.chromium import FLAGS, find_chromium
from tests.servers.portal import Kind

__all__ = ["daphne", "server", "shared_servers"]

StartPortal = Callable[..., PortalServer]


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Leave the test database to the end of its server or folder: a pooled connection may still hold it."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep SQLite's test database in a file: server threads and processes have to share it."""
    default = connections["default"].settings_dict
    if connections["default"].vendor == "sqlite":
        default["TEST"]["NAME"] = f"{default['NAME']}.test"
    if connections["default"].vendor == "postgresql":
        # Emptying the tables may deadlock with a server's sweep: the server notices first, gives way, and tries again.
        default["OPTIONS"]["options"] = "-c deadlock_timeout=60s"


@pytest.fixture
def portal_server(transactional_db: None) -> Iterator[StartPortal]:
    """Start real portal servers on the test database: `portal_server(server="uvicorn", env={"DEBUG": "false"})`.

    Each is a process of its own, ready when returned and stopped at the end of the test. With `--backend sqlite` its
    channel layer is its own, too: between processes only the rows are shared.
    """

    def start(
        server: Kind = "daphne", env: Mapping[str, str] | None = None, processes: int = 1
    ) -> PortalServer:
        portal = PortalServer(
            database_url=database_url_of_tests(),
            redis_url=os.environ["REDIS_URL"],
            kind=server,
            processes=processes,
            environment={"REALTIME_DRAIN_SECONDS": "1", **(env or {})},
        )
        stack.callback(portal.close)
        stack.callback(lambda: print(f"--- log of {portal.url} ({server})\n{portal.log_text()}"))
        return portal.start()

    with ExitStack() as stack:
        yield start


@pytest.fixture
def chromium(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """Start a real, headless Chromium with an empty profile.

    Playwright's sync API keeps a loop running in the test's thread, in which Django would refuse ORM calls.
    """
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as playwright:
        program = find_chromium(playwright)
        if program is None:
            without = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            without(
                "No Chromium: install the package chromium, or run .venv/bin/playwright install chromium."
            )
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
