"""Fixtures for every test: the test database, real portal servers on it, and a real browser."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections, transaction
from django.test import TransactionTestCase, override_settings
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

from realtime.events import publisher
from tests.live import SETTINGS, SharedServers, daphne, database_url_of_tests, server, shared_servers
from tests.servers import PortalServer
from tests.servers.chromium import FLAGS, find_chromium
from tests.servers.portal import Kind
from tests.servers.process import wait_until

__all__ = ["daphne", "server", "shared_servers"]

StartPortal = Callable[..., PortalServer]

# How many examples a property is tried with, a hundred unless `--hypothesis-profile` says otherwise.
settings.register_profile("quick", max_examples=10)
settings.register_profile("thorough", max_examples=2000)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: at the end of the run one worker would be at it, and the others idle."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


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
        default["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"  # it need not outlive the machine


@pytest.fixture(scope="session", autouse=True)
def in_process() -> Iterator[None]:
    """Leave out what would only cost tests in process their time. Servers have `tests.settings`."""
    with (
        pytest.MonkeyPatch.context() as patched,
        override_settings(
            PASSWORD_HASHERS=["tests.hashers.QuickHasher"],
            WHITENOISE_AUTOREFRESH=True,  # else every test client first looks through all static files
        ),
    ):
        patched.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield
    publisher._publishers.clear()  # else the process waits at its end for what can no longer be placed


def empty(test: TransactionTestCase) -> None:
    """Empty the database after a test. Django's `flush` would make content types and permissions anew each time, and
    PostgreSQL a new file for each table and index."""
    tables = emptied_tables()
    for (
        running
    ) in publisher._publishers.values():  # it would look again when no database may be asked any more
        assert wait_until(lambda running=running: running.is_idle, 10), "the publisher never came to rest"
    with transaction.atomic(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


@cache
def emptied_tables() -> list[str]:
    """Return the tables whose rows come from tests, not from `migrate`."""
    kept = {model._meta.db_table for model in (ContentType, Permission)}
    return sorted(set(connection.introspection.django_table_names(only_existing=True)) - kept)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """Return the backend of this run: `sqlite` or `postgres`."""
    return request.config.option.backend


@pytest.fixture
def portal_server(
    request: pytest.FixtureRequest, transactional_db: None, shared_servers: SharedServers
) -> Iterator[StartPortal]:
    """Start real portal servers on the test database: `portal_server(server="uvicorn", env={"DEBUG": "false"})`.

    Each is a process of its own, ready when returned and stopped at the end of the test. With `--backend sqlite` its
    channel layer is its own, too: between processes only the rows are shared. A test marked `browser` gets servers that
    live as long as the run, one for each `env`: it looks at pages, and they may have a past.
    """

    def start(
        server: Kind = "daphne",
        env: Mapping[str, str] | None = None,
        processes: int = 1,
        *,
        warm: bool = True,
    ) -> PortalServer:
        environment = {**SETTINGS, "REALTIME_DRAIN_SECONDS": "1", **(env or {})}
        if request.node.get_closest_marker("browser"):
            return stack.enter_context(shared_servers.awake(f"{server} {environment}", environment, server))
        portal = PortalServer(
            database_url=database_url_of_tests(),
            redis_url=os.environ["REDIS_URL"],
            kind=server,
            processes=processes,
            environment=environment,
            warm=warm,
        )
        stack.callback(portal.close)
        stack.callback(lambda: print(f"--- log of {portal.url} ({server})\n{portal.log_text()}"))
        return portal.start()

    with ExitStack() as stack:
        yield start


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start a real, headless Chromium, one for the tests of a module; a context of it has an empty profile.

    Playwright's sync API keeps a loop running in the test's thread, in which Django would refuse ORM calls and no async
    test could run: for longer than a module it must not last.
    """
    with pytest.MonkeyPatch.context() as patched, sync_playwright() as playwright:
        patched.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        program = find_chromium(playwright)
        if program is None:
            without = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            without(
                "No Chromium: install the package chromium, or run .venv/bin/playwright install chromium."
            )
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
