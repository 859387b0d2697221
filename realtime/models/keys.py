"""Keys of the portal's clients and MSPs, in columns of the types that the portal's models have.

Without a constraint in the database: events outlive the rows they tell of, and writing them never waits for those.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models


def client_key(**options: Any) -> Any:
    """Return a field that holds the key of a client."""
    return _key(settings.REALTIME_CLIENT_MODEL, options)


def msp_key(**options: Any) -> Any:
    """Return a field that holds the key of an MSP."""
    return _key(settings.REALTIME_MSP_MODEL, options)


def _key(model: str, options: dict[str, Any]) -> Any:
    given: dict[str, Any] = {"on_delete": models.DO_NOTHING, "related_name": "+", "db_constraint": False}
    return models.ForeignKey(model, **given | {"db_index": False} | options)
