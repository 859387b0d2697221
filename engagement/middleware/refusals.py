"""A refusal that no view wrote: JSON as the API has it for the API and for scripts, or a page for people."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

API_PREFIX = "/api/"


def refuse(
    request: HttpRequest, status: int, sentence: str, code: str, *, retry_after: int | None = None
) -> HttpResponse:
    """Return the answer; `retry_after` (seconds) tells when to ask again. It reads nothing from the database."""
    answer: HttpResponse
    if request.path_info.startswith(API_PREFIX) or request.headers.get("Accept") == "application/json":
        answer = JsonResponse({"detail": sentence, "code": code}, status=status)
    else:
        page = render_to_string("refused.html", {"status": status, "sentence": sentence})
        answer = HttpResponse(page, status=status)
    if retry_after is not None:
        answer["Retry-After"] = str(retry_after)
    return answer
