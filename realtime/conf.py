"""Every setting of real-time delivery: type, unit, default and meaning in one typed class, read lazily.

A setting comes from the environment as `REALTIME_<NAME>` (through `settings.REALTIME`); `checks.py` reports a
bad value with its id and the remedy, and a bad value never takes effect silently: reading it raises
ImproperlyConfigured.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


def _setting(default: Any, meaning: str, *, unit: str = "", least: float | None = None) -> Any:
    return field(default=default, metadata={"meaning": meaning, "unit": unit, "least": least})


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSettings:
    """The settings of the `realtime` app.

    Names are those of the environment, less `REALTIME_`, in lower case.
    """

    # Publishing
    publish_batch: int = _setting(500, "Events sequenced in one transaction", unit="events", least=1)
    announce_timeout: float = _setting(
        1.0,
        "How long publishing to the channel layer may take before it counts as failed",
        unit="s",
        least=0.01,
    )
    announce_pause: float = _setting(
        2.0,
        "How long nothing is published after publishing failed; events are sequenced all the same",
        unit="s",
        least=0,
    )
    flush_timeout: float = _setting(
        5.0, "How long a process waits at exit for its publisher", unit="s", least=0
    )

    # The hub
    sweep_local: float = _setting(
        0.5,
        "How often the log is searched for events that no group message brought, without a shared layer",
        unit="s",
        least=0.05,
    )
    sweep_shared: float = _setting(
        5.0, "The same with a shared channel layer; while it is down, sweep_local holds", unit="s", least=0.05
    )
    tail_events: int = _setting(
        2000, "Newest events of a followed stream kept in memory", unit="events", least=1
    )
    tail_bytes: int = _setting(8 * 2**20, "The same in bytes of memory", unit="B", least=1024)
    linger: float = _setting(
        30.0, "How long a stream that nobody follows any more is kept", unit="s", least=0
    )
    page_events: int = _setting(200, "Events read from the rows in one query", unit="events", least=1)
    batch_bytes: int = _setting(256 * 1024, "Largest batch frame, before compression", unit="B", least=1024)
    read_threads: int = _setting(
        4, "Threads that read backlogs; also those that authenticate", unit="threads", least=1
    )

    # Resuming
    backlog_events: int = _setting(
        1000, "Most events that one stream resumes or catches up over", unit="events", least=1
    )
    backlog_bytes: int = _setting(4 * 2**20, "The same in bytes of their data", unit="B", least=1024)
    retention_hours: float = _setting(72.0, "How long events are kept for resuming", unit="h", least=0.01)
    catch_up_timeout: float = _setting(
        30.0,
        "How long a connection may lag behind the events in memory before it is closed with 4008",
        unit="s",
        least=0.1,
    )

    # Connections
    heartbeat: float = _setting(5.0, "How often a process says that it lives", unit="s", least=0.1)
    heartbeat_expiry: float = _setting(
        15.0, "How long after its last heartbeat a process's connections count as live", unit="s", least=0.2
    )
    connections_flush: float = _setting(
        0.2, "Opened and closed connections are written this long after the first", unit="s", least=0
    )
    watch_log_days: float = _setting(
        90.0, "How long closed connections are kept: who watched what, when", unit="d", least=0
    )
    ping_seconds: int = _setting(30, "How often clients are told to ping", unit="s", least=1)
    silence_timeout: float = _setting(120.0, "A connection silent for this long is closed", unit="s", least=1)
    clean_up_timeout: float = _setting(5.0, "How long a connection's end may take", unit="s", least=0.1)
    expiry_warning: float = _setting(
        60.0, "How long before a token's end its connection is asked for a new one", unit="s", least=0
    )
    expiry_grace: float = _setting(30.0, "How long a connection outlives its token", unit="s", least=0)
    recheck_seconds: float = _setting(
        60.0,
        "Within how long every connection's access is read anew, whatever was told of changes",
        unit="s",
        least=0.1,
    )
    ticket_seconds: int = _setting(30, "How long a ticket may be redeemed", unit="s", least=1)

    # Limits
    errors_per_minute: int = _setting(
        20, "Bad frames a minute after which a connection is closed", unit="frames", least=1
    )
    messages_per_second: float = _setting(
        10.0, "Inbound messages that a connection may send per second, on average", unit="1/s", least=0.1
    )
    messages_burst: int = _setting(
        250,
        "Inbound messages in one burst: room for every subscription, one by one",
        unit="messages",
        least=1,
    )
    subscriptions: int = _setting(200, "Clients that one connection subscribes to", unit="clients", least=1)
    connections_per_user: int = _setting(
        50, "Connections of a user in one process", unit="connections", least=1
    )
    connections_per_client: int = _setting(
        5000, "Connections to a client's stream in one process", unit="connections", least=1
    )
    connections_per_address: int = _setting(
        1000, "Connections of an address in one process", unit="connections", least=1
    )
    connections_per_process: int = _setting(20_000, "Connections of one process", unit="connections", least=1)
    handshakes_per_second: float = _setting(
        50.0, "Handshakes of an address per second, on average", unit="1/s", least=0.1
    )
    handshakes_burst: int = _setting(500, "Handshakes of an address in one burst", unit="handshakes", least=1)
    refusals_at_once: int = _setting(
        20,
        "Refused handshakes of an address that are told at once; further ones wait, up to 5 s",
        unit="handshakes",
        least=0,
    )

    # Presence
    presence_interval: float = _setting(
        2.0,
        "How often presence is looked at, in processes where somebody asked for it",
        unit="s",
        least=0.05,
    )
    presence_damping: float = _setting(
        5.0,
        "A user who comes back within this time never left",
        unit="s",
        least=0,
    )

    # Draining
    drain_seconds: float = _setting(
        15.0, "Over how long a process hands over its connections before it stops", unit="s", least=0
    )

    # Encodings
    compress_above: int = _setting(512, "Frames shorter than this are not compressed", unit="B", least=0)


def parse(name: str, value: Any) -> Any:
    """Return `value` (text from the environment, or a typed value) as setting `name` takes it.

    Raise ValueError with the remedy.
    """
    spec = {item.name: item for item in dataclasses.fields(RealtimeSettings)}.get(name)
    if spec is None:
        raise ValueError(
            f"REALTIME_{name.upper()} is not a setting of this version. docs/operations.md lists them."
        )
    kind = typing.get_type_hints(RealtimeSettings)[name]
    what = "a whole number" if kind is int else "a number"
    takes = f"REALTIME_{name.upper()} is {value!r}; it takes {what} ({spec.metadata['unit']})."
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(takes) from None
    least = spec.metadata["least"]
    if least is not None and not number >= least:
        raise ValueError(
            f"REALTIME_{name.upper()} is {value!r}; the least is {least:g} {spec.metadata['unit']}."
        )
    if not math.isfinite(number) or (isinstance(value, float) and number != value):
        raise ValueError(takes)
    return number


def given() -> dict[str, Any]:
    """Return what `settings.REALTIME` holds, by setting name in lower case."""
    return {name.lower(): value for name, value in getattr(settings, "REALTIME", {}).items()}


@cache
def current() -> RealtimeSettings:
    """Return the settings in force. Raise ImproperlyConfigured for a bad one."""
    try:
        return RealtimeSettings(**{name: parse(name, value) for name, value in given().items()})
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "REALTIME":
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid="realtime.conf")
