"""The partitions of docs/scaling.md: the statements run, and the log works on them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.db import connection

from realtime import broadcast
from realtime.events import placing, reading
from realtime.models import Event, Log
from tests.factories import ClientFactory

SCALING = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_log_can_be_partitioned_as_the_page_says():
    """All in one transaction, which is rolled back: PostgreSQL's definitions are transactional."""
    client = ClientFactory()

    def say(number: int) -> None:
        broadcast.broadcast_interaction_update(client.pk, client.msp_id, {"interaction_count": number})
        placing.place(10, "default")

    stream = f"client.{client.pk}"
    say(1)
    [statements] = re.findall(
        r"<!-- made into a test: partitions -->\n```sql\n(.*?)```",
        SCALING.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statements)
    say(2)
    Log.objects.update(position=49_999_999)
    say(3)

    assert [row.seq for row in reading.page(stream, 0, 10).rows] == [1, 2, 3]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM realtime_event_0")
        assert cursor.fetchone() == (2,)
        cursor.execute("EXPLAIN SELECT * FROM realtime_event WHERE position > 50000000")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "realtime_event_1" in plan
        assert "realtime_event_0" not in plan
        cursor.execute("DROP TABLE realtime_event_0")
    assert [event.client_seq for event in Event.objects.all()] == [3]
    assert reading.backlog(stream, 0, None, most_events=100, most_bytes=10**6) == reading.Resync(
        stream, "retention", 3
    )
