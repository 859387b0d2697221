"""Names of the rows that an event refers to, read for many events at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID


def id_text(value: UUID | str | None) -> str | None:
    """Return the text of an id, which is text already where it was recorded."""
    return None if value is None else str(value)


def names(model: Any, field_name: str, ids: set[str | None]) -> dict[str | None, str]:
    """Return a field of the rows with these ids, by the text of the id."""
    wanted = [key for key in ids if key]
    if not wanted:
        return {}
    return {str(key): name for key, name in model.objects.filter(pk__in=wanted).values_list("pk", field_name)}
