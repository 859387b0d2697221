"""Rows as a CSV file, streamed: an export of any length needs the memory of a few hundred rows."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse

ROWS_AT_A_TIME = 500
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes a cell for a formula by (OWASP, "CSV Injection"), also in full width (＝) and after what it
leaves out: spaces of any kind, tabs, line ends, and characters that are not seen.
"""


def csv_response(
    request: HttpRequest, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """Return a download named `name` of `rows`, which are read as they are sent."""
    chunks = _chunks(header, rows)
    return StreamingHttpResponse(
        _in_a_thread(chunks) if isinstance(request, ASGIRequest) else chunks,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def newest_first(rows: QuerySet[Any]) -> Iterator[Any]:
    """Yield the rows, newest first, a few hundred at a time: no cursor is kept open, which a pooler would lose."""
    rows = rows.order_by("-created_at", "-pk")
    some = list(rows[:ROWS_AT_A_TIME])
    while some:
        yield from some
        last = some[-1]
        older = Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk)
        some = list(rows.filter(older)[:ROWS_AT_A_TIME]) if len(some) == ROWS_AT_A_TIME else []


def defused(value: Any) -> Any:
    """Return a cell that a spreadsheet shows instead of running it."""
    if not isinstance(value, str):
        return value
    first = next((letter for letter in value if _is_seen(letter)), "")
    steers = value[:1] in {"\t", "\r", "\n"}
    return f"'{value}" if steers or unicodedata.normalize("NFKC", first).startswith(FORMULA) else value


def _is_seen(letter: str) -> bool:
    return not letter.isspace() and unicodedata.category(letter)[0] != "C"


def _chunks(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    remaining = iter(rows)
    some: list[Sequence[Any]] = [header]
    while some:
        buffer = io.StringIO()
        csv.writer(buffer).writerows([defused(cell) for cell in row] for row in some)
        yield buffer.getvalue()
        some = list(islice(remaining, ROWS_AT_A_TIME))


async def _in_a_thread(chunks: Iterator[str]) -> AsyncIterator[str]:
    """Read from the database apart from the event loop; Django would collect the whole file first."""

    def read() -> str | None:
        try:
            return next(chunks, None)  # StopIteration cannot cross into a coroutine
        finally:
            close_old_connections()  # a slow reader keeps no connection of the pool's while it reads

    while (chunk := await sync_to_async(read)()) is not None:
        yield chunk
