"""Filters that several lists share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django_filters.fields import IsoDateTimeField


class MomentField(IsoDateTimeField):
    """A moment in ISO 8601, in whatever zone, as UTC: PostgreSQL takes no offset of 16 hours or more."""

    default_error_messages = {"invalid": "A moment in ISO 8601, please: 2026-11-24T22:30:00Z."}

    def to_python(self, value: Any) -> datetime | None:
        """Return the moment. Raise ValidationError for what is none, or lies outside the years 1 to 9999."""
        moment: datetime | None = super().to_python(value)
        try:
            return moment.astimezone(UTC) if moment is not None else None
        except (OverflowError, ValueError):
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):
    """Rows before or after a moment."""

    field_class: type[forms.Field] = MomentField
