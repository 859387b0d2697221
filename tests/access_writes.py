"""Every way that Django changes a row that access depends on: each takes a row's key, a field and its new value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.core import serializers
from django.db import models, transaction

from engagement.models import MSP, Client, User

Write = Callable[[type[models.Model], Any, str, Any], object]


class UserProxy(User):
    """The same rows by another class, as libraries make them."""

    class Meta:
        proxy = True
        app_label = "engagement"


class ClientProxy(Client):
    """The same, of clients."""

    class Meta:
        proxy = True
        app_label = "engagement"


PROXIES: dict[type[models.Model], type[Any]] = {User: UserProxy, Client: ClientProxy}


def _saved(model: Any, key: Any, field: str, value: Any) -> None:
    row = model.objects.get(pk=key)
    setattr(row, field, value)
    row.save()


def _saved_in_part(model: Any, key: Any, field: str, value: Any) -> None:
    row = model.objects.only("id").get(pk=key)
    setattr(row, field, value)
    row.save(update_fields=[field])


def _saved_deferred(model: Any, key: Any, field: str, value: Any) -> None:
    row = model.objects.defer(model._meta.get_field(field).name).get(pk=key)
    setattr(row, field, value)
    row.save()


def _saved_after_a_rollback(model: Any, key: Any, field: str, value: Any) -> None:
    """The instance believes that it has the new value already."""
    row = model.objects.get(pk=key)
    setattr(row, field, value)
    try:
        with transaction.atomic():
            row.save()
            raise LookupError
    except LookupError:
        row.save()


def _saved_after_a_refresh(model: Any, key: Any, field: str, value: Any) -> None:
    """The instance read the new value from the database, in a transaction that was rolled back."""
    row = model.objects.get(pk=key)
    try:
        with transaction.atomic():
            models.QuerySet(model).filter(pk=key).update(**{field: value})
            row.refresh_from_db()
            raise LookupError
    except LookupError:
        row.save()


def _made_by_hand(model: Any, key: Any, field: str, value: Any) -> None:
    """As a directory sync does that knows all columns: no instance was read."""
    values = model.objects.filter(pk=key).values().get()
    model(**{**values, model._meta.get_field(field).attname: getattr(value, "pk", value)}).save(
        force_update=True
    )


def _updated_or_created(model: Any, key: Any, field: str, value: Any) -> None:
    model.objects.update_or_create(pk=key, defaults={field: value})


def _upserted(model: Any, key: Any, field: str, value: Any) -> None:
    """By another unique field than the key, with a key of its own: the row's stays."""
    row = model.objects.get(pk=key)
    unique = ["username"] if model is User else ["id"]
    copy = model(**{each.attname: getattr(row, each.attname) for each in model._meta.concrete_fields})
    if model is User:
        copy.pk = User().pk
    setattr(copy, field, value)
    model.objects.bulk_create(
        [copy], update_conflicts=True, update_fields=[model._meta.get_field(field).name], unique_fields=unique
    )


def _bulk_updated(model: Any, key: Any, field: str, value: Any) -> None:
    row = model.objects.get(pk=key)
    setattr(row, field, value)
    model.objects.bulk_update([row], [field])


def _loaded(model: Any, key: Any, field: str, value: Any) -> None:
    """As `loaddata` does: saved raw."""
    row = model.objects.get(pk=key)
    setattr(row, field, value)
    for each in serializers.deserialize("json", serializers.serialize("json", [row])):
        each.save()


WRITES: dict[str, Write] = {
    "save": _saved,
    "save of a proxy": lambda model, key, field, value: _saved(PROXIES[model], key, field, value),
    "save in part": _saved_in_part,
    "save of a deferred field": _saved_deferred,
    "save after a rollback": _saved_after_a_rollback,
    "save after a refresh": _saved_after_a_refresh,
    "save by hand": _made_by_hand,
    "update_or_create": _updated_or_created,
    "upsert": _upserted,
    "bulk_update": _bulk_updated,
    "loaddata": _loaded,
    "update": lambda model, key, field, value: model.objects.filter(pk=key).update(**{field: value}),
    "update of values": lambda model, key, field, value: (
        model.objects.filter(pk=key).values().update(**{field: value})
    ),
    "update by a proxy": lambda model, key, field, value: (
        PROXIES[model].objects.filter(pk=key).update(**{field: value})
    ),
    "update by the base manager": lambda model, key, field, value: model._base_manager.filter(pk=key).update(
        **{field: value}
    ),
    "update of a distinct query": lambda model, key, field, value: (
        model.objects.filter(pk=key).distinct().order_by("-pk").update(**{field: value})
    ),
    "aupdate": lambda model, key, field, value: async_to_sync(model.objects.filter(pk=key).aupdate)(
        **{field: value}
    ),
}

USER_CHANGES: dict[str, Callable[[User], Any]] = {
    "is_active": lambda _: False,
    "is_superuser": lambda _: True,
    "password": lambda _: "!another",
    "role": lambda user: "msp_admin" if user.role == "msp_user" else "client_admin",
}
"""A new value for each column of a user that access depends on and that changes alone."""

RELATED: dict[str, Callable[[MSP, Client], object]] = {
    "msp.clients.add": lambda msp, client: msp.clients.add(client),
    "msp.clients.set": lambda msp, client: msp.clients.set([*msp.clients.all(), client]),
    "msp.clients.add, saved each": lambda msp, client: msp.clients.add(client, bulk=False),
}
"""What moves a client to an MSP by its relation."""

DELETES: dict[str, Callable[[type[models.Model], Any], object]] = {
    "delete": lambda model, key: model.objects.get(pk=key).delete(),
    "delete in bulk": lambda model, key: model.objects.filter(pk=key).delete(),
    "delete of a proxy": lambda model, key: PROXIES[model].objects.get(pk=key).delete(),
    "delete of proxies in bulk": lambda model, key: PROXIES[model].objects.filter(pk=key).delete(),
    "delete of an instance read in part": lambda model, key: model.objects.only("id").get(pk=key).delete(),
}
