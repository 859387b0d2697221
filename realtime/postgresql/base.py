"""Django's backend for PostgreSQL; a transaction may leave one statement to be sent together with its COMMIT.

It costs no round trip then. In all else it is as if it had been executed last in the transaction: where it fails,
nothing is committed. The round trip was most of what recording a change cost (docs/decisions/0009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.utils import debug_transaction  # type: ignore[attr-defined]
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.waiting import Ready, Wait

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg.pq.abc import PGconn, PGresult


class Late(Protocol):
    """A statement that may go along with the COMMIT."""

    sql: str
    """It takes one parameter, `%s`, and returns nothing."""

    def parameter(self) -> str:
        """Return what the statement is given. Asked once, when it is sent."""


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to PostgreSQL."""

    late: Late | None = None
    """What was left for the COMMIT of the open transaction."""

    _has_savepoints = False
    """True once the open transaction has had a savepoint: what comes after it may be undone without the rest."""

    def leave_for_commit(self, statement: Late) -> None:
        """Execute `statement` with the COMMIT of the open transaction; or at once, where a part of the transaction may
        be undone without the rest, or a test will never commit it.
        """
        self.late = statement
        if not self.in_atomic_block or self._has_savepoints or self.atomic_blocks[0]._from_testcase:  # type: ignore[attr-defined]
            self.execute_late()

    def execute_late(self) -> None:
        """Execute now what was left for the COMMIT."""
        late, self.late = self.late, None
        if late is not None:
            self.ensure_connection()
            with self.wrap_database_errors, psycopg.Cursor(self.connection) as cursor:
                cursor.execute(late.sql, [late.parameter()])
                _remember_key(late.sql, cursor)

    def _savepoint(self, sid: str) -> None:
        self.execute_late()
        self._has_savepoints = True
        super()._savepoint(sid)  # type: ignore[misc]

    def _commit(self) -> None:
        plan = _plan(self.connection, self.late.sql) if self.late is not None else None
        if plan is None:
            self.execute_late()
        late = self.late
        self._forget()
        if late is None or plan is None:
            super()._commit()  # type: ignore[misc]
        else:
            with debug_transaction(self, "COMMIT"), self.wrap_database_errors:
                _commit_with(self.connection, plan, late.parameter())

    def _rollback(self) -> None:
        self._forget()
        super()._rollback()  # type: ignore[misc]

    def _close(self) -> None:
        self._forget()
        super()._close()  # type: ignore[misc]

    def _forget(self) -> None:
        self.late, self._has_savepoints = None, False


_keys: dict[str, tuple[bytes, tuple[int, ...]]] = {}
"""By which psycopg keeps the plan of a statement that was executed."""


def _remember_key(sql: str, cursor: psycopg.Cursor[Any]) -> None:
    query = cursor._query
    if query is not None:
        _keys[sql] = query.query, query.types


def _plan(connection: psycopg.Connection[Any], sql: str) -> bytes | None:
    """Return the name of the plan that psycopg keeps on `connection` for a late statement.

    None where it has to be executed in the usual way: psycopg makes a plan after `prepare_threshold` times, never where
    that is None, and drops all plans now and then, as after a ROLLBACK. None too where the transaction has executed
    nothing yet, and so has not begun.
    """
    begun = connection.info.transaction_status == TransactionStatus.INTRANS
    if not begun or connection.prepare_threshold is None or sql not in _keys:
        return None
    return connection._prepared._names.get(_keys[sql])


def _commit_with(connection: psycopg.Connection[Any], plan: bytes, parameter: str) -> None:
    """Execute a plan and COMMIT in one round trip. Raise psycopg's errors; then nothing is committed.

    With libpq's own functions: psycopg's pipeline takes as much processor time as the round trip that it saves.
    """
    libpq = connection.pgconn
    with connection.lock:
        try:
            libpq.enter_pipeline_mode()
            libpq.send_query_prepared(plan, [parameter.encode()])
            libpq.send_query_params(b"COMMIT", None)
            libpq.pipeline_sync()
            results = connection.wait(_results(libpq))
            libpq.exit_pipeline_mode()
        except BaseException:
            libpq.finish()  # nobody knows how far it has come
            raise
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result, encoding=connection.info.encoding)


def _results(libpq: PGconn) -> Generator[Wait, Ready | int, list[PGresult]]:
    """Send what waits, and return the results of all statements up to the synchronisation point."""
    while libpq.flush():
        if (yield Wait.RW) & Ready.R:
            libpq.consume_input()
    results: list[PGresult] = []
    while True:
        while libpq.is_busy():
            yield Wait.R
            libpq.consume_input()
        result = libpq.get_result()
        if result is None:  # the end of one statement's
            if libpq.status == ConnStatus.BAD:
                raise psycopg.OperationalError("The connection was lost while a transaction was committed.")
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)
