"""Virtual time and seeded randomness for all modules of the process.

While a `Clock` is installed, `time`, `datetime` and everything random (`random`, `secrets`, `uuid`) come from it.
"""

from __future__ import annotations

import datetime as datetimes
import importlib
import os
import random
import sys
import time
from datetime import UTC, datetime

STARTS_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC).timestamp()

_real_datetime = datetimes.datetime
_current: Clock | None = None


class Clock:
    """Seconds since a run began."""

    def __init__(self) -> None:
        self.now = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class _Instances(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _real_datetime)


class VirtualDatetime(_real_datetime, metaclass=_Instances):
    """`datetime`, but for what `now` says. All it makes are plain datetimes."""

    def __new__(cls, *args, **kwargs):  # type: ignore[no-untyped-def]
        return _real_datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def, override]
        return _real_datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):  # type: ignore[no-untyped-def, override]
        return _real_datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)

    @classmethod
    def fromtimestamp(cls, timestamp, tz=None):  # type: ignore[no-untyped-def, override]
        return _real_datetime.fromtimestamp(timestamp, tz)

    @classmethod
    def fromisoformat(cls, text):  # type: ignore[no-untyped-def, override]
        return _real_datetime.fromisoformat(text)

    @classmethod
    def strptime(cls, text, form):  # type: ignore[no-untyped-def, override]
        return _real_datetime.strptime(text, form)

    @classmethod
    def combine(cls, *args, **kwargs):  # type: ignore[no-untyped-def, override]
        return _real_datetime.combine(*args, **kwargs)


PATCHED = (
    "realtime",
    "engagement",
    "rest_framework_simplejwt",
    "jwt",
    "django.utils.timezone",
    "django.contrib",
)
"""Modules whose `datetime` is replaced. The database's own conversions keep the real one."""


def install() -> None:
    """Take over time and randomness in this process, once, before the code under test is imported."""
    begin(Clock(), 0)
    time.monotonic = time.perf_counter = lambda: 1000.0 + _now()  # type: ignore[assignment]
    time.time = lambda: STARTS_AT + _now()
    os.urandom = random.randbytes
    random._urandom = random.randbytes  # type: ignore[attr-defined]


def install_datetimes() -> None:
    """Take over `datetime.now` in the modules that are imported by now."""
    importlib.import_module("rest_framework_simplejwt.state")  # else it comes with the first token
    for name, module in list(sys.modules.items()):
        if name.startswith(PATCHED) and vars(module).get("datetime") is _real_datetime:
            module.datetime = VirtualDatetime  # type: ignore[attr-defined]


def begin(clock: Clock, seed: int) -> None:
    """Go by `clock` from now on, and draw from `seed`."""
    global _current
    _current = clock
    random.seed(seed)


def _now() -> float:
    return _current.now if _current is not None else 0.0
