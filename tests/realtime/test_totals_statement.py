"""The one statement that sums a day's uses must hold on every version of Django and every database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from realtime import portal
from realtime.events import totals
from tests.factories import InteractionFactory

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_part_of_the_union_is_ordered():
    """Django 6.1 refused the order that a model's Meta gives: "ORDER BY term does not match"."""
    interaction = InteractionFactory(count=3)
    [kind] = [topic.kind for topic in portal.current().topics if topic.uses_of_day is not None]
    today = datetime.now(UTC).date()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        totals._summed(kind, [f"app:{interaction.application_id}"], today, "default")
    unions = [query["sql"] for query in captured if "UNION ALL" in query["sql"]]
    assert unions
    assert not [sql for sql in unions if "ORDER BY" in sql]
