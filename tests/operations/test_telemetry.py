"""OpenTelemetry spans: none without the package; from recording to delivery with it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from realtime import telemetry
from realtime.events import publisher
from tests.factories import AlertFactory


class Tracer:
    """What OpenTelemetry's tracer does, as far as it is used."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, dict]] = []

    @contextmanager
    def start_as_current_span(self, name):
        attributes: dict = {}
        self.spans.append((name, attributes))

        class Span:
            set_attribute = staticmethod(attributes.__setitem__)

        yield Span()


def test_without_the_package_a_span_is_nothing():
    assert telemetry.tracer is None
    with telemetry.span("anything", events=1) as span:
        assert span is telemetry.NONE
        span.note(seq=3)


@pytest.mark.django_db(transaction=True)
def test_recording_and_publishing_are_spans_that_share_a_position(monkeypatch):
    tracer = Tracer()
    monkeypatch.setattr(telemetry, "tracer", tracer)
    for _ in range(50):  # a shared server on this database may be the one that places an event
        AlertFactory()
        assert publisher.flush(10)
        published = [attributes for name, attributes in tracer.spans if name == "realtime.publish"]
        if any(attributes.get("realtime.position") for attributes in published):
            break
    else:
        pytest.fail("No round of this process placed anything.")
    assert "realtime.record" in [name for name, _ in tracer.spans]
