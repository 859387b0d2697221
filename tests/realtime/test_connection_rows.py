"""Connection rows: one that is refused costs itself, a batch is written whole or not, and a retry leaves no ghost."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from prometheus_client import REGISTRY

from engagement.access import Scope
from realtime import bookmarks
from realtime.hub import connection_rows, threads
from realtime.hub.connection_rows import Changes
from realtime.hub.ledger import Ledger
from realtime.models import Bookmark, LiveConnection, SelectedClient, ServerProcess
from tests.realtime.conftest import Tenant
from tests.realtime.hubs import ONLY_WHEN_ASKED, settled

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_when_asked(settings: Any) -> None:
    settings.REALTIME = {**ONLY_WHEN_ASKED, "HEARTBEAT": "1000"}


def ledger() -> Ledger:
    return Ledger(lambda process: None, lambda key, what: None)


def socket_of(tenant: Tenant, **fields: Any) -> Any:
    """Return what a ledger needs of a connection."""
    scope = Scope("msp_admin", tenant.msp.pk, None)
    return SimpleNamespace(
        **{
            "id": uuid.uuid4(),
            "identity": SimpleNamespace(user_id=tenant.msp_user.pk, scope=scope),
            "scope": "msp",
            "selective": True,
            "route_client": None,
            "address": "192.0.2.1",
            "encoding": "compliance.v1",
            "opened_at": datetime.now(UTC),
            "sent": 0,
            "following": {},
        }
        | fields
    )


def dropped() -> float:
    return REGISTRY.get_sample_value("realtime_connection_rows_dropped_total") or 0.0


async def rows() -> dict[Any, Any]:
    """Return each row's end."""
    return {
        key: code if closed else "open"
        async for key, closed, code in LiveConnection.objects.values_list("pk", "closed_at", "close_code")
    }


@pytest.mark.parametrize("address", ["x" * 300, "a\x00b", "\ud800", "x" * 63 + "\x00" * 9 + "é" * 300])
async def test_a_text_that_does_not_fit_is_cut_and_cleaned(tenant, address):
    mine = ledger()
    odd, usual = socket_of(tenant, address=address, encoding="y" * 99), socket_of(tenant)
    mine.opened(odd)
    mine.opened(usual)
    await mine.write()
    row = await LiveConnection.objects.aget(pk=odd.id)
    assert len(row.address) <= 64
    assert "\x00" not in row.address
    mine.closed(odd, 70_000)
    await mine.write()
    assert await rows() == {odd.id: None, usual.id: "open"}


async def test_a_row_that_is_refused_is_dropped_and_all_others_are_written(tenant):
    mine, before = ledger(), dropped()
    bad = socket_of(tenant, opened_at=None)
    good = [socket_of(tenant) for _ in range(5)]
    for one in (*good[:3], bad, *good[3:]):
        mine.opened(one)
        mine.selected(one, str(tenant.client.pk), chosen=True)
    mine.closed(good[0], 1000)
    await mine.write()
    assert await rows() == {good[0].id: 1000} | {one.id: "open" for one in good[1:]}
    assert await SelectedClient.objects.acount() == 4
    assert dropped() - before == 1
    mine.closed(bad, 1000)  # its row was never there
    mine.selected(bad, str(tenant.client.pk), chosen=True)
    mine.closed(good[1], 1001)
    await mine.write()
    assert (await rows())[good[1].id] == 1001
    assert dropped() - before == 1


async def test_rows_are_written_to_a_database_that_does_not_know_the_process_any_more(tenant):
    mine = ledger()
    await mine.write()
    await ServerProcess.objects.all().adelete()
    one = socket_of(tenant)
    mine.opened(one)
    await mine.write()
    assert await rows() == {one.id: "open"}


# A failure at any statement


@contextmanager
def fails_at(
    number: int, monkeypatch: pytest.MonkeyPatch, *, after: bool, meanwhile: Callable[[], None]
) -> Iterator[list[int]]:
    """Let the hub's statement (or commit) of this number fail, before or after it was done. Yield how many ran."""
    ran = [0]

    def faulty(true: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if not threading.current_thread().name.startswith("realtime-hub"):
                return true(*arguments, **options)
            ran[0] += 1
            if ran[0] != number:
                return true(*arguments, **options)
            if after:
                true(*arguments, **options)
            meanwhile()
            raise OperationalError("the server closed the connection")

        return run

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", faulty(CursorWrapper.execute))
        patch.setattr(BaseDatabaseWrapper, "_commit", faulty(BaseDatabaseWrapper._commit))
        yield ran


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_failure_at_any_statement_and_a_retry_leave_the_same_rows(tenant, monkeypatch, after):
    """One connection stays, one came and went, one goes while the batch that tells of its coming fails."""
    stream = f"msp.{tenant.msp.pk}"
    number = 0
    while True:
        number += 1
        mine = ledger()
        old, stays, short, goes = (socket_of(tenant) for _ in range(4))
        mine.opened(old)
        mine.selected(old, str(tenant.client.pk), chosen=True)
        await mine.write()
        for one in (stays, short, goes):
            mine.opened(one)
            mine.selected(one, str(tenant.client.pk), chosen=True)
        mine.closed(short, 1000)
        mine.closed(old, 1001)
        mine.selected(stays, str(tenant.other_client.pk), chosen=True)
        mine.selected(stays, str(tenant.client.pk), chosen=False)
        mine.reached(stays, stream, number)
        mine.look()
        with fails_at(
            number, monkeypatch, after=after, meanwhile=lambda mine=mine, goes=goes: mine.closed(goes, 1006)
        ) as ran:
            failed = False
            try:
                await mine.write()
            except OperationalError:
                failed = True
        if ran[0] < number:
            assert not failed
            break
        assert failed
        await mine.write()
        assert await rows() == {old.id: 1001, stays.id: "open", short.id: 1000, goes.id: 1006}, number
        chosen = [pair async for pair in SelectedClient.objects.values_list("connection_id", "client_id")]
        assert chosen == [(stays.id, tenant.other_client.pk)], number
        assert (await Bookmark.objects.aget()).position == number
        assert await ServerProcess.objects.filter(pk=mine.process.pk).aexists()
        await LiveConnection.objects.all().adelete()
    assert number > 10


async def test_each_part_is_written_whatever_fails_of_the_others(tenant, monkeypatch):
    mine, one = ledger(), socket_of(tenant)

    def raises(*arguments: Any) -> Any:
        raise KeyError("a fault")

    def due() -> None:
        mine.reached(one, f"msp.{tenant.msp.pk}", 7)
        mine.look()

    mine.opened(one)
    due()
    with monkeypatch.context() as patch:
        patch.setattr(bookmarks, "move", raises)
        with pytest.raises(KeyError):
            await mine.write()
    assert await rows() == {one.id: "open"}
    before = (await ServerProcess.objects.aget()).heartbeat_at
    await mine.write()
    assert (await Bookmark.objects.aget()).position == 7

    mine.closed(one, 1000)
    due()
    with monkeypatch.context() as patch:
        patch.setattr("realtime.hub.ledger.store", raises)
        with pytest.raises(KeyError):
            await mine.write()
    assert (await ServerProcess.objects.aget()).heartbeat_at > before
    await mine.write()
    assert await rows() == {one.id: 1000}


async def test_a_drain_that_is_asked_for_during_a_heartbeat_is_written_by_the_next_write(tenant, monkeypatch):
    mine = ledger()
    true = threads.run

    async def run(*arguments: Any, **options: Any) -> Any:
        answer = await true(*arguments, **options)
        if not mine.process.draining:
            mine.drain()
        return answer

    monkeypatch.setattr(threads, "run", run)
    await mine.write()
    await mine.write()
    assert (await ServerProcess.objects.aget()).draining


async def test_a_write_does_not_overtake_one_whose_waiter_gave_up(tenant, monkeypatch):
    """At the end of a process: the row's end must not be written before the row is."""
    mine, one = ledger(), socket_of(tenant)
    true, go_on, begun = connection_rows._write, threading.Event(), threading.Event()

    def slow(changes: Changes) -> None:
        begun.set()
        go_on.wait(10)
        true(changes)

    monkeypatch.setattr(connection_rows, "_write", slow)
    mine.opened(one)
    first = asyncio.create_task(mine.write())
    await settled(begun.is_set)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    mine.closed(one, 1012)
    last = asyncio.create_task(mine.write(stopped=True))
    await asyncio.sleep(0.05)
    go_on.set()
    await last
    assert await rows() == {one.id: 1012}


async def test_what_waits_for_a_database_that_is_away_is_bounded(tenant, monkeypatch):
    monkeypatch.setattr(connection_rows, "MAX_PENDING", 10)
    mine, lasting = ledger(), socket_of(tenant)
    mine.opened(lasting)

    def away(*arguments: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr("realtime.hub.ledger.store", away)
        for _ in range(5):
            for _ in range(8):
                short = socket_of(tenant)
                mine.opened(short)
                mine.selected(short, str(tenant.client.pk), chosen=True)
                mine.closed(short, 1000)
            with pytest.raises(OperationalError):
                await mine.write()
    assert len(mine._changes.opened) == 10
    assert len(mine._changes.selected) <= 10
    await mine.write()
    assert (await rows())[lasting.id] == "open"
    assert await LiveConnection.objects.acount() == 10


async def test_another_log_is_begun_with_all_that_is_open_and_no_old_position(tenant):
    mine = ledger()
    one = socket_of(tenant, following={f"client.{tenant.client.pk}": None})
    mine.epoch = "old"
    mine.reached(one, f"msp.{tenant.msp.pk}", 1000)
    mine.begin_anew("new", [one])
    await mine.write()
    assert await rows() == {one.id: "open"}
    assert await SelectedClient.objects.acount() == 1
    assert not await Bookmark.objects.aexists()


async def test_an_identity_that_changed_is_in_the_row(tenant):
    mine, one = ledger(), socket_of(tenant)
    mine.opened(one)
    await mine.write()
    one.identity = SimpleNamespace(
        user_id=tenant.msp_user.pk, scope=Scope("msp_user", tenant.other_client.msp_id, None)
    )
    mine.identity_changed(one)
    await mine.write()
    assert (await LiveConnection.objects.aget()).role == "msp_user"


def test_a_batch_commits_together(tenant, monkeypatch):
    """Nothing of it is there before all of it is."""
    seen: list[bool] = []
    true = connection_rows._store_selected

    def look(changes: Changes) -> None:
        seen.append(transaction.get_connection().in_atomic_block)
        true(changes)

    monkeypatch.setattr(connection_rows, "_store_selected", look)
    mine, one = ledger(), socket_of(tenant)
    mine.opened(one)
    mine.process.save(force_insert=True)
    connection_rows.store(mine.process, mine._changes)
    assert seen == [True]
