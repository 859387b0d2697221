"""Requests that no view could make sense of: refused before any of them sees the values.

PostgreSQL takes no NUL character in text, so one in a filter of the admin site or in a path was an HTTP 500 there.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from engagement.middleware.refusals import refuse

MAX_QUERY = 4096
"""Characters of a query string. The longest that our own pages make has some 300."""


class WellFormed(MiddlewareMixin):
    """Refuses a NUL character anywhere, and a query string beyond `MAX_QUERY`."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Return the refusal, or None to go on."""
        query = request.META.get("QUERY_STRING", "")
        if len(query) > MAX_QUERY:
            sentence = f"The address is too long: its query has at most {MAX_QUERY:,} characters."
            return refuse(request, 414, sentence, "too_long")
        if any("\0" in text for text in _texts(request)):
            sentence = "The request holds a NUL character, which no field takes: leave it out."
            return refuse(request, 400, sentence, "invalid")
        return None


def _texts(request: HttpRequest) -> Iterator[str]:
    yield request.path_info
    yield from (value for name, value in request.META.items() if name.startswith("HTTP_"))
    if "%00" in request.META.get("QUERY_STRING", ""):
        for name, values in request.GET.lists():
            yield name
            yield from values
