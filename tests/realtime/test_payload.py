"""What every encoding can carry passes and comes back equal; anything else is refused by ValueError, at the caller."""

from __future__ import annotations

import asyncio
import json
import uuid
import zlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.safestring import SafeString
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement.models import Alert
from realtime import broadcast
from realtime.broadcast import connection_manager
from realtime.models import Event, Outbox
from realtime.protocol import encoding, payload
from realtime.protocol.encoding import Encoding

unhurried = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
"""How quick values are made is a matter of what else the machine does."""

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(payload.MIN_INTEGER, payload.MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
carried = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@unhurried
@given(st.dictionaries(text, carried, max_size=5))
def test_what_passes_comes_back_equal_through_every_encoding(data):
    written = payload.checked(data)
    payload.check_text(written)
    parts = ("alert", "c", "s", 1, "t", written)
    assert json.loads(encoding.event_json(*parts))["data"] == data
    assert msgspec.json.decode(encoding.event_json(*parts))["data"] == data
    assert msgspec.msgpack.decode(encoding.event_msgpack(*parts))["data"] == data
    deflated = encoding.finish(encoding.event_json(*parts), Encoding.DEFLATE, 0)
    assert json.loads(zlib.decompress(deflated))["data"] == data


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


class Hostile:
    """A mapping whose members cannot be read."""


class Unreadable(dict):
    def items(self) -> Any:
        raise RuntimeError("no")


REFUSED = [
    (2**64, "data.x is an integer beyond 64 bits"),
    (-(2**63) - 1, "data.x is an integer beyond 64 bits"),
    (10**5000, "data.x is an integer beyond 64 bits"),
    (float("nan"), "data.x is nan"),
    (float("inf"), "data.x is inf"),
    (-float("inf"), "data.x is -inf"),
    ("\ud800", "data.x holds a lone surrogate"),
    ("a\0b", r"data.x holds the character U\+0000"),
    ({"\udfff": 1}, "A key of data.x holds a lone surrogate"),
    ({"\0": 1}, r"A key of data.x holds the character U\+0000"),
    ({1: 2}, "data.x has a key of type int"),
    ({None: 2}, "data.x has a key of type NoneType"),
    ({"items": [0, 1, 2, {"total": 2**64}]}, r"data.x.items\[3\].total is an integer beyond 64 bits"),
    ({1, 2}, "data.x is of type set"),
    (b"bytes", "data.x is of type bytes"),
    (Decimal("1.5"), "data.x is of type Decimal"),
    (Hostile(), "data.x is of type Hostile"),
    (Unreadable(a=1), "data cannot be read: RuntimeError"),
    (nested(payload.MAX_DEPTH), "data is nested deeper than 64 levels"),
    (endless(), "data is nested deeper than 64 levels"),
    ([0] * payload.MAX_MEMBERS, "data holds more than 50,000 values"),
    ("x" * payload.MAX_BYTES, "data has 524,300 bytes as JSON; the limit is 524,288"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED, ids=[said[:40] for _, said in REFUSED])
@pytest.mark.django_db(transaction=True)
def test_what_some_encoding_cannot_carry_is_refused_in_one_line_and_not_recorded(tenant, value, said):
    ids = (tenant.client.pk, tenant.msp.pk)
    data = {"x": value}
    for call in (
        lambda: broadcast.broadcast_alert(*ids, {"details": "d", **data}),
        lambda: broadcast.broadcast_engagement_update(*ids, data),
        lambda: broadcast.broadcast_interaction_update(*ids, {"interaction_count": 1, **data}),
    ):
        with pytest.raises(ValueError, match=said.partition(" has 524")[0]) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not Outbox.objects.exists()
    assert not Event.objects.exists()


anything = st.recursive(
    scalars
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=4)
    | st.just(Hostile())
    | st.characters(categories=["Cs"])
    | st.sampled_from([Decimal(1), 2**70, frozenset(), object(), ...]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@unhurried
@given(st.dictionaries(st.text(), anything, max_size=3))
def test_anything_else_raises_value_error_and_nothing_else(data):
    try:
        written = payload.checked(data)
    except ValueError:
        return
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(json.loads(written))) == data


def test_limits_are_carried_and_subclasses_are_what_they_extend():
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    key = uuid.uuid4()
    data = {
        "least": -(2**63),
        "most": 2**64 - 1,
        "deep": nested(payload.MAX_DEPTH - 1),
        "safe": SafeString("<b>"),
        "choice": Alert.Severity.HIGH,
        "id": key,
        "at": now,
        "day": date(2026, 1, 2),
        "pair": (1, 2),
    }
    assert json.loads(payload.checked(data)) == data | {
        "id": str(key),
        "at": now.isoformat(),
        "day": "2026-01-02",
        "pair": [1, 2],
    }


def test_a_rendered_event_is_checked_as_well():
    payload.check_text('{"a": [1, 2.5, "x"]}')
    for bad in ('{"a": 18446744073709551616}', "{", "[" * 65 + "]" * 65, "[" * 100_000 + "]" * 100_000):
        with pytest.raises((ValueError, OverflowError, RecursionError, msgspec.MsgspecError)):
            payload.check_text(bad)


@pytest.mark.django_db(transaction=True)
class TestTheAwaitableCalls:
    async def test_they_take_keywords_and_arrive(self, tenant, daphne):
        ids = {"client_id": str(tenant.client.pk), "msp_id": str(tenant.msp.pk)}
        figures: dict[str, Any] = {"departments": [], "applications": [], "agents": []}
        uses = {"app_id": "app-uuid", "interaction_count": 5, "total_daily_interactions": 150}
        alert = {"severity": "high", "details": "Suspicious activity detected", "app": "ChatGPT"}
        async with tenant.socket(daphne) as socket:
            await connection_manager.broadcast_engagement_update(**ids, engagement_data=figures)
            await connection_manager.broadcast_interaction_update(**ids, interaction_stats=uses)
            await connection_manager.broadcast_alert(**ids, alert_data=alert)
            events = await socket.events(3)
        assert [(event["type"], event["data"]) for event in events] == [
            ("engagement_update", figures),
            ("interaction_update", uses),
            ("alert", alert),
        ]

    async def test_on_a_loop_the_plain_functions_say_what_to_await(self, tenant):
        with pytest.raises(
            SynchronousOnlyOperation, match=r"await connection_manager\.broadcast_alert"
        ) as caught:
            broadcast.broadcast_alert(tenant.client.pk, tenant.msp.pk, {"details": "d"})
        assert "\n" not in str(caught.value)
        assert not await asyncio.to_thread(Outbox.objects.exists)
