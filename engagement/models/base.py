"""What every model of the domain shares: a UUID key, and a queryset that knows its viewer."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models

from engagement import access
from engagement.models.deleting import TellingModel, TellingQuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from engagement.models.tenancy import User

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


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


def scoped_manager() -> Any:
    """Return a manager over `ScopedQuerySet`, usable in migrations' historical models too."""
    return ScopedQuerySet.as_manager()
