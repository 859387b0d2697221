"""Every refusal of the API is JSON: `{"detail": a sentence, "code": a stable word}`, and maybe `errors` by field."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from engagement.errors import EngagementError, InvalidTransition, NotAllowed
from engagement.sign_in import LOCKED_OUT

STATUS_OF: dict[type[EngagementError], int] = {
    NotAllowed: status.HTTP_403_FORBIDDEN,
    InvalidTransition: status.HTTP_409_CONFLICT,
}
"""HTTP statuses of the domain's refusals; the others are 400."""


class TooLarge(exceptions.APIException):
    """The body is larger than the endpoint reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class LockedOut(exceptions.APIException):
    """Too many failed sign-ins."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "locked_out"
    default_detail = LOCKED_OUT

    @property
    def wait(self) -> float:
        """Seconds until the next try may succeed: DRF tells them as Retry-After."""
        return float(settings.AXES_COOLOFF_TIME.total_seconds())


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception raised in a view; None for a bug, which stays an exception."""
    if isinstance(error, EngagementError):
        return Response({"detail": str(error), "code": error.code}, _status(error))
    if isinstance(
        error, DjangoValidationError
    ):  # a value that DRF did not look at, such as a forged page cursor
        error = exceptions.ValidationError(error.messages)
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        response.data = {"detail": sentence(error.detail), "code": "invalid", "errors": error.detail}
        if not isinstance(error.detail, dict):
            del response.data["errors"]
    elif isinstance(error, exceptions.APIException):
        response.data = {"detail": sentence(error.detail), "code": _code(error)}
    else:  # Django's Http404 and PermissionDenied
        response.data = {
            "detail": sentence(response.data),
            "code": "not_found" if response.status_code == 404 else "refused",
        }
    return response


def sentence(detail: Any) -> str:
    """Return DRF's nested details as one line, such as `severity: "awful" is not a valid choice.`."""
    if isinstance(detail, dict):
        if "detail" in detail:
            return sentence(detail["detail"])
        return " ".join(
            sentence(value) if name == "non_field_errors" else f"{name}: {sentence(value)}"
            for name, value in detail.items()
        )
    if isinstance(detail, list | tuple):
        return " ".join(sentence(value) for value in detail if value)
    return str(detail)


def _status(error: EngagementError) -> int:
    return next(
        (code for kind, code in STATUS_OF.items() if isinstance(error, kind)), status.HTTP_400_BAD_REQUEST
    )


def _code(error: exceptions.APIException) -> str:
    codes = error.get_codes()
    if isinstance(codes, dict):
        codes = codes.get("code", error.default_code)
    return codes if isinstance(codes, str) else error.default_code
