"""What every model of the domain shares: a UUID key, and a queryset that knows its viewer."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models

from engagement import access
from realtime.capture.access_rows import AccessModel
from realtime.capture.deleting import TellingModel, TellingQuerySet
from realtime.capture.tracking import TrackedModel, TrackedQuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from engagement.models.tenancy import User

_Row = TypeVar("_Row", bound=models.Model, covariant=True)
_Tracked = TypeVar("_Tracked", bound=TrackedModel, covariant=True)


class UUIDModel(TellingModel):
    """A row whose primary key is a random UUID, safe to show outside: it tells nothing of volume or order."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


class ScopedQuerySet(TellingQuerySet[_Row]):
    """Rows that belong to a client through their `client` field."""

    def visible_to(self, viewer: User | AnonymousUser) -> Self:
        """Return the rows of the clients that `viewer` may see; none for whom no client is visible."""
        return self.filter(access.client_filter(viewer, "client"))


class TrackedRows(TrackedQuerySet[_Tracked], ScopedQuerySet[_Tracked]):  # type: ignore[override]
    """Rows of clients whose writes are told live."""


class TrackedRow(TrackedModel, UUIDModel):
    """A row of a client whose writes are told live."""

    class Meta:
        abstract = True


class AccessRow(AccessModel, UUIDModel):
    """A row that decides who may see what."""

    class Meta:
        abstract = True


def scoped_manager() -> Any:
    """Return a manager over `ScopedQuerySet`, usable in migrations' historical models too."""
    return ScopedQuerySet.as_manager()
