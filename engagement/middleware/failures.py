"""What the database refused, told in words: 503 where it is away or busy, 400 and 409 where the values do not fit.

None of it is swallowed: each is logged with its traceback, as it is a view that let the values through.
"""

from __future__ import annotations

import sys

import structlog
from django.core.exceptions import FieldError, ValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from django.views.defaults import server_error

from engagement.middleware.refusals import refuse

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5


class DatabaseFailures(MiddlewareMixin):
    """Answers what the database raised in a view."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the answer; None for every other exception."""
        return answer(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer what the database raised outside a view, as where a session was saved; else the page of a bug."""
    exception = sys.exc_info()[1]
    return answer(request, exception) or server_error(request)


def answer(request: HttpRequest, exception: BaseException | None) -> HttpResponse | None:
    """Return the answer to what the database raised; None for what is something else."""
    match exception:
        case OperationalError() | InterfaceError():
            log.warning("database not reached", path=request.path, exc_info=exception)
            sentence = "The database does not answer just now: try again in a moment."
            return refuse(request, 503, sentence, "busy", retry_after=RETRY_SECONDS)
        case IntegrityError():
            log.warning("change refused by the database", path=request.path, exc_info=exception)
            sentence = "This contradicts what is stored, or somebody changed it meanwhile: look at it again."
            return refuse(request, 409, sentence, "conflict")
        case DataError() | OverflowError():
            log.warning("value refused by the database", path=request.path, exc_info=exception)
            return refuse(request, 400, "A value is too large or too long.", "invalid")
        case ValueError() | FieldError() | ValidationError() if _is_of_admin_site(request):
            log.warning("value not understood", path=request.path, exc_info=exception)
            return refuse(request, 400, "The address or the form holds a value that cannot be.", "invalid")
    return None


def _is_of_admin_site(request: HttpRequest) -> bool:
    """Return whether Django's admin site was asked: it hands values of the address on to the database as they are."""
    match = request.resolver_match
    return match is not None and match.app_name == "admin" and bool(request.GET or request.POST)
