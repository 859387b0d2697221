"""The pytest plugin that gives the test run its database and channel layer, before Django reads its settings.

`--backend sqlite` (the default) runs on an SQLite file and the in-memory channel layer; `--backend postgres` on a
real PostgreSQL and a real Redis or Valkey, started here and stopped with the run. pytest loads it with
`-p tests.services` (pyproject.toml), since pytest-django reads the settings before any conftest.py. A server that
cannot start ends the run.
"""

import argparse
import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import PostgresServer, RedisServer, ServerError

pytest.register_assert_rewrite("tests.realtime.doors", "tests.sockets")  # before anybody imports them

BACKENDS = ("sqlite", "postgres")
STARTS_SERVERS = {"portal_server", "shared_servers"}
"""The fixtures by which tests get portal servers."""
SEES_BACKEND = {"db", "transactional_db", "backend"}
"""The fixtures by which tests see the backend."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --backend."""
    parser.addoption(
        "--backend",
        choices=BACKENDS,
        default=os.environ.get("PORTAL_TEST_BACKEND", "sqlite"),
        help="sqlite: SQLite file and in-memory layer (default). postgres: real PostgreSQL and real Redis or Valkey. "
        "PORTAL_TEST_BACKEND sets it too.",
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Start what the backend needs and name it in the environment; a wrapper, so ahead of pytest-django."""
    options = early_config.known_args_namespace
    if options.backend not in BACKENDS:
        raise pytest.UsageError(
            f"PORTAL_TEST_BACKEND must be one of {', '.join(BACKENDS)}, not {options.backend!r}."
        )
    if not (options.help or options.version):
        # An end by `kill` or by CI's time limit stops the servers too, as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        services = ExitStack()
        early_config.add_cleanup(services.close)
        try:
            os.environ |= start_services("sqlite" if runs_no_test(options) else options.backend, services)
        except ServerError as error:
            raise pytest.UsageError(str(error)) from None
    return (yield)


def runs_no_test(options: argparse.Namespace) -> bool:
    """Return whether this process only hands tests out to xdist's workers, which have servers of their own."""
    return bool(getattr(options, "numprocesses", None)) and "PYTEST_XDIST_WORKER" not in os.environ


def start_services(backend: str, services: ExitStack) -> dict[str, str]:
    """Start the backend's servers, to be stopped with `services`; return the settings that lead to them.

    They are written out in full, since the developer's `.env` fills in what is missing.
    """
    if backend == "postgres":
        postgres = services.enter_context(PostgresServer(durable=False))
        redis = services.enter_context(RedisServer())
        return {"DEBUG": "true", "DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
    folder = Path(tempfile.mkdtemp(prefix="portal-sqlite-"))
    services.callback(shutil.rmtree, folder, ignore_errors=True)
    return {"DEBUG": "true", "DATABASE_URL": f"sqlite:///{folder / 'portal.sqlite3'}", "REDIS_URL": ""}


def pytest_report_header(config: pytest.Config) -> str:
    """Say in the first lines what this run runs on."""
    return f"backend: {config.option.backend}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a portal server, and leave out what this backend has no part in."""
    here = sees_postgres if config.option.backend == "postgres" else runs_on_sqlite
    for item in items:
        if STARTS_SERVERS & fixtures(item):
            item.add_marker("server")
    left_out = [item for item in items if not here(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if here(item)]


def fixtures(item: pytest.Item) -> set[str]:
    """Return the names of all fixtures that a test gets."""
    return set(getattr(item, "fixturenames", ()))


def runs_on_sqlite(item: pytest.Item) -> bool:
    """Return whether a test can run there."""
    return item.get_closest_marker("postgres") is None


def sees_postgres(item: pytest.Item) -> bool:
    """Return whether a test sees the run's database or asks for the backend, and is not marked `once`. Else it runs
    once, on SQLite."""
    if item.get_closest_marker("once") is not None:
        return False
    return item.get_closest_marker("django_db") is not None or bool(SEES_BACKEND & fixtures(item))
