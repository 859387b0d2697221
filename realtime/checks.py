"""System checks of real-time delivery: each with an id and a hint."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.db import connection

from realtime import conf

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
    """E003, W004: no channel layer; or one that loses messages silently under load (PITFALLS.md)."""
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


def register() -> None:
    """Register all checks; the last one for `check --deploy`."""
    for check in (values, heartbeat, layer, sqlite):
        checks.register(check, "realtime")
    checks.register(shared_layer, "realtime", deploy=True)
