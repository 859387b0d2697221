"""Tracked models: a change of one is told, in its own transaction, however the change was made.

`save` and `delete` run inside `atomic()`: Django sends `post_save` after its own atomic block, so in
autocommit mode a listener's write would otherwise stand outside the change's transaction. The bulk forms send
`rows_changed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.db import models, transaction

from engagement.models.base import ScopedQuerySet, UUIDModel
from engagement.signals import rows_changed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_Tracked = TypeVar("_Tracked", bound="TrackedModel", covariant=True)

UPDATE_CHUNK = 1000
"""Rows read before and after a `QuerySet.update` at a time, so that a large update does not hold them all in memory."""


class TrackedQuerySet(ScopedQuerySet[_Tracked]):
    """A scoped queryset whose bulk writes send `rows_changed` in the same transaction."""

    def bulk_create(self, objs: Iterable[_Tracked], *args: Any, **kwargs: Any) -> list[_Tracked]:
        """Create the rows and tell of them."""
        with transaction.atomic(using=self.db, savepoint=False):
            rows = super().bulk_create(objs, *args, **kwargs)
            self._tell(rows)
        return rows

    def bulk_update(
        self, objs: Iterable[_Tracked], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """Update the rows and tell of them."""
        rows = list(objs)
        with transaction.atomic(using=self.db, savepoint=False):
            # Django's bulk_update calls update() for each batch, on a queryset of this class: a plain one tells
            # nothing, so all of it is told once.
            plain: models.QuerySet[Any] = models.QuerySet(self.model, using=self.db)
            changed = plain.bulk_update(rows, fields, batch_size)
            self._tell(rows)
        return changed

    def update(self, **values: Any) -> int:
        """Update the rows and tell of them, in chunks of `UPDATE_CHUNK`."""
        with transaction.atomic(using=self.db, savepoint=False):
            before = (
                {row.pk: row for row in self.order_by().iterator(UPDATE_CHUNK)} if self._remembers() else None
            )
            keys = list(before) if before is not None else list(self.order_by().values_list("pk", flat=True))
            changed = super().update(**values)
            everything: models.QuerySet[Any] = models.QuerySet(self.model, using=self.db)
            for start in range(0, len(keys), UPDATE_CHUNK):
                rows = list(everything.filter(pk__in=keys[start : start + UPDATE_CHUNK]))
                for row in rows:
                    row.previous = before[row.pk].previous if before is not None else {}
                self._tell(rows)
        return changed

    update.alters_data = True  # type: ignore[attr-defined]

    def _remembers(self) -> bool:
        return bool(self.model.remembered)

    def _tell(self, rows: Sequence[_Tracked]) -> None:
        if rows:
            rows_changed.send(self.model, rows=list(rows), using=self.db)
        for row in rows:
            row.previous = row.current()


class TrackedModel(UUIDModel):
    """A model whose changes become events.

    `remembered` names the columns whose former values a listener needs.
    """

    remembered: ClassVar[tuple[str, ...]] = ()

    previous: dict[str, Any]
    """Values of the `remembered` columns before this change; empty for a row that is new."""

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.previous = {}

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any]) -> Self:
        """Remember what the row came with."""
        row = super().from_db(db, field_names, values)
        row.previous = row.current()
        return row

    def save(self, **kwargs: Any) -> None:
        """Save inside `atomic()`, so that what listens to `post_save` commits or rolls back with the row."""
        with transaction.atomic(using=kwargs.get("using") or self._state.db, savepoint=False):
            super().save(**kwargs)
        self.previous = self.current()

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete inside `atomic()`, for the same reason."""
        with transaction.atomic(using=using or self._state.db, savepoint=False):
            return super().delete(using=using, keep_parents=keep_parents)

    def current(self) -> dict[str, Any]:
        """Return the values of the `remembered` columns that are loaded."""
        return {name: self.__dict__[name] for name in self.remembered if name in self.__dict__}

    def settle(self) -> None:
        """Replace `F()` expressions left by a save with the values the database computed."""
        fields = [
            field.attname
            for field in self._meta.concrete_fields
            if hasattr(self.__dict__.get(field.attname), "resolve_expression")
        ]
        if fields:
            previous = self.previous
            self.refresh_from_db(fields=fields)
            self.previous = previous
