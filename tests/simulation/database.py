"""The database: SQLite in memory, whose statements take a random time and may fail.

A worker waits before each statement, so that anything may happen between two of them; a transaction is one moment, as
it is where transactions are serialisable. A statement may fail before it did anything, or after: then its answer was
lost, as when a connection breaks.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connections

from tests.simulation import workers


class InjectedError(OperationalError):
    """The database's error, made by the simulation."""


class InjectedFault(RuntimeError):
    """An error that no library names, made by the simulation."""


class Database:
    """The one database of all runs in this process; `begin` brings it back to how it was made."""

    def __init__(self, fill: Callable[[], None]) -> None:
        _create_tables()
        fill()
        # By name another one would be found while the event loop runs.
        self._connection = connection = connections["default"]
        self._template = sqlite3.connect(":memory:")
        connection.connection.backup(self._template)
        connection.execute_wrappers.append(self._execute)
        _tell(connection, "_commit", self._committed)
        _tell(connection, "_rollback", self._rolled_back)
        self.changed: Callable[[], None] = lambda: None
        """Called at the moment at which something was committed."""
        self.pending: list[Any] = []
        """What the open transaction has recorded in the log in memory, and who takes it on commit."""
        self.take_pending: Callable[[], None] = lambda: None
        self.weather = Weather()

    def begin(self, weather: Weather) -> None:
        """Bring the rows back to the beginning; from now on fail as `weather` says."""
        self.weather = weather
        self.changed = self.take_pending = lambda: None
        self.pending.clear()
        if self._connection.in_atomic_block:
            raise RuntimeError("A transaction was left open by the run before.")
        self._template.backup(self._connection.connection)

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return rows as they are, at once: for the simulation itself."""
        found: list[tuple[Any, ...]] = self._connection.connection.execute(
            sql.replace("%s", "?"), parameters
        ).fetchall()
        return found

    @property
    def in_transaction(self) -> bool:
        """True within a transaction."""
        return bool(self._connection.in_atomic_block)

    def statement(self) -> None:
        """Take the time of a statement, and fail as one, for what stands for it."""
        if workers.is_worker() and not self.in_transaction:
            workers.sleep(self.weather.delay())
        if (fault := self.weather.fault()) is not None:
            raise fault

    @contextmanager
    def write(self) -> Iterator[None]:
        """Do the same for a transaction in memory: it fails before or after what is done in it."""
        workers.sleep(self.weather.delay())
        fault = self.weather.fault()
        if fault is not None and random.random() < 0.5:
            raise fault
        yield
        if fault is not None:
            raise fault

    def _execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not workers.is_worker():
            return execute(sql, params, many, context)
        if not self._connection.in_atomic_block:
            workers.sleep(self.weather.delay())
        fault = self.weather.fault()
        if fault is not None and (self._connection.in_atomic_block or random.random() < 0.5):
            raise fault
        result = execute(sql, params, many, context)
        if not self._connection.in_atomic_block and not sql.startswith(("SELECT", "BEGIN", "PRAGMA")):
            self.changed()
        if fault is not None:
            with suppress(Exception):
                self._connection.rollback()  # a BEGIN whose answer was lost
            raise fault
        return result

    def _rolled_back(self) -> None:
        self.pending.clear()

    def _committed(self) -> None:
        self.take_pending()
        self.changed()
        if workers.is_worker() and (fault := self.weather.fault()) is not None:
            raise fault


class Weather:
    """How the database does: how long a statement takes, and whether it fails."""

    def __init__(self, failing: float = 0.0, slow: float = 0.0) -> None:
        self.failing = failing
        """How likely a statement fails."""
        self.slow = slow
        """How likely a statement takes long."""
        self.is_away = False
        self.failed_at = 0.0
        """When a statement failed last, by the monotonic clock."""
        self.error: type[Exception] = InjectedError

    @property
    def failed_before(self) -> float:
        """Return how long ago a statement failed, in seconds."""
        return time.monotonic() - self.failed_at

    def clear_up(self) -> None:
        """Let nothing fail from now on."""
        self.failing, self.slow, self.is_away = 0.0, 0.0, False

    def delay(self) -> float:
        """Return how long the next statement takes, in seconds."""
        if self.slow and random.random() < self.slow:
            return random.uniform(0.05, 0.8)
        return 0.0 if random.random() < 0.5 else random.random() ** 2 * 0.03

    def fault(self) -> Exception | None:
        """Return what the next statement raises, if anything."""
        if self.is_away or (self.failing and random.random() < self.failing):
            self.failed_at = time.monotonic()
            return self.error("injected by the simulation")
        return None


def _create_tables() -> None:
    settings.AXES_ENABLED = False  # it writes a line for each log-out
    settings.MIGRATION_MODULES = {app.label: None for app in apps.get_app_configs()}
    call_command("migrate", run_syncdb=True, verbosity=0)


def _tell(connection: Any, name: str, told: Callable[[], None]) -> None:
    """Call `told` after each commit, or rollback."""
    function = getattr(connection, name)

    def and_tell() -> None:
        function()
        told()

    setattr(connection, name, and_tell)
