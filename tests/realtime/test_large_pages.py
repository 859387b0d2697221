"""Pages of the log are bounded in bytes, at every door: whoever reads them gets all of it, part by part."""

from __future__ import annotations

import tracemalloc
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from realtime.events import reading
from realtime.events.reading import Row
from realtime.hub.pages import Pages
from realtime.protocol import groups
from tests.factories import AlertFactory
from tests.realtime.hubs import ONLY_WHEN_ASKED, follow_msp, running_hub, settled
from tests.realtime.test_containment import wait_placed

pytestmark = pytest.mark.django_db(transaction=True)


def save(tenant: Any, sizes: list[int]) -> str:
    """Raise alerts with details of such sizes; return their client's stream."""
    for size in sizes:
        AlertFactory(client=tenant.client, details="x" * size)
    wait_placed(len(sizes))
    return groups.client(tenant.client.pk)


def test_a_page_holds_as_many_bytes_as_it_may_and_one_event_at_least(tenant):
    stream = save(tenant, [9000, 9000, 10, 10, 9000, 9000])
    for max_bytes, seqs in (
        (1, [1]),
        (22_000, [1, 2, 3, 4]),
        (30_000, [1, 2, 3, 4, 5]),
        (10**6, [1, 2, 3, 4, 5, 6]),
    ):
        page = reading.page(stream, 0, 10, max_bytes)
        assert [row.seq for row in page.rows] == seqs
        assert page.is_last is (len(seqs) == 6)
        assert all(
            len(row.data) > size
            for row, size in zip(page.rows, [9000, 9000, 10, 10, 9000, 9000], strict=False)
        )
    assert reading.page(stream, 4, 2, 10**6).is_last is False
    assert reading.page(stream, 6, 10) == ([], True)


def test_small_events_take_one_statement_and_large_ones_two(tenant, django_assert_num_queries):
    stream = save(tenant, [10, 10, 9000])
    with django_assert_num_queries(1):
        assert len(reading.page(stream, 0, 2).rows) == 2
    with django_assert_num_queries(2):
        assert len(reading.page(stream, 0, 10).rows) == 3


def test_what_is_not_taken_is_not_read(tenant):
    stream = save(tenant, [9500] * 60)
    tracemalloc.start()
    try:
        reading.page(stream, 0, 60, 20_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 300_000  # of 570,000


async def test_large_pages_are_read_through_from_any_place(tenant, settings, monkeypatch):
    settings.REALTIME = {"PAGE_EVENTS": "7"}
    sizes = [9000] * 12 + [10] * 5 + [9000] * 3
    stream = await sync_to_async(save)(tenant, sizes)
    monkeypatch.setattr(reading, "page", partial(reading.page, max_bytes=25_000))
    pages = Pages()
    for begin in (0, 3, 6, 7, 11, 19, 20):
        seqs, cursor = [], begin
        while run := await pages.after(stream, cursor):
            assert sum(event.size for event in run) <= 30_000
            seqs += [event.seq for event in run]
            cursor = seqs[-1]
        assert seqs == list(range(begin + 1, 21))


async def test_a_gap_of_large_events_is_repaired_part_by_part(tenant, settings, monkeypatch):
    settings.REALTIME = ONLY_WHEN_ASKED
    monkeypatch.setattr("realtime.events.publisher.messages", lambda events: [])
    monkeypatch.setattr(reading, "page", partial(reading.page, max_bytes=25_000))
    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        await sync_to_async(save)(tenant, [9000] * 11)
        await hub.sweep()
        await settled(lambda: wire.seqs() == list(range(1, 12)))


@given(
    sizes=st.lists(st.integers(1, 5000), max_size=40),
    page_events=st.integers(1, 9),
    max_bytes=st.integers(1, 12_000),
    begin=st.integers(0, 40),
)
def test_every_event_comes_once_whatever_the_sizes(sizes, page_events, max_bytes, begin):
    rows = [Row(n + 1, "alert", "", "low", "", "x" * size) for n, size in enumerate(sizes)]
    calls = 0

    def page(_stream: str, after: int, limit: int) -> reading.Page:
        nonlocal calls
        calls += 1
        found = rows[after : after + limit]
        taken = reading._within([len(row.data) for row in found], max_bytes)
        return reading.Page(found[:taken], taken == len(found) < limit)

    async def read() -> list[int]:
        pages, seqs, cursor = Pages(), [], min(begin, len(rows))
        while run := await pages.after("client.x", cursor):
            seqs += [event.seq for event in run]
            cursor = seqs[-1]
        return seqs

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "page", page)

        async def directly(_pool: str, function: Any, *arguments: Any) -> Any:
            return function(*arguments)

        patched.setattr("realtime.hub.pages.threads.run", directly)
        assert async_to_sync(read)() == [row.seq for row in rows[begin:]]
    assert calls <= 2 * len(sizes) + 5
