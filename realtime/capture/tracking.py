"""Tracked models: every write of one is told, in its own transaction, with what the database holds.

However a row is written, it goes through one of three places. `QuerySet._insert` inserts (a save, `create`,
`bulk_create`, an upsert), and the model's manager is its base manager, so that saves and related managers use the
same. `Model._do_update` is the UPDATE of a save. `QuerySet.update` is all others, those of `bulk_update`, of related
managers and of SET_NULL among them. Deletes are in `realtime.capture.deleting`. None of them looks at what an
instance remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, transaction
from django.db.models import ExpressionWrapper, Q, Value, sql
from django.db.models.constants import OnConflict
from django.db.models.signals import class_prepared, pre_delete

from realtime.capture import deleting, stored
from realtime.capture.deleting import TellingModel, TellingQuerySet, key_of, root_of, tell
from realtime.capture.signals import Change

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from realtime.capture.stored import Values

_Tracked = TypeVar("_Tracked", bound="TrackedModel", covariant=True)

UNIQUE_CHUNK = 100
"""Rows that are looked for by other columns than their key in one statement: SQLite's expressions are this deep."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a model's rows."""

    columns: tuple[str, ...]
    """The columns of either side of a change, by attribute name: of a row that was deleted always."""

    both_sides: tuple[str, ...]
    """A write of one of these columns is told with the row's `columns` before it and after it."""

    others: Literal["untold", "by key", "by value"]
    """How a write of other columns alone is told: not at all; by the row's key, for who reads the row later; or with
    its `columns`. Of a row `by key`, the new one is told without values."""

    def needs_both(self, written: Collection[str]) -> bool:
        """Return whether a write of these columns is told with both sides."""
        return not set(self.both_sides).isdisjoint(written)

    def is_told(self, written: Collection[str]) -> bool:
        """Return whether a write of these columns is told."""
        return self.others != "untold" or self.needs_both(written)

    @property
    def of_new_rows(self) -> tuple[str, ...]:
        """The columns that are told of a new row."""
        return () if self.others == "by key" else self.columns


class TrackedQuerySet(TellingQuerySet[_Tracked]):
    """A queryset whose writes are told."""

    def update(self, **values: Any) -> int:
        """Update the rows, and tell of them: exactly those that were updated, as they are now.

        They are locked first, and then those are updated that are locked: else, while others write, a row could be
        updated that is not told, or told that is not updated.
        """
        told, model = self.model.told, root_of(self.model)
        written = _attribute_names(self.model, values)
        if self.query.is_sliced or self.query.combinator:
            return super().update(**values)  # which refuses both
        if (key := model._meta.pk.attname) in written:
            return self._update_keys(model, values[key], values)
        if not told.is_told(written):
            return super().update(**values)
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            needs_both = told.needs_both(written)
            before = stored.lock(
                _by_key(model, self),
                () if told.others == "by key" and not needs_both else told.columns,
                self.db,
            )
            if not before:
                return 0
            rows = self if _has_one_writer(self.db) else self.filter(pk__in=list(before))
            changed = models.QuerySet.update(rows, **values)
            self._result_cache = None
            _tell_updated(model, before, self.db, needs_both=needs_both)
        return changed

    update.alters_data = True  # type: ignore[attr-defined]

    def _update_keys(self, model: Any, key: Any, values: dict[str, Any]) -> int:
        """Give rows other keys: told as rows that go, and rows that come."""
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            before = stored.lock(_by_key(model, self), model.told.columns, self.db)
            new_key = key if hasattr(key, "resolve_expression") else Value(key, model._meta.pk)
            locked: models.QuerySet[Any] = models.QuerySet(model, using=self.db).filter(pk__in=list(before))
            new_keys = dict(locked.values_list("pk", ExpressionWrapper(new_key, model._meta.pk)))
            changed = models.QuerySet.update(self.filter(pk__in=list(before)), **values)
            self._result_cache = None
            tell(model, [Change("deleted", old, before[old]) for old in new_keys], self.db)
            after = stored.read(model, new_keys.values(), model.told.of_new_rows, self.db)
            tell(model, [Change("created", new, None, row or None) for new, row in after.items()], self.db)
        return changed

    def _insert(
        self,
        objs: Sequence[_Tracked],
        fields: Sequence[Any],
        returning_fields: Sequence[Any] | None = None,
        raw: bool = False,
        using: str | None = None,
        on_conflict: OnConflict | None = None,
        update_fields: Sequence[Any] | None = None,
        unique_fields: Sequence[Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Insert rows, and tell of those that came into the database: what Django's own `_insert` is called for.

        The database itself says which those are, and with which values.
        """
        model = root_of(self.model)
        if self.model._meta.concrete_model is not model:  # the own columns of a child
            return super()._insert(  # type: ignore[misc, no-any-return]
                objs, fields, returning_fields, raw, using, on_conflict, update_fields, unique_fields
            )
        self._for_write = True
        writing = _Inserting(
            model, using or self.db, fields, raw, [field.attname for field in returning_fields or ()]
        )
        with transaction.atomic(using=writing.using, savepoint=False):
            if on_conflict is OnConflict.UPDATE:
                rows = writing.upsert(objs, update_fields or (), unique_fields or ())
            else:
                rows = writing.insert(objs, on_conflict)
        return [tuple(row[name] for name in writing.returned) for row in rows] if writing.returned else []

    _insert.alters_data = True  # type: ignore[attr-defined]
    _insert.queryset_only = False  # type: ignore[attr-defined]


@dataclass(slots=True)
class _Inserting:
    """One INSERT into a tracked model's table, and what it tells."""

    model: Any
    using: str
    fields: Sequence[Any]
    raw: bool
    returned: list[str]
    """Columns that the caller wants of the rows."""

    @property
    def told(self) -> Told:
        """What is told of the model."""
        return self.model.told  # type: ignore[no-any-return]

    def insert(self, objs: Sequence[Any], on_conflict: OnConflict | None = None) -> list[Values]:
        """Insert rows and tell of those that were inserted; return them."""
        rows = self._execute(objs, self.told.of_new_rows, on_conflict=on_conflict)
        self._tell(rows, {})
        return rows

    def upsert(
        self, objs: Sequence[Any], update_fields: Sequence[Any], unique_fields: Sequence[Any]
    ) -> list[Values]:
        """Insert rows, or update those that are there; tell of each which it was.

        First what is not there is inserted; then all others are there and can be locked, so that what is told as their
        former values is that. Nothing of this is needed where only a row's values now are told.
        """
        needs_both = self.told.needs_both([field.attname for field in update_fields])
        options = {
            "on_conflict": OnConflict.UPDATE,
            "update_fields": update_fields,
            "unique_fields": unique_fields,
        }
        if self.told.others == "by value" and not needs_both:
            rows = self._execute(objs, self.told.of_new_rows, **options)
            self._tell(rows, {row[self._key]: {} for row in rows})
            return rows
        inserted = self.insert(objs, OnConflict.IGNORE)
        present = self._without(objs, [row[self._key] for row in inserted])
        if not present:
            return inserted
        before: dict[Any, Values] = {}
        for some in stored.chunks(present, UNIQUE_CHUNK):
            before |= stored.lock(
                self._matching(some, unique_fields), self.told.columns if needs_both else (), self.using
            )
        rows = self._execute(present, self.told.columns if needs_both else (), **options)
        self._tell(rows, before)
        # In the order of the objects: Django gives each the key of its row by that.
        new: dict[Any, Any] = {row[self._key]: row for row in inserted}
        others = iter(rows)
        return [new.pop(key_of(self.model, obj.pk), None) or next(others) for obj in objs]

    @property
    def _key(self) -> str:
        return self.model._meta.pk.attname  # type: ignore[no-any-return]

    def _execute(self, objs: Sequence[Any], columns: Sequence[str], **options: Any) -> list[Values]:
        query = sql.InsertQuery(self.model, **options)
        query.insert_values(self.fields, list(objs), raw=self.raw)
        wanted = list(dict.fromkeys((self._key, *columns, *self.returned)))
        return stored.insert(query, wanted, self.using)

    def _without(self, objs: Sequence[Any], keys: list[Any]) -> list[Any]:
        """Return the objects that are not among the inserted rows, an object for each row."""
        left = []
        inserted = set(keys)
        for obj in objs:
            key = key_of(self.model, obj.pk)
            if key in inserted:
                inserted.remove(key)
            else:
                left.append(obj)
        return left

    def _matching(self, objs: Iterable[Any], unique_fields: Sequence[Any]) -> models.QuerySet[Any]:
        """Return the rows that an upsert of `objs` conflicts with."""
        rows: models.QuerySet[Any] = models.QuerySet(self.model, using=self.using)
        if [field.primary_key for field in unique_fields] == [True]:
            return rows.filter(pk__in=[obj.pk for obj in objs])
        same = [{field.attname: getattr(obj, field.attname) for field in unique_fields} for obj in objs]
        either = [Q(**values) for values in same if None not in values.values()]
        return rows.filter(Q.create(either, connector=Q.OR)) if either else rows.none()  # type: ignore[arg-type]

    def _tell(self, rows: Iterable[Values], before: dict[Any, Values]) -> None:
        """Tell of rows as they are now; those in `before` were there, with these values."""
        changes = []
        for row in rows:
            key = row[self._key]
            values = {name: row[name] for name in self.told.columns if name in row}
            changes.append(
                Change(
                    "updated" if key in before else "created", key, before.get(key) or None, values or None
                )
            )
        tell(self.model, changes, self.using)


class TrackedModel(TellingModel):
    """A model whose changes are told. A subclass declares what of it, and takes `objects` as its base manager."""

    told: ClassVar[Told]

    class Meta:
        abstract = True

    def _do_update(
        self,
        base_qs: models.QuerySet[Any],
        using: str | None,
        pk_val: Any,
        values: Collection[tuple[Any, Any, Any]],
        update_fields: Iterable[str] | None,
        forced_update: bool,
    ) -> bool:
        """Update the row of a save, and tell of it. Return whether there was one."""

        def write() -> bool:
            return super(TrackedModel, self)._do_update(
                base_qs, using, pk_val, values, update_fields, forced_update
            )

        model, written = root_of(type(self)), {field.attname for field, _, _ in values}
        if using is None or base_qs.model is not model or not written or not self.told.is_told(written):
            return write()
        needs_both = self.told.needs_both(written)
        with transaction.atomic(using=using, savepoint=False):
            if self.told.others == "by key" and not needs_both:
                before: dict[Any, Values] = {key_of(model, pk_val): {}}
            else:
                before = stored.lock(models.QuerySet(model).filter(pk=pk_val), self.told.columns, using)
            updated = bool(before) and write()
            if updated:
                _tell_updated(model, before, using, needs_both=needs_both)
        return updated


def _tell_updated(model: Any, before: dict[Any, Values], using: str, *, needs_both: bool) -> None:
    """Tell that rows were updated, which are locked and had these values."""
    columns = model.told.both_sides if model.told.others == "by key" else model.told.columns
    for keys in stored.chunks(list(before), stored.CHUNK):
        if needs_both:
            after = stored.read(model, keys, columns, using)
            changes = [Change("updated", key, before[key], after[key]) for key in keys if key in after]
        else:
            changes = [Change("updated", key, None, before[key] or None) for key in keys]
        tell(model, changes, using)


def _by_key(model: Any, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Return the rows of `model` that are in `rows`, in a form that can be locked: without joins and groups."""
    keys = rows.using(rows.db).order_by().values("pk")
    keys.query.select_for_update = False
    return models.QuerySet(model, using=rows.db).filter(pk__in=keys)


def _has_one_writer(using: str) -> bool:
    return not connections[using].features.has_select_for_update


def _attribute_names(model: type[models.Model], names: Iterable[str]) -> set[str]:
    """Return the columns that `update()` names; what is no field, Django itself will refuse."""
    found = set()
    for name in names:
        try:
            found.add(model._meta.get_field(name).attname)  # type: ignore[union-attr]
        except (FieldDoesNotExist, AttributeError):
            continue
    return found


def _connect(sender: type[models.Model], **_: Any) -> None:
    """Listen to deletes of a tracked model, and of each proxy and child: Django names those as the sender."""
    if issubclass(sender, TrackedModel) and not sender._meta.abstract:
        pre_delete.connect(deleting.tell_deleted, sender=sender, dispatch_uid="realtime.capture.deleted")


class_prepared.connect(_connect, dispatch_uid="realtime.capture.prepared")
