"""Rows of the log in SQL of our own, with Django's conversions of values.

For what happens with every save and in every round of the publisher: compiled by the ORM, its INSERT took a third of a
recorded save's time, and its statements most of a round's.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import connections
from django.db.models import UUIDField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from django.db.models import Model


MOST_PARAMETERS = 20_000
"""In one statement, where the database has no lower limit. PostgreSQL's protocol allows 65,535."""


@cache
def _fields(model: type[Model], names: tuple[str, ...]) -> list[Any]:
    return [model._meta.get_field(name) for name in names]


@cache
def columns(model: type[Model], names: tuple[str, ...], using: str) -> str:
    """Return the columns of fields as a SELECT lists them."""
    quote = connections[using].ops.quote_name
    table = quote(model._meta.db_table)
    return ", ".join(f"{table}.{quote(field.column)}" for field in _fields(model, names))


def to_database(
    model: type[Model], names: tuple[str, ...], values: Iterable[Sequence[Any]], using: str
) -> list[list[Any]]:
    """Return rows of values of fields as the database takes them."""
    connection, fields = connections[using], _fields(model, names)
    return [
        [field.get_db_prep_value(value, connection) for field, value in zip(fields, row, strict=True)]
        for row in values
    ]


@cache
def insert_sql(model: type[Model], names: tuple[str, ...], using: str) -> str:
    """Return the INSERT of fields, up to what is inserted."""
    quote = connections[using].ops.quote_name
    into = ", ".join(quote(field.column) for field in _fields(model, names))
    return f"INSERT INTO {quote(model._meta.db_table)} ({into})"


def insert(
    model: type[Model],
    names: tuple[str, ...],
    rows: Sequence[Sequence[Any]],
    using: str,
    *,
    each: str = "",
    then: str = "",
) -> None:
    """Insert `rows` of parameters (`to_database`), in as few statements as the database takes parameters for.

    `each` is a row's VALUES where it is more than a placeholder a field; `then` what follows them, such as ON CONFLICT.
    """
    most = (
        (connections[using].features.max_query_params or MOST_PARAMETERS) // max(1, len(rows[0]))
        if rows
        else 1
    )
    row_sql = f"({each or ', '.join(['%s'] * len(names))})"
    head = insert_sql(model, names, using)
    for start in range(0, len(rows), most):
        some = rows[start : start + most]
        values = ", ".join([row_sql] * len(some))
        execute(f"{head} VALUES {values} {then}", [value for row in some for value in row], using)


@cache
def given(model: type[Model], names: tuple[str, ...], using: str) -> str:
    """Return a table of the rows that one parameter gives (`as_json`), for PostgreSQL.

    One statement for any number of rows, which PostgreSQL plans once; and neither side handles each value for itself.
    """
    quote, connection = connections[using].ops.quote_name, connections[using]
    columns_sql = ", ".join(
        f"{quote(field.column)} {str(field.db_type(connection)).partition('(')[0]}"
        for field in _fields(model, names)
    )
    return f"json_to_recordset(%s::json) AS given ({columns_sql})"


def as_json(model: type[Model], names: tuple[str, ...], instances: Iterable[object]) -> str:
    """Return rows as the parameter of `given`."""
    fields = [(field.column, field.attname) for field in _fields(model, names)]
    return msgspec.json.encode(
        [{column: getattr(instance, name) for column, name in fields} for instance in instances]
    ).decode()


def excluded(names: Iterable[str]) -> str:
    """Return what follows SET where an upsert takes these columns as they were given."""
    return ", ".join(f"{name} = EXCLUDED.{name}" for name in names)


def key_text(field: Any, column: str, using: str) -> str:
    """Return the SQL of the text of a key, as Python writes it. `field` is the key's, or one that refers to it."""
    if connections[using].vendor == "postgresql":
        return f"{column}::text"
    if not isinstance(getattr(field, "target_field", field), UUIDField):
        return f"CAST({column} AS TEXT)"
    parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))  # SQLite holds its 32 digits
    return " || '-' || ".join(f"substr({column}, {start}, {length})" for start, length in parts)


def execute(sql: str, parameters: Sequence[Any], using: str) -> None:
    """Execute a statement that returns nothing."""
    with _cursor(using) as cursor:
        cursor.execute(sql, parameters)


def fetch(sql: str, parameters: Sequence[Any], using: str) -> list[tuple[Any, ...]]:
    """Return what a statement returns."""
    with _cursor(using) as cursor:
        cursor.execute(sql, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


@contextmanager
def _cursor(using: str) -> Iterator[Any]:
    """Give a cursor.

    On PostgreSQL one that binds on the server, so that `prepare_threshold` (OPTIONS in settings) counts: a statement
    that comes again and again is planned once.
    """
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            yield cursor
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.Database.Cursor(connection.connection) as cursor:
        yield cursor


@cache
def _converters(model: type[Model], names: tuple[str, ...], using: str) -> list[list[Callable[..., Any]]]:
    connection = connections[using]
    made = []
    for field in _fields(model, names):
        column = field.get_col(model._meta.db_table)
        made.append([*connection.ops.get_db_converters(column), *field.get_db_converters(connection)])
    return made


def from_database(
    model: type[Model], names: tuple[str, ...], rows: Iterable[Sequence[Any]], using: str
) -> list[tuple[Any, ...]]:
    """Return rows that a SELECT of `columns` gave, as values of fields."""
    connection, converters = connections[using], _converters(model, names, using)

    def converted(value: Any, through: list[Callable[..., Any]]) -> Any:
        for convert in through:
            value = convert(value, None, connection)
        return value

    return [tuple(map(converted, row, converters)) for row in rows]
