"""How large a value may be. The doors refuse what is larger, and so does the database where it can say so."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import (
    MaxLengthValidator,
    MaxValueValidator,
    MinValueValidator,
    ProhibitNullCharactersValidator,
)
from django.db import models
from django.db.models import Q

MAX_DETAILS = 10_000
"""Characters of an alert's details, which go to every open dashboard of an MSP."""

MAX_FRAMEWORKS = 50
MAX_FRAMEWORK = 100
"""Characters of a framework's name."""

MAX_NUMBER = 2**31 - 1
"""What an integer column holds. Sums are kept in larger ones."""

no_null_character = ProhibitNullCharactersValidator()
whole_number = [MinValueValidator(0), MaxValueValidator(MAX_NUMBER)]
details_length = MaxLengthValidator(MAX_DETAILS)


def check_frameworks(value: Any) -> None:
    """Raise ValidationError where `value` is no list of at most `MAX_FRAMEWORKS` names."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValidationError('Frameworks are a list of names, such as ["GDPR", "SOC 2"].')
    if len(value) > MAX_FRAMEWORKS or any(len(name) > MAX_FRAMEWORK for name in value):
        raise ValidationError(
            f"Frameworks are at most {MAX_FRAMEWORKS} names of at most {MAX_FRAMEWORK} characters."
        )
    for name in value:
        no_null_character(name)


def shortened(text: Any) -> Any:
    """Return `text`, cut to `MAX_DETAILS` characters: what leaves the portal, whatever a row holds."""
    return text if not isinstance(text, str) or len(text) <= MAX_DETAILS else f"{text[: MAX_DETAILS - 1]}…"


def framework_names(value: Any) -> list[str]:
    """Return the names in an alert's `frameworks`, within bounds, whatever a row holds."""
    names = value if isinstance(value, list | tuple) else [value] if isinstance(value, str) else []
    return [str(name)[:MAX_FRAMEWORK] for name in names[:MAX_FRAMEWORKS]]


def one_of(field: str, choices: tuple[str, ...], name: str) -> models.CheckConstraint:
    """Return the constraint that `field` is one of `choices`: a job that writes "High" is told, and nothing stored."""
    return models.CheckConstraint(
        name=name,
        condition=Q(**{f"{field}__in": choices}),
        violation_error_message=f"The {field.replace('_', ' ')} is one of {', '.join(choices)}.",
    )
