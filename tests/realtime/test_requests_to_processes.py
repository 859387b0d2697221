"""What is asked of a server process by a mark on a row is heard, whatever is written at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.utils import timezone

from realtime.hub import threads
from realtime.hub.ledger import Ledger, Report
from realtime.models import Asked, LiveConnection, ServerProcess
from tests.factories import tenant

pytestmark = pytest.mark.django_db(transaction=True)

STATEMENTS = 7
"""More than a heartbeat has."""


@pytest.fixture
def before_statement(monkeypatch):
    """Do something in the midst of what a ledger writes: before its statement of this number."""

    def arrange(number: int, meddle: Callable[[Callable[[str], Any]], None]) -> None:
        seen: list[str] = []

        def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.append(sql)
            if len(seen) == number + 1:
                meddle(lambda other: execute(other, None, False, context))
            return execute(sql, params, many, context)

        async def here(_: str, function: Callable[..., Any], *args: Any) -> Any:
            def wrapped() -> Any:
                with connection.execute_wrapper(wrapper):
                    return function(*args)

            return await sync_to_async(wrapped)()

        monkeypatch.setattr(threads, "run", here)

    return arrange


async def beat(ledger: Ledger) -> None:
    ledger.look()
    await ledger.write()


@pytest.mark.parametrize("number", range(STATEMENTS))
async def test_a_drain_is_heard_wherever_in_a_heartbeat_it_was_asked_for(before_statement, number):
    heard: list[str] = []
    ledger = Ledger(heard.append, lambda *_: None)
    await ledger.write()
    before_statement(number, lambda execute: execute("UPDATE realtime_serverprocess SET draining = TRUE"))
    await beat(ledger)
    await beat(ledger)
    await beat(ledger)
    assert set(heard) == {str(ledger.process.pk)}
    assert await ServerProcess.objects.filter(pk=ledger.process.pk, draining=True).aexists()


@pytest.mark.parametrize("number", range(STATEMENTS))
async def test_a_drain_is_heard_though_the_heartbeat_that_found_it_failed(before_statement, number):
    def fail(_: object) -> None:
        raise OperationalError("database is locked")

    heard: list[str] = []
    ledger = Ledger(heard.append, lambda *_: None)
    await ledger.write()
    await ServerProcess.objects.filter(pk=ledger.process.pk).aupdate(draining=True)
    before_statement(number, fail)
    try:
        await beat(ledger)
    except OperationalError:
        await beat(ledger)
    assert set(heard) == {str(ledger.process.pk)}


async def test_a_connection_is_closed_though_its_figures_were_asked_for_first(before_statement):
    asked: list[str] = []

    def answer(key: UUID, what: str) -> Report | None:
        asked.append(what)
        return Report(key, sent=3, lag=0) if what == Asked.REPORT else None

    ledger = Ledger(lambda _: None, answer)
    await ledger.write()
    user = (await sync_to_async(tenant)()).msp_user
    row = await LiveConnection.objects.acreate(
        id=uuid4(),
        process=ledger.process,
        user=user,
        role=user.role,
        msp_id=user.msp_id,
        opened_at=timezone.now(),
        asked=Asked.REPORT,
    )
    await beat(ledger)
    await row.arefresh_from_db()
    assert (row.asked, row.sent) == (Asked.NOTHING, 3)
    for number in range(STATEMENTS + 2):
        asked.clear()
        await LiveConnection.objects.aupdate(asked=Asked.REPORT)
        before_statement(
            number, lambda execute: execute(f"UPDATE realtime_liveconnection SET asked = '{Asked.CLOSE}'")
        )
        await beat(ledger)
        await beat(ledger)
        await beat(ledger)
        assert Asked.CLOSE in asked, f"before statement {number}"
