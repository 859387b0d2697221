"""System checks of real-time delivery: each with an id and a hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models
from django.utils.module_loading import import_string

from realtime import conf
from realtime.capture.tracking import TrackedModel, TrackedQuerySet
from realtime.models import Kind, Outbox
from realtime.portal import Portal

OLDEST_SQLITE = (3, 35)


def values(**_: Any) -> list[checks.CheckMessage]:
    """E001: a REALTIME_* setting that does not exist, or has a value it cannot have."""
    found: list[checks.CheckMessage] = []
    for name, value in conf.given().items():
        try:
            conf.parse(name, value)
        except ValueError as error:
            found.append(
                checks.Error(str(error), hint="Correct it, or unset it for the default.", id="realtime.E001")
            )
    return found


def heartbeat(**_: Any) -> list[checks.CheckMessage]:
    """E002: a process would count as dead between two of its heartbeats."""
    if values():
        return []
    current = conf.current()
    if current.heartbeat_expiry >= 2 * current.heartbeat:
        return []
    return [
        checks.Error(
            "REALTIME_HEARTBEAT_EXPIRY is less than twice REALTIME_HEARTBEAT.",
            hint="Let a process miss one heartbeat: set the expiry to three heartbeats.",
            id="realtime.E002",
        )
    ]


def layer(**_: Any) -> list[checks.CheckMessage]:
    """E003, W004: no channel layer; or one that loses messages silently under load."""
    default = getattr(settings, "CHANNEL_LAYERS", {}).get("default")
    if not default:
        return [
            checks.Error(
                'CHANNEL_LAYERS has no "default".',
                hint="Set REDIS_URL, or keep the in-memory layer for one process.",
                id="realtime.E003",
            )
        ]
    if default["BACKEND"] == "channels_redis.core.RedisChannelLayer":
        return [
            checks.Warning(
                "channels_redis.core drops messages silently once a channel holds 100.",
                hint="Use channels_redis.pubsub.RedisPubSubChannelLayer.",
                id="realtime.W004",
            )
        ]
    return []


def shared_layer(**_: Any) -> list[checks.CheckMessage]:
    """W005: several processes without a shared layer hear of each other's events by the sweep only."""
    if "InMemory" in settings.CHANNEL_LAYERS.get("default", {}).get("BACKEND", ""):
        return [
            checks.Warning(
                "The channel layer is in-memory: events of other processes arrive with the sweep, not at once.",
                hint="Set REDIS_URL.",
                id="realtime.W005",
            )
        ]
    return []


def sqlite(**_: Any) -> list[checks.CheckMessage]:
    """E006: an SQLite without RETURNING (before 3.35), which counting active users takes."""
    if connection.vendor != "sqlite":
        return []
    library: Any = connection.Database  # type: ignore[attr-defined]  # the module sqlite3
    if library.sqlite_version_info >= OLDEST_SQLITE:
        return []
    oldest = ".".join(map(str, OLDEST_SQLITE))
    return [
        checks.Error(
            f"SQLite {library.sqlite_version} is too old: the portal takes {oldest} or newer.",
            hint="Take a newer Python or system, or PostgreSQL (DATABASE_URL).",
            id="realtime.E006",
        )
    ]


def declaration(**_: Any) -> list[checks.CheckMessage]:
    """E007 to E013: the portal's declaration (`REALTIME_PORTAL`) is missing or says what is not so."""
    path = getattr(settings, "REALTIME_PORTAL", "")
    if not path:
        return [_undeclared("REALTIME_PORTAL is not set.")]
    try:
        found = import_string(path)
    except ImportError as error:
        return [_undeclared(f"REALTIME_PORTAL is {path!r}, which cannot be imported: {error}.")]
    if not (isinstance(found, type) and issubclass(found, Portal)):
        return [_undeclared(f"REALTIME_PORTAL is {path!r}, which is no class derived from Portal.")]
    declared = found()
    return [*_tenancy(declared), *_topics(declared), *_classes(declared)]


def _undeclared(message: str) -> checks.CheckMessage:
    return checks.Error(
        message, hint="Name a class of yours that derives from realtime.portal.Portal.", id="realtime.E007"
    )


def _tenancy(declared: Portal) -> Iterator[checks.CheckMessage]:
    """Yield E008 for the models of clients and MSPs, E009 for the key between them, E010 for missing methods."""
    name = type(declared).__name__
    for method in ("scope_of", "visible_clients", "declare_topics"):
        if getattr(type(declared), method) is getattr(Portal, method):
            yield checks.Error(
                f"{name} does not define {method}.",
                hint=f"See realtime.portal.Portal.{method}.",
                id="realtime.E010",
            )
    for setting in ("REALTIME_CLIENT_MODEL", "REALTIME_MSP_MODEL"):
        given: Any = getattr(settings, setting, None)
        try:
            model = apps.get_model(given)
        except (AttributeError, LookupError, TypeError, ValueError):
            yield checks.Error(
                f"{setting} is {given!r}, which is no model.",
                hint='Write it as "app_label.Model".',
                id="realtime.E008",
            )
            return
        if not isinstance(model._meta.pk, models.UUIDField | models.IntegerField | models.CharField):
            yield checks.Error(
                f"The key of {given}, a {type(model._meta.pk).__name__}, cannot be part of a stream's name.",
                hint="UUIDs, whole numbers and short texts can.",
                id="realtime.E008",
            )
    clients = declared.clients
    try:
        key = declared.msp
    except FieldDoesNotExist:
        key = None
    if not isinstance(key, models.ForeignKey) or key.related_model is not apps.get_model(
        settings.REALTIME_MSP_MODEL
    ):
        yield checks.Error(
            f"{name}.msp_field is {declared.msp_field!r}, which is no foreign key of {clients.__name__} to "
            f"{settings.REALTIME_MSP_MODEL}.",
            hint="Name the foreign key from a client to its MSP.",
            id="realtime.E009",
        )


def _topics(declared: Portal) -> Iterator[checks.CheckMessage]:
    """Yield E011 for topics, and E012 for their models, that are declared wrongly."""
    if type(declared).declare_topics is Portal.declare_topics:
        return
    longest = Outbox._meta.get_field("kind").max_length or 0
    seen: set[str] = set(Kind.values)
    for topic in declared.topics:
        if topic.kind in seen or not 0 < len(topic.kind) <= longest:
            yield checks.Error(
                f"A topic is called {topic.kind!r}.",
                hint=f"Give each a name of its own, of 1 to {longest} characters; not {', '.join(Kind.values)}.",
                id="realtime.E011",
            )
        seen.add(topic.kind)
        yield from _tracked(topic.kind, topic.model)


def _tracked(kind: str, model: Any) -> Iterator[checks.CheckMessage]:
    if not issubclass(model, TrackedModel):
        yield checks.Error(
            f"The model of the topic {kind!r}, {model.__name__}, is not tracked: its writes are told to nobody.",
            hint="Derive it from realtime.capture.tracking.TrackedModel.",
            id="realtime.E012",
        )
        return
    for manager in (model._default_manager, model._base_manager):
        if not isinstance(manager.get_queryset(), TrackedQuerySet):
            yield checks.Error(
                f"A manager of {model.__name__} makes no TrackedQuerySet: bulk writes by it are told to nobody.",
                hint='Set `objects = TrackedQuerySet.as_manager()` and `Meta.base_manager_name = "objects"`.',
                id="realtime.E012",
                obj=model,
            )
            return


def _classes(declared: Portal) -> Iterator[checks.CheckMessage]:
    """Yield E013 for base classes that cannot be imported."""
    for name in ("model_admin", "api_view"):
        path = getattr(declared, name)
        try:
            import_string(path)
        except ImportError as error:
            yield checks.Error(
                f"{type(declared).__name__}.{name} is {path!r}, which cannot be imported: {error}.",
                hint="Name a class by its dotted path.",
                id="realtime.E013",
            )


def register() -> None:
    """Register all checks; the last one for `check --deploy`."""
    for check in (values, heartbeat, layer, sqlite, declaration):
        checks.register(check, "realtime")
    checks.register(shared_layer, "realtime", deploy=True)
