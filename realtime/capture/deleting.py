"""Deleting, and telling of every tracked row that goes: a row alone, by a query, or with what it belongs to.

`TellingModel` and `TellingQuerySet` delete with Django's collector, taught to tell many rows at a time and to load none
that it need not load. Whatever deletes by Django's own collector (another model, a plain queryset) is told row by row,
by `pre_delete`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models, router, transaction
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, pre_delete

from realtime.capture import stored
from realtime.capture.signals import Change, rows_changed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_Row = TypeVar("_Row", bound=models.Model, covariant=True)

IS_TOLD = "_deletion_is_told"
"""Attribute of an instance whose deletion the collector has told already."""


def root_of(model: type[models.Model]) -> Any:
    """Return the tracked model whose table holds what is told of a tracked model, its proxies and children."""
    concrete = model._meta.concrete_model or model
    tracked = [parent for parent in concrete._meta.get_parent_list() if hasattr(parent, "told")]
    return tracked[-1] if tracked else concrete


def holds_rows(model: type[models.Model]) -> bool:
    """Return whether rows of `model` are what is told: those of a tracked model, by itself or by a proxy."""
    return hasattr(model, "told") and root_of(model) is model._meta.concrete_model


def key_of(model: type[models.Model], value: Any) -> Any:
    """Return a primary key as the database gives it, however it was typed."""
    return model._meta.pk.to_python(value)


def tell(model: Any, changes: Sequence[Change], using: str) -> None:
    """Tell who listens of changes of `model`'s rows."""
    if changes:
        rows_changed.send(model, changes=list(changes), using=using)


def tell_deleted(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    """Tell of a row that is about to be deleted: the receiver of `pre_delete`."""
    if holds_rows(sender) and not getattr(instance, IS_TOLD, False):
        _tell_deleted(root_of(sender), [instance.pk], using)


def _tell_deleted(model: Any, keys: Iterable[Any], using: str) -> None:
    for some in stored.chunks(list(keys), stored.CHUNK):
        rows: models.QuerySet[Any] = models.QuerySet(model).filter(pk__in=some)
        found = stored.lock(rows, model.told.columns, using)
        tell(model, [Change("deleted", key, values) for key, values in found.items()], using)


class _ToldRows:
    """Rows that the collector deletes without loading them."""

    def __init__(self, rows: models.QuerySet[Any]) -> None:
        self.model = rows.model
        self._rows = rows

    def _raw_delete(self, using: str) -> int:
        model, deleted = root_of(self.model), 0
        key = model._meta.pk.attname
        columns = (key, *(name for name in model.told.columns if name != key))
        for rows in stored.delete(self._rows, columns, using):
            deleted += len(rows)
            tell(model, [Change("deleted", row[key], row) for row in rows], using)
        return deleted


class TellingCollector(Collector):
    """Django's collector, which tells of the tracked rows that it deletes."""

    def _has_signal_listeners(self, model: type[models.Model]) -> bool:
        """Leave our own listener out: rows that nobody else listens to need not be loaded."""
        listeners: list[Any] = []
        for signal in (pre_delete, post_delete):
            for some in signal._live_receivers(model):  # those that are plain functions, and the asynchronous
                listeners += some
        return any(listener is not tell_deleted for listener in listeners)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete, and tell of it in the same transaction."""
        with transaction.atomic(using=self.using, savepoint=False):
            fast: list[Any] = self.fast_deletes
            fast[:] = [_ToldRows(rows) if holds_rows(rows.model) else rows for rows in fast]
            told = [instance for model in self.data if holds_rows(model) for instance in self._tell(model)]
            try:
                return super().delete()
            finally:
                for instance in told:
                    delattr(instance, IS_TOLD)

    def _tell(self, model: type[models.Model]) -> list[models.Model]:
        """Tell of the loaded rows of a model; return them, marked as told."""
        instances = list(self.data[model])
        _tell_deleted(root_of(model), [instance.pk for instance in instances], self.using)
        for instance in instances:
            setattr(instance, IS_TOLD, True)
        return instances


class TellingModel(models.Model):
    """A model whose delete tells of the tracked rows that go with it."""

    class Meta:
        abstract = True

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete the row and all that belongs to it."""
        if self.pk is None:
            return super().delete(using=using, keep_parents=keep_parents)  # which refuses
        collector = TellingCollector(using or router.db_for_write(type(self), instance=self), origin=self)
        collector.collect([self], keep_parents=keep_parents)
        return collector.delete()

    delete.alters_data = True  # type: ignore[attr-defined]


class TellingQuerySet(models.QuerySet[_Row]):
    """A queryset whose delete tells of the tracked rows that go with its rows."""

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the rows and all that belongs to them."""
        query = self.query
        if query.combinator or query.is_sliced or query.distinct_fields or self._fields is not None:  # type: ignore[attr-defined]
            return super().delete()  # which refuses
        rows = self._chain()  # type: ignore[attr-defined]
        rows._for_write = True
        rows.query.select_for_update = rows.query.select_related = False
        rows.query.clear_ordering(force=True)
        collector = TellingCollector(rows.db, origin=self)
        collector.collect(rows)
        deleted = collector.delete()
        self._result_cache = None
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]
