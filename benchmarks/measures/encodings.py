"""What each encoding costs on real dashboard traffic: the demo's own, simulated for a while."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from benchmarks.results import Outcome, Table, show
from benchmarks.stage import Stage

Say = Callable[[str], None]

BATCH = 20
"""Events in a batch: what waits for a connection that is a moment behind."""

REPEATS = 5
RATES = (2.0, 0.2)
COLUMNS = {
    "title": "",
    "engagement_update": "engagement_update, bytes",
    "interaction_update": "interaction_update, bytes",
    "alert": "alert, bytes",
    "all": "all, bytes an event",
    "share": "% of JSON",
    "cpu_us": "CPU µs an event (once a process)",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Encode the events of a simulated while, each way."""
    events = _traffic(stage, say)
    table = Table("Encodings on dashboard traffic, each event encoded once a process", COLUMNS)
    base = 0.0
    for title, make in _ways().items():
        row = _measure(title, events, make)
        if "batches" in title:  # of mixed types
            row |= dict.fromkeys((name for name, _ in _counts(events)), None)
        base = base or row["all"]
        row["share"] = row["all"] / base * 100
        table.rows.append(row)
        say(f"{title}: {show(row['all'])} bytes, {show(row['share'])} %")
    for rate in RATES:
        row = _folded(events, rate)
        table.rows.append(row | {"share": row["all"] / base * 100})
        say(f"{row['title']}: {show(row['all'])} bytes, {show(row['all'] / base * 100)} %")
    row = _deltas(events)
    table.rows.append(row | {"share": row["all"] / base * 100})
    say(f"{row['title']}: {show(row['all'])} bytes, {show(row['all'] / base * 100)} %")
    table.notes.append(
        f"Events of the demo's clients: {', '.join(f'{count:,} {name}' for name, count in _counts(events))}. "
        f"Batches are of {BATCH} events of one stream, in order. The delta is what an engagement_update would be "
        "if a row carried only the fields that differ from its last one: not built, since updates "
        "carry only the rows that changed already, and compressing batches gains more."
    )
    return Outcome([table], figures={"rows": table.rows})


def _traffic(stage: Stage, say: Say) -> list[Any]:
    from django.core.management import call_command

    from engagement.models import Client
    from realtime.events import publisher, reading
    from realtime.hub.pages import to_event
    from realtime.models import Event

    start = reading.origin().position
    os.environ.setdefault("DEMO_PASSWORD", "demo-only")
    known = set(Client.objects.values_list("pk", flat=True))
    call_command("seed_demo", "--force", "--days", "10", stdout=io.StringIO(), stderr=io.StringIO())
    demo = Client.objects.exclude(pk__in=known)
    seconds = stage.pick(20, 8)
    say(f"simulating the demo's traffic for {seconds} s")
    publisher.flush(30)
    start = reading.origin().position
    call_command(
        "simulate",
        "--rate",
        "40",
        "--duration",
        str(seconds),
        "--seed",
        "1",
        stdout=io.StringIO(),
        stderr=io.StringIO(),
    )
    publisher.flush(30)
    msps = set(demo.values_list("msp_id", flat=True))
    rows = Event.objects.filter(position__gt=start, msp_id__in=msps).order_by("msp_id", "msp_seq")
    return [
        to_event(
            f"msp.{row.msp_id}",
            reading.Row(
                row.msp_seq or 0,
                row.type,
                str(row.client_id),
                row.severity,
                row.occurred_at.isoformat(),
                row.data,
            ),
        )
        for row in rows
    ]


def _counts(events: Iterable[Any]) -> list[tuple[str, int]]:
    types = [event.type for event in events]
    return [(name, types.count(name)) for name in sorted(set(types))]


def _ways() -> dict[str, Callable[[list[Any]], list[int]]]:
    """Return, by name, how to get each event's bytes on the wire."""
    from realtime.hub.tail import batch_frame
    from realtime.protocol.encoding import Encoding

    def single(encoding: Encoding) -> Callable[[list[Any]], list[int]]:
        return lambda events: [len(event.frame(encoding, 512) or b"") for event in events]

    def batched(encoding: Encoding) -> Callable[[list[Any]], list[int]]:
        def sizes(events: list[Any]) -> list[int]:
            found = []
            for start in range(0, len(events), BATCH):
                part = events[start : start + BATCH]
                wire, count = batch_frame(part, encoding, 512)
                found += [len(wire or b"") // max(1, count)] * count
            return found

        return sizes

    return {
        "JSON": single(Encoding.JSON),
        "MessagePack": single(Encoding.MSGPACK),
        "deflate": single(Encoding.DEFLATE),
        "JSON, batches": batched(Encoding.JSON),
        "MessagePack, batches": batched(Encoding.MSGPACK),
        "deflate, batches": batched(Encoding.DEFLATE),
    }


def _measure(title: str, events: list[Any], make: Callable[[list[Any]], list[int]]) -> dict[str, Any]:
    took, sizes = [], []
    for _ in range(REPEATS):
        fresh = [_copy(event) for event in events]
        started = time.process_time()
        sizes = make(fresh)
        took.append(time.process_time() - started)
    return _sized(title, events, sizes) | {"cpu_us": min(took) / len(events) * 1e6}


def _copy(event: Any) -> Any:
    """Return the event with nothing encoded yet."""
    return type(event)(
        event.stream, event.seq, event.type, event.client_id, event.severity, event.timestamp, event.data
    )


def _sized(title: str, events: list[Any], sizes: list[int]) -> dict[str, Any]:
    row: dict[str, Any] = {"title": title, "all": sum(sizes) / len(sizes)}
    for name, count in _counts(events):
        row[name] = sum(size for event, size in zip(events, sizes, strict=True) if event.type == name) / count
    return row


def _folded(events: list[Any], rate: float) -> dict[str, Any]:
    """Return the bytes of an event for a connection that asks for `?rate=`: each round folded, in one frame."""
    from realtime.hub.conflation import fold
    from realtime.hub.tail import batch_frame
    from realtime.protocol.encoding import Encoding

    rounds: dict[tuple[str, int], list[Any]] = {}
    for event in events:
        moment = int(datetime.fromisoformat(event.timestamp).timestamp() * rate)
        rounds.setdefault((event.stream, moment), []).append(event)
    took, size = [], 0
    for _ in range(REPEATS):
        fresh = [[_copy(event) for event in one] for one in rounds.values()]
        started = time.process_time()
        size = sum(len(batch_frame(fold(one), Encoding.JSON, 512)) for one in fresh)
        took.append(time.process_time() - started)
    return {
        "title": f"JSON at rate={rate:g}, {len(events) / len(rounds):.0f} events a round",
        "all": size / len(events),
        "cpu_us": min(took) / len(events) * 1e6,
    }


def _deltas(events: list[Any]) -> dict[str, Any]:
    """Return the sizes if engagement rows carried only the fields that changed since their last event."""
    from realtime.protocol.encoding import event_json

    last: dict[tuple[str, str], dict[str, Any]] = {}
    started = time.process_time()
    sizes = []
    for event in events:
        data = json.loads(event.data)
        if event.type == "engagement_update":
            for subject, key in (
                ("departments", "department_id"),
                ("applications", "app_id"),
                ("agents", "agent_id"),
            ):
                changed = []
                for row in data.get(subject, []):
                    before = last.get((event.stream, row[key]), {})
                    changed.append(
                        {
                            name: value
                            for name, value in row.items()
                            if name == key or before.get(name) != value
                        }
                    )
                    last[event.stream, row[key]] = row
                data[subject] = changed
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        sizes.append(
            len(event_json(event.type, event.client_id, event.stream, event.seq, event.timestamp, text))
        )
    return _sized("JSON, engagement rows as deltas (not built)", events, sizes) | {
        "cpu_us": (time.process_time() - started) / len(events) * 1e6
    }
