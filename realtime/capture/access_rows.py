"""Rows that access depends on: every write to one is told, in its own transaction, however it was made.

What an instance remembers of its row is not asked: it may be stale, rolled back or made by hand. Any write that may
have changed a column access depends on has the access looked at again; that it did not change is found out there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from django.db import models, router, transaction
from django.db.models import Q
from django.db.models.signals import post_delete, post_save

from realtime.capture.deleting import TellingModel, TellingQuerySet
from realtime.capture.signals import access_changed

_Row = TypeVar("_Row", bound="AccessModel", covariant=True)

CHUNK = 500
"""Rows of one statement of a bulk write."""


class AccessQuerySet(TellingQuerySet[_Row]):
    """Rows whose bulk writes tell whose access they may have changed."""

    def update(self, **values: Any) -> int:
        """Update the rows; tell whose access may have changed.

        The rows are locked first, and those are updated. By the filter alone, a row that another transaction changes
        meanwhile would be updated and not told, or told and not updated.
        """
        if self.query.is_sliced or not self.model.decides_access(values):
            return super().update(**values)
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            keys = self._locked_keys()
            changed = sum(
                models.QuerySet.update(self.filter(pk__in=some), **values) for some in in_chunks(keys)
            )
            self.model.tell_access_changed(keys, self.db)
        return changed

    update.alters_data = True  # type: ignore[attr-defined]

    def _locked_keys(self) -> list[Any]:
        """Return the keys of the rows, each locked; in the order of keys, so that two such writes do not deadlock."""
        wanted = self.order_by().values("pk")
        rows = self.model._base_manager.using(self.db).filter(pk__in=wanted).order_by("pk")
        # no_key: who only refers to a row (a new alert of a client) does not wait.
        return list(rows.select_for_update(no_key=True).values_list("pk", flat=True))

    def bulk_create(
        self,
        objs: Iterable[_Row],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[_Row]:
        """Create the rows; tell whose access may have changed where rows that are there are updated instead."""
        rows, conflict = (
            list(objs),
            (batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields),
        )
        if not update_conflicts or not self.model.decides_access(update_fields or ()):
            return super().bulk_create(rows, *conflict)
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            created = super().bulk_create(rows, *conflict)
            self.model.tell_access_changed(self._keys_by(unique_fields or (), rows), self.db)
        return created

    def _keys_by(self, names: Collection[str], rows: Sequence[AccessModel]) -> list[Any]:
        """Return the keys of the rows with the same values of `names`: not those of the instances, which may differ."""
        found: list[Any] = []
        for some in in_chunks(rows):
            same = Q(pk__in=[])
            for row in some:
                same |= Q(**{name: getattr(row, name) for name in names})
            found += self.model._base_manager.using(self.db).filter(same).values_list("pk", flat=True)
        return found


class AccessModel(TellingModel):
    """A model whose rows decide who may see what."""

    access_fields: ClassVar[tuple[str, ...]] = ()
    """The fields that decide it."""
    told_as: ClassVar[str] = ""
    """The argument of `access_changed` that its keys are told by."""

    class Meta:
        abstract = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Watch each class by itself, proxies too: Django sends signals with the class that was used."""
        super().__init_subclass__(**kwargs)
        post_save.connect(_saved, sender=cls)
        post_delete.connect(_deleted, sender=cls)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save inside `atomic()`: in autocommit, Django sends `post_save` after the row was committed."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)

    @classmethod
    def decides_access(cls, names: Iterable[str]) -> bool:
        """Return whether one of these columns (by name, or by the name of its key) decides who may see what."""
        fields = [cls._meta.get_field(name) for name in (cls._meta.pk.name, *cls.access_fields)]
        deciding = {"pk", *(field.name for field in fields), *(field.attname for field in fields)}  # type: ignore[union-attr]
        return not deciding.isdisjoint(names)

    @classmethod
    def tell_access_changed(cls, keys: Collection[Any], using: str) -> None:
        """Tell that the access that these rows decide may have changed."""
        if keys:
            access_changed.send(cls, using=using, **{cls.told_as: list(keys)})


def in_chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Yield `rows`, so many that one statement takes them."""
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _saved(
    sender: type[AccessModel],
    instance: AccessModel,
    created: bool,
    using: str,
    update_fields: Collection[str] | None,
    **_: Any,
) -> None:
    if not created and (update_fields is None or sender.decides_access(update_fields)):
        sender.tell_access_changed([instance.pk], using)


def _deleted(sender: type[AccessModel], instance: AccessModel, using: str, **_: Any) -> None:
    """Tell that a row is gone, by whichever road: alone, in bulk, or with what it belonged to."""
    sender.tell_access_changed([instance.pk], using)
