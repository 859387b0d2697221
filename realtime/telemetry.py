"""OpenTelemetry spans, where the package `opentelemetry-api` is installed and set up; nothing at all otherwise.

`realtime.record` is a child of the request's own span; `realtime.publish` is a round of the publisher, `realtime.hear`
what a hub takes from a group, `realtime.deliver` a frame to one socket. A round places what many requests recorded,
so spans are joined by attributes: `realtime.position` (of the log) and `realtime.stream` with `realtime.seq`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any


class Span:
    """A span that is under way, or none."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def note(self, **attributes: str | float | None) -> None:
        """Add attributes, below `realtime.`; those that are None are left out."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(f"realtime.{name}", value)


NONE = Span()


def _tracer() -> Any:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        return None
    return import_module("opentelemetry.trace").get_tracer("compliance_portal.realtime")


tracer: Any = _tracer()
"""OpenTelemetry's tracer; None without the package."""


@contextmanager
def span(name: str, **attributes: str | float | None) -> Iterator[Span]:
    """Run a block as a span."""
    if tracer is None:
        yield NONE
        return
    with tracer.start_as_current_span(name) as current:
        running = Span(current)
        running.note(**attributes)
        yield running
