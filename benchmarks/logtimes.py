"""Fills an event log and times readers of it: `python -m benchmarks.logtimes EVENTS`, on a database of its own.

Each line on standard input is answered by one of JSON: the median milliseconds of each reader in a short turn. So logs
of several sizes can be timed in turn, while the machine is as fast as it is.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "compliance_portal.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402

from realtime.events import reading  # noqa: E402
from realtime.models import Event, Log, Stream  # noqa: E402

CLIENTS, MSPS = 100, 10
PAGE, BEHIND, SWEPT = 200, 90, 500
ROUNDS, WARM_UP = 40, 5

ROWS = f"""
INSERT INTO realtime_event (position, type, client_id, client_seq, msp_id, msp_seq, severity, occurred_at, data)
SELECT i + 1, 'alert',
       ('00000000-0000-4000-8000-' || lpad(to_hex(i % {CLIENTS}), 12, '0'))::uuid, i / {CLIENTS} + 1,
       ('00000000-0000-4000-9000-' || lpad(to_hex(i % {MSPS}), 12, '0'))::uuid, i / {MSPS} + 1,
       'high', now() - interval '1 ms' * ({{events}} - i),
       '{{{{"severity":"high","details":"Prompt with customer records","app":"ChatGPT","n":' || i || '}}}}'
FROM generate_series(0, {{events}} - 1) AS i
"""


def client(number: int) -> UUID:
    """Return the id of a client of the log."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


def fill(events: int) -> None:
    """Put so many events into the log, and make the indexes once at the end."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE realtime_event SET UNLOGGED")
        cursor.execute("SET maintenance_work_mem = '512MB'")
    with connection.schema_editor() as editor:
        for constraint in Event._meta.constraints:
            editor.remove_constraint(Event, constraint)
        editor.execute("ALTER TABLE realtime_event DROP CONSTRAINT realtime_event_pkey")
        editor.execute(ROWS.format(events=events), params=None)  # no parameters, so `%` is itself
        editor.execute("ALTER TABLE realtime_event ADD CONSTRAINT realtime_event_pkey PRIMARY KEY (position)")
        for constraint in Event._meta.constraints:
            editor.add_constraint(Event, constraint)
    with transaction.atomic():
        log = Log.current(lock=True)
        log.position = events
        log.save()
        heads = [
            Stream(name=f"client.{client(number)}", position=events // CLIENTS) for number in range(CLIENTS)
        ]
        heads += [
            Stream(name=f"msp.00000000-0000-4000-9000-{number:012x}", position=events // MSPS)
            for number in range(MSPS)
        ]
        Stream.objects.bulk_create(
            heads, update_conflicts=True, unique_fields=["name"], update_fields=["position"]
        )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE realtime_event")


def timed(work: Callable[[int], object]) -> float:
    """Return the median milliseconds of `work`, after a warm-up."""
    took = []
    for index in range(WARM_UP + ROUNDS):
        before = time.perf_counter()
        work(index)
        took.append(time.perf_counter() - before)
    return statistics.median(took[WARM_UP:]) * 1000


def times(events: int) -> dict[str, float]:
    """Return how long each reader takes."""
    epoch = reading.epoch()

    def resume(index: int) -> None:
        stream, position = f"client.{client(index % CLIENTS)}", events // CLIENTS - BEHIND
        decision = reading.backlog(stream, position, epoch, most_events=1000, most_bytes=2**22)
        rows = reading.page(stream, position, PAGE)
        if not isinstance(decision, reading.Replay) or len(rows) != BEHIND:
            raise RuntimeError(f"{decision} with {len(rows)} rows")

    def resume_msp(index: int) -> None:
        stream, position = f"msp.00000000-0000-4000-9000-{index % MSPS:012x}", events // MSPS - PAGE
        decision = reading.backlog(stream, position, epoch, most_events=1000, most_bytes=2**22)
        rows = reading.page(stream, position, PAGE)
        if not isinstance(decision, reading.Replay) or len(rows) != PAGE:
            raise RuntimeError(f"{decision} with {len(rows)} rows")

    def sweep(_: int) -> None:
        if len(reading.sweep(events - SWEPT).heads) != CLIENTS + MSPS:
            raise RuntimeError("the sweep did not find every stream")

    return {
        f"resume a client's stream, {BEHIND} events": timed(resume),
        f"resume an MSP's stream, {PAGE} events": timed(resume_msp),
        f"sweep, {SWEPT} new events": timed(sweep),
        "sweep, nothing new": timed(lambda _: reading.sweep(events)),
    }


def main(events: int) -> None:
    """Fill, then time when asked."""
    fill(events)
    print("filled", flush=True)
    for _ in sys.stdin:
        print(json.dumps(times(events)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
