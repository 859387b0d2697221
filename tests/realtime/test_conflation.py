"""Folding: who gets folded updates ends where who gets them all ends, whatever the updates hold."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.hub.conflation import LARGEST, ROW_KEYS, SUMMED, fold
from realtime.hub.tail import StreamEvent, Tail, batch_frame
from realtime.protocol import rates
from realtime.protocol.encoding import Encoding
from realtime.protocol.outbound import Batch

STREAM = "msp.1"


def event(seq: int, type_: str, data: dict[str, Any], client: str = "a") -> StreamEvent:
    text = msgspec.json.encode(data).decode()
    return StreamEvent(STREAM, seq, type_, client, "high" if type_ == "alert" else "", f"t{seq}", text)


def uses(seq: int, app: str, count: int, total: int, **more: Any) -> StreamEvent:
    data = {"app_id": app, "interaction_count": count, "total_daily_interactions": total, **more}
    return event(seq, "interaction_update", data)


def said(events: list[StreamEvent]) -> list[tuple[int, int, Any]]:
    return [(found.seq, found.folded, json.loads(found.data)) for found in events]


def test_counts_are_added_up_and_totals_are_the_newest():
    folded = fold(
        [
            uses(1, "x", 2, 10, flagged_count=1),
            uses(2, "y", 5, 5, flagged_count=0),
            uses(3, "x", 3, 13, flagged_count=2),
        ]
    )

    assert said(folded) == [
        (2, 1, {"app_id": "y", "interaction_count": 5, "total_daily_interactions": 5, "flagged_count": 0}),
        (3, 2, {"app_id": "x", "interaction_count": 5, "total_daily_interactions": 13, "flagged_count": 3}),
    ]
    assert (folded[1].timestamp, folded[1].client_id, folded[1].stream) == ("t3", "a", STREAM)


def test_rows_of_figures_are_the_newest_of_each_subject():
    folded = fold(
        [
            event(
                1, "engagement_update", {"applications": [{"app_id": "x", "n": 1}, {"app_id": "y", "n": 1}]}
            ),
            event(2, "engagement_update", {"departments": [{"department_id": "d", "n": 1}]}),
            event(3, "engagement_update", {"applications": [{"app_id": "x", "n": 2}]}, client="b"),
            event(4, "engagement_update", {"applications": [{"app_id": "x", "n": 3}], "agents": []}),
        ]
    )

    rows = {
        "applications": [{"app_id": "y", "n": 1}, {"app_id": "x", "n": 3}],
        "departments": [{"department_id": "d", "n": 1}],
        "agents": [],
    }
    assert said(folded) == [(3, 1, {"applications": [{"app_id": "x", "n": 2}]}), (4, 3, rows)]


def test_rows_of_other_shapes_come_in_the_order_they_were_told():
    """Whole rows from saves, parts of rows from broadcasts: a client may merge fields, or replace the row."""
    rows = [{"app_id": "x", "n": 1, "m": 1}, {"app_id": "x", "n": 2}, {"app_id": "x", "n": 3, "m": 3}]

    [folded] = fold(
        [event(seq, "engagement_update", {"applications": [row]}) for seq, row in enumerate(rows, 1)]
    )

    assert json.loads(folded.data) == {
        "applications": [{"app_id": "x", "n": 2}, {"app_id": "x", "n": 3, "m": 3}]
    }


def test_what_cannot_be_folded_is_not_overtaken():
    row = {"app_id": "x", "n": 1}
    shapes = [
        {"applications": [row]},
        {"applications": [row | {"n": 2}], "totals": 1},
        {"agents": []},
        {"agents": []},
    ]

    folded = fold([event(seq, "engagement_update", data) for seq, data in enumerate(shapes, 1)])

    assert [(found.seq, found.folded) for found in folded] == [(1, 1), (2, 1), (4, 2)]


def test_alerts_are_never_folded():
    alerts = [event(seq, "alert", {"id": "same", "status": seq}) for seq in range(1, 5)]

    assert fold(alerts) == alerts


def test_one_event_is_not_touched_so_that_it_is_encoded_once_for_all():
    alone, *rest = [uses(1, "x", 1, 1), uses(2, "y", 1, 1), uses(3, "y", 1, 2)]

    assert fold([alone])[0] is alone
    assert fold([alone, *rest])[0] is alone


def test_those_at_the_same_place_share_one_frame():
    tail = Tail(STREAM, 100, 10**6)
    tail.begin(0)
    tail.offer(uses(seq, "x", 1, seq) for seq in range(1, 9))

    made = [tail.batch(3, Encoding.JSON, 10**6, 512, fold) for _ in range(2)]

    assert made[0][0] is made[1][0]
    assert made[0][1:] == (8, 1)
    assert tail.batch(3, Encoding.JSON, 10**6, 512)[1:] == (8, 5)


@pytest.mark.parametrize("encoding", Encoding)
def test_a_folded_frame_reads_as_one_of_its_type(encoding):
    frame = fold([uses(1, "x", 1, 1), uses(2, "x", 2, 3)])[0].frame(encoding, 10**6)

    read = msgspec.msgpack.decode if isinstance(frame, bytes) else msgspec.json.decode
    assert read(frame)["folded"] == 2


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "nan", "inf", "0.09", "60.1", "two", "2 per second", "1e9", "0x2"]
)
def test_a_rate_that_is_none_says_what_it_takes(text):
    with pytest.raises(ValueError, match=r"from 0\.1 to 60"):
        rates.parse(text)


# What any client may make of events: counts added up; all else either replaces what was known of the subject, or is
# merged into it.

values = st.none() | st.booleans() | st.integers(-3, 3) | st.text("xy", max_size=2)
numbers = st.integers(-5, 50) | st.sampled_from([LARGEST, -LARGEST, 2**63 - 1])
ids = st.sampled_from(["x", "y"])
fields = st.dictionaries(st.sampled_from(["n", "m"]), values)


def row(key: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda subject, more: {key: subject, **more}, ids, fields)


interactions = st.builds(
    lambda subject, sums, more: {**subject, **sums, **more},
    st.dictionaries(st.sampled_from(["app_id", "agent_id"]), ids | values, max_size=1),
    st.dictionaries(st.sampled_from(SUMMED), numbers | values, min_size=1),
    fields,
)
engagements = st.fixed_dictionaries(
    {}, optional={table: st.lists(row(key) | fields, max_size=2) for table, key in ROW_KEYS.items()}
) | st.dictionaries(st.sampled_from(["departments", "totals"]), values)
told = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.one_of(
            st.tuples(st.just("interaction_update"), interactions),
            st.tuples(st.just("engagement_update"), engagements),
            st.tuples(st.just("alert"), fields),
        ),
    ),
    max_size=14,
)


def state(events: list[StreamEvent], *, merges: bool) -> dict[Any, Any]:
    """Return what a client knows after `events`."""
    known: dict[Any, Any] = {"alerts": []}

    def take(subject: Any, fields: dict[str, Any]) -> None:
        known[subject] = {**known.get(subject, {}), **fields} if merges else fields

    for found in events:
        data = json.loads(found.data)
        if found.type == "alert":
            known["alerts"].append((found.seq, data))
        elif found.type == "interaction_update":
            subject = found.client_id, repr(data.get("app_id")), repr(data.get("agent_id"))
            for name in SUMMED:
                if type(data.get(name)) is int:
                    sums = known.setdefault(("sums", *subject), {})
                    sums[name] = sums.get(name, 0) + data.pop(name)
            take(subject, data)
        else:
            for table, rows in data.items():
                if not isinstance(rows, list):
                    take((found.client_id, table), {"value": rows})
                    continue
                for fields in rows:
                    take((found.client_id, table, repr(fields.get(ROW_KEYS[table]))), fields)
    return known


@settings(deadline=None)
@given(told, st.data())
def test_folded_rounds_end_where_all_events_end(updates, data):
    events = [event(seq, type_, body, client) for seq, (client, (type_, body)) in enumerate(updates, 1)]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(events))))) if events else []
    rounds = [fold(events[start:end]) for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    received = [found for one in rounds for found in one]

    assert [found.seq for found in received] == sorted({found.seq for found in received})
    assert sum(found.folded for found in received) == len(events)
    for merges in (True, False):
        assert state(received, merges=merges) == state(events, merges=merges)
        # A connection that breaks after any round resumes from the last seq it has, with or without a rate.
        for whole in range(len(rounds) + 1):
            got = [found for one in rounds[:whole] for found in one]
            missing = events[got[-1].seq if got else 0 :]
            assert state([*got, *missing], merges=merges) == state(events, merges=merges)
            assert state([*got, *fold(missing)], merges=merges) == state(events, merges=merges)
    if received:
        read = json.loads(batch_frame(received, Encoding.JSON, 512)[0])
        assert [one["seq"] for one in read.get("messages", [read])] == [found.seq for found in received]


def test_a_round_of_saved_changes_is_a_batch_of_the_protocol():
    folded = fold([uses(1, "x", 1, 1), uses(2, "x", 1, 2), event(3, "alert", {"id": "1"})])

    batch = msgspec.json.decode(batch_frame(folded, Encoding.JSON, 512)[0], type=Batch)

    assert [(one.seq, getattr(one, "folded", None)) for one in batch.messages] == [(2, 2), (3, None)]
