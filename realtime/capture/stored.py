"""Rows as the database holds them: what a write left in it, what was there before, what it took away.

The values of a model instance are what somebody assigned: text for a number, an expression, a time in another zone, a
value that was rolled back. These functions ask the database.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import DataError, Error, connections, models
from django.db.models import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models.sql.compiler import SQLCompiler

log = logging.getLogger(__name__)

Values = dict[str, Any]
_Item = TypeVar("_Item")

CHUNK = 1000
"""Rows read by their keys in one statement; SQLite takes no more than some thousand parameters."""

FETCHED = 5000
"""Rows of a RETURNING that are converted at a time."""


def chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield `items` in order, up to `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def read(
    model: type[models.Model], keys: Iterable[Any], columns: Sequence[str], using: str
) -> dict[Any, Values]:
    """Return the columns of the rows that are there, by key."""
    found: dict[Any, Values] = {}
    for some in chunks(list(keys), CHUNK):
        found |= _values(models.QuerySet(model, using=using).filter(pk__in=some), columns)
    return found


def lock(rows: models.QuerySet[Any], columns: Sequence[str], using: str) -> dict[Any, Values]:
    """Lock `rows` (of one table, without joins) until the transaction ends; return their columns, by key.

    Where the database has one writer at a time (SQLite), being in a transaction is the lock.
    """
    return _values(rows.using(using).select_for_update(no_key=True).order_by("pk"), columns)


def _values(rows: models.QuerySet[Any], columns: Sequence[str]) -> dict[Any, Values]:
    try:
        found = list(rows.values_list("pk", *columns))
    except Exception as error:
        if isinstance(error, Error) and not isinstance(error, DataError):
            raise
        # What is there can be something that its field, or the driver, cannot read: the time `infinity`, say. Who
        # writes over it must not fail for our asking.
        try:
            found = [(key,) for key in rows.values_list("pk", flat=True)]
        except Error:
            raise error from None  # the database's own
        log.exception("stored values that cannot be read", extra={"table": rows.model._meta.db_table})
    return {key: dict(zip(columns, values, strict=False)) for key, *values in found}


def insert(query: sql.InsertQuery, columns: Sequence[str], using: str) -> list[Values]:
    """Insert, and return columns of the rows as they came into the database.

    Of an insert that ignores conflicts these are the rows that were inserted; of an upsert, all of them.
    """
    compiler: Any = query.get_compiler(using=using)
    compiler.returning_fields = [query.get_meta().get_field(name) for name in columns]
    rows: list[Any] = []
    with connections[using].cursor() as cursor:
        for statement, parameters in compiler.as_sql():
            cursor.execute(statement, parameters)
            rows += cursor.fetchall()
    return list(_converted(compiler, query.get_meta(), columns, rows))


def delete(rows: models.QuerySet[Any], columns: Sequence[str], using: str) -> Iterator[list[Values]]:
    """Delete `rows` in one statement; yield columns of those that were deleted, up to `FETCHED` at a time.

    No instance is loaded, and what is returned is what went, whoever else writes meanwhile.
    """
    query: Any = rows.query.clone()
    query.__class__ = sql.DeleteQuery
    compiler: Any = query.get_compiler(using=using)
    connection, options = connections[using], query.get_meta()
    names = ", ".join(connection.ops.quote_name(options.get_field(name).column) for name in columns)
    try:
        statement, parameters = compiler.as_sql()
    except EmptyResultSet:
        return
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} RETURNING {names}", parameters)
        while found := _fetched(cursor, options.db_table):
            yield list(_converted(compiler, options, columns, found))


def _fetched(cursor: Any, table: str) -> list[Any]:
    """Return the next rows; none where one of them is of what the driver cannot read. They are deleted all the same."""
    try:
        return cursor.fetchmany(FETCHED)  # type: ignore[no-any-return]
    except DataError:
        log.exception("deleted rows that cannot be read, and are not told", extra={"table": table})
        return []


def _converted(
    compiler: SQLCompiler, options: Any, columns: Sequence[str], rows: Sequence[Any]
) -> Iterator[Values]:
    expressions = [options.get_field(name).get_col(options.db_table) for name in columns]
    converters = compiler.get_converters(expressions)
    try:
        values = list(compiler.apply_converters(rows, converters)) if converters else rows
    except Exception:
        log.exception("stored values that cannot be read", extra={"table": options.db_table})
        values = rows  # as the database driver gives them
    for row in values:
        yield dict(zip(columns, row, strict=True))
