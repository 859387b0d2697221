"""Rows of the log in SQL of our own, with Django's conversions of values.

For what happens with every save and in every round of the publisher: compiled by the ORM, its INSERT took a third of a
recorded save's time, and its statements most of a round's.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.db.models import Model


MOST_PARAMETERS = 20_000
"""In one statement, where the database has no lower limit. PostgreSQL's protocol allows 65,535."""


@cache
def _fields(model: type[Model], names: tuple[str, ...]) -> list[Any]:
    by_name = {field.name: field for field in model._meta.concrete_fields}
    return [by_name[name] for name in names]


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


def insert(
    model: type[Model],
    names: tuple[str, ...],
    rows: Sequence[Sequence[Any]],
    using: str,
    *,
    each: str = "",
    then: str = "",
) -> list[tuple[Any, ...]]:
    """Insert `rows` of parameters (`to_database`), in as few statements as the database takes parameters for.

    `each` is a row's VALUES where it is more than a placeholder a field; `then` what follows them, such as ON CONFLICT.
    Return what a RETURNING in it gives.
    """
    connection = connections[using]
    most = (connection.features.max_query_params or MOST_PARAMETERS) // max(1, len(rows[0])) if rows else 1
    row_sql = f"({each or ', '.join(['%s'] * len(names))})"
    quote = connection.ops.quote_name
    table, into = (
        quote(model._meta.db_table),
        ", ".join(quote(field.column) for field in _fields(model, names)),
    )
    returned: list[tuple[Any, ...]] = []
    head = f"INSERT INTO {table} ({into}) VALUES "  # noqa: S608 - our own names
    with connection.cursor() as cursor:
        for start in range(0, len(rows), most):
            some = rows[start : start + most]
            cursor.execute(
                f"{head}{', '.join([row_sql] * len(some))} {then}", [value for row in some for value in row]
            )
            if "RETURNING" in then:
                returned += cursor.fetchall()
    return returned


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
