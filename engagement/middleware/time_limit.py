"""How long one statement of a request may take in the database; and that nothing is read for a client that has gone.

A statement that takes too long is cancelled from outside (PostgreSQL's cancel request, SQLite's interrupt), so no
setting is left on a connection that other work gets next. The view meets an
OperationalError, which `failures` answers with 503.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, cast

import structlog
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

log = structlog.get_logger(__name__)

READS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOK_SECONDS = 0.1
CANCEL_SECONDS = 1.0


class Work:
    """What one request asks of the database: one statement after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: BaseDatabaseWrapper | None = None
        self._began = 0.0
        self._ended = False

    def execute(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Execute a statement, which may be cancelled meanwhile. Raises OperationalError once the request has ended."""
        with self._lock:
            if self._ended:
                raise OperationalError("The client has gone: nothing more is read for it.")
            self._connection, self._began = context["connection"], time.monotonic()
        _watchdog.look_at(self)
        try:
            return execute(sql, params, many, context)
        finally:
            with (
                self._lock
            ):  # a cancel that is under way reaches this statement, not the connection's next one
                self._connection = None

    def cancel_if_older(self, seconds: float) -> bool:
        """Cancel the statement that takes longer than `seconds`; return whether there is one that still may."""
        with self._lock:
            if self._connection is None:
                return False
            if time.monotonic() - self._began > seconds:
                log.warning("statement cancelled", seconds=round(time.monotonic() - self._began, 1))
                _cancel(self._connection)
            return True

    def end(self) -> None:
        """Cancel what is being read, and read nothing more."""
        with self._lock:
            self._ended = True
            if self._connection is not None:
                _cancel(self._connection)


class Watchdog:
    """One thread for the process, which looks at the statements under way. It sleeps where there are none."""

    def __init__(self) -> None:
        self._under_way: set[Work] = set()
        self._some = threading.Condition()
        self._thread: threading.Thread | None = None

    def look_at(self, work: Work) -> None:
        """Look at `work` until its statement has ended."""
        with self._some:
            self._under_way.add(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="statement-watchdog", daemon=True)
                self._thread.start()
            if len(self._under_way) == 1:
                self._some.notify()

    def _run(self) -> None:
        while True:
            with self._some:
                self._some.wait_for(lambda: bool(self._under_way))
                works = list(self._under_way)
            for work in works:
                try:
                    under_way = work.cancel_if_older(settings.HTTP_STATEMENT_SECONDS)
                except Exception:
                    log.exception("statement not cancelled")
                    under_way = True
                if not under_way:
                    with self._some:
                        self._under_way.discard(work)
            time.sleep(LOOK_SECONDS)


_watchdog = Watchdog()
_current: ContextVar[Work | None] = ContextVar("work", default=None)


def _cancel(connection: BaseDatabaseWrapper) -> None:
    raw: Any = connection.connection
    if raw is None:
        return
    if connection.vendor == "postgresql":
        raw.cancel_safe(timeout=CANCEL_SECONDS)
    else:
        raw.interrupt()


def _execute(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    work = _current.get()
    if work is None:
        return execute(sql, params, many, context)
    return work.execute(execute, sql, params, many, context)


def _guard(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _execute not in connection.execute_wrappers:
        connection.execute_wrappers.append(_execute)


def guard_connections() -> None:
    """Have every connection that is made from now on ask whether a request is at work."""
    connection_created.connect(_guard, dispatch_uid="engagement.time_limit")


@sync_and_async_middleware
def time_limit(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Limit what a request asks of the database. Changes made in the admin site have all the time they take."""
    if not iscoroutinefunction(get_response):

        def sync_middleware(request: HttpRequest) -> HttpResponseBase:
            token = _current.set(_work_of(request))
            try:
                return cast("HttpResponseBase", get_response(request))
            finally:
                _current.reset(token)

        return sync_middleware

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        work = _work_of(request)
        token = _current.set(work)
        try:
            return await cast("Awaitable[HttpResponseBase]", get_response(request))
        except asyncio.CancelledError:
            if work is not None and request.method in READS:
                await asyncio.to_thread(work.end)
            raise
        finally:
            _current.reset(token)
            # Django gives the connection back when the answer is sent: slow readers would keep all of the pool's.
            await sync_to_async(close_old_connections)()

    return middleware


def _work_of(request: HttpRequest) -> Work | None:
    changes_in_admin_site = request.path_info.startswith("/admin/") and request.method not in READS
    return None if changes_in_admin_site else Work()
