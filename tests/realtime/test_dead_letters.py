"""What cannot be published fails alone: it becomes a dead letter, and all others go out, in order and without a gap."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, connection, connections
from django.db.models import Q

from benchmarks.chaos.poison import KINDS, MARK
from realtime.events import containment, dead_letters, placing, publisher, rendering, rows
from realtime.events.containment import Doubtful
from realtime.models import DayTotal, DeadLetter, Event, Kind, Log, Outbox, Stream
from tests.factories import InteractionFactory
from tests.realtime.conftest import Tenant, make_tenant
from tests.servers.process import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be published but by the test."""
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)


def message(tenant: Tenant, details: object, **columns: Any) -> Outbox:
    """Return a good row, but for `columns`."""
    facts = {"type": "alert", "data": {"details": details}, "severity": "low"}
    return Outbox(
        **{
            "tx": uuid4(),
            "kind": Kind.MESSAGE,
            "client_id": tenant.client.pk,
            "msp_id": tenant.msp.pk,
            "facts": json.dumps(facts),
            **columns,
        }
    )


def facts(**changed: Any) -> str:
    return json.dumps({"type": "alert", "data": {}, "severity": "low", **changed})


def with_data(text: str) -> str:
    return f'{{"type": "alert", "severity": "low", "data": {text}}}'


LONG = "9" * 30

POISON: dict[str, dict[str, Any]] = {
    "unknown kind": {"kind": "nonsense"},
    "no JSON": {"facts": "{"},
    "empty": {"facts": ""},
    "no object": {"facts": "[1]"},
    "null": {"facts": "null"},
    "a member missing": {"facts": '{"type": "alert"}'},
    "severity null": {"facts": facts(severity=None)},
    "severity too long": {"facts": facts(type="x" * 200)},
    "an integer beyond 64 bits": {"facts": with_data('{"n": ' + LONG + "}")},
    "a lone surrogate": {"facts": with_data('{"s": "\\ud800"}')},
    "too deep": {"facts": with_data("[" * 900 + "]" * 900)},
    "far too deep": {"facts": with_data("[" * 50_000 + "]" * 50_000)},
    "an alert without its fields": {"kind": "alert", "key": str(uuid4()), "facts": "{}"},
    "uses of nothing": {"kind": "interaction", "key": "nonsense", "facts": '{"count": 1, "flagged": 0}'},
    "uses that are text": {
        "kind": "interaction",
        "key": f"app:{uuid4()}",
        "facts": '{"count": "5", "flagged": 0}',
    },
    "figures of no subject": {
        "kind": "engagement",
        "key": "engagement",
        "facts": '{"subject": "x", "id": "y"}',
    },
    "a message of no client": {"client_id": None},
    "uses of no client": {
        "kind": "interaction",
        "client_id": None,
        "key": f"app:{uuid4()}",
        "facts": '{"count": 1, "flagged": 0, "day": "2026-01-01"}',
    },
    "figures of no client": {
        "kind": "engagement",
        "key": "engagement",
        "client_id": None,
        "facts": json.dumps({"subject": "application", "id": str(uuid4())}),
    },
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_one_that_cannot_be_published_stops_no_other(tenant, by_hand, poison):
    """PostgreSQL holds no text longer than its column; SQLite does, and then it is no poison."""
    if connection.vendor == "sqlite" and "x" * 200 in str(poison):
        pytest.skip("SQLite has no longest text")
    rows_ = [message(tenant, number) for number in range(20)]
    rows_[7] = message(tenant, "poison", **poison)
    recorded = Outbox.objects.bulk_create(rows_)[7]
    events, _ = placing.place(500, "default")
    assert [json.loads(event.data)["details"] for event in events] == [*range(7), *range(8, 20)]
    assert [event.client_seq for event in events] == list(range(1, 20))
    assert [event.position for event in events] == list(range(1, 20))
    assert not Outbox.objects.exists()
    [letter] = DeadLetter.objects.all()
    assert (letter.kind, letter.facts, letter.key) == (recorded.kind, recorded.facts, recorded.key)
    assert (letter.tx, letter.client_id) == (recorded.tx, recorded.client_id)
    assert letter.error_class
    assert letter.recorded_at == recorded.recorded_at


TIMES = ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC", "0001-01-01 00:00:00+14"]


@pytest.mark.parametrize("time", TIMES)
def test_nor_does_one_of_a_time_that_python_has_not(tenant, by_hand, time):
    """Such as SQL of others may write. It came with a row that is read, and again when it was moved."""
    bad = Outbox.objects.bulk_create(message(tenant, number) for number in range(3))[1]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE realtime_outbox SET recorded_at = %s WHERE id = %s", [time, bad.pk])
    events, _ = placing.place(500, "default")
    assert [json.loads(event.data)["details"] for event in events] == [0, 2]
    assert not Outbox.objects.exists()
    assert str(bad.tx) in DeadLetter.objects.get().facts or bad.tx.hex in DeadLetter.objects.get().facts


class PanicException(BaseException):
    """What libraries written in Rust raise: no Exception."""


@pytest.mark.parametrize(
    "error",
    [SystemExit(1), PanicException(), asyncio.CancelledError(), BaseExceptionGroup("", [SystemExit()])],
)
def test_nor_does_a_renderer_that_raises_what_is_no_exception(tenant, by_hand, monkeypatch, error):
    """It ended the publisher's thread, again with each change."""
    numbered(tenant, 4)
    failing_on(monkeypatch, lambda number: number == 2, error)
    assert len(placing.place(500, "default")[0]) == 3
    assert DeadLetter.objects.get().error_class == type(error).__name__


def numbered(tenant: Tenant, count: int) -> None:
    Outbox.objects.bulk_create(message(tenant, number) for number in range(count))


def failing_on(
    monkeypatch: pytest.MonkeyPatch, is_bad: Callable[[Any], bool], error: BaseException
) -> list[int]:
    """Let rendering fail for events whose details are bad; return how many events each attempt held."""
    render, attempts = rendering.render, []

    def fails(events: Any, counting: Any) -> Any:
        attempts.append(len(events))
        if any(is_bad(event.facts[-1]["data"]["details"]) for event in events):
            raise error
        return render(events, counting)

    monkeypatch.setattr(rendering, "render", fails)
    return attempts


def test_one_in_500_costs_some_twenty_attempts_and_not_one_for_each(tenant, by_hand, monkeypatch):
    numbered(tenant, 500)
    attempts = failing_on(monkeypatch, lambda number: number == 321, ZeroDivisionError("a bug"))
    events, _ = placing.place(500, "default")
    assert len(events) == 499
    assert len(attempts) <= 2 * 10
    assert sum(attempts) <= 3 * 500
    letter = DeadLetter.objects.get()
    assert (letter.error_class, letter.error) == ("ZeroDivisionError", "a bug")


def test_several_are_found_in_one_batch(tenant, by_hand, monkeypatch):
    numbered(tenant, 100)
    bad = {0, 1, 50, 98, 99}
    failing_on(monkeypatch, bad.__contains__, KeyError("x"))
    events, _ = placing.place(500, "default")
    assert [json.loads(event.data)["details"] for event in events] == [n for n in range(100) if n not in bad]
    assert DeadLetter.objects.count() == len(bad)


def test_a_fault_in_every_event_ends_and_all_come_back_at_once(tenant, by_hand, monkeypatch):
    numbered(tenant, 120)
    with monkeypatch.context() as patch:
        failing_on(patch, lambda _: True, KeyError("x"))
        assert placing.place(500, "default") == ([], False)
    assert DeadLetter.objects.count() == 120
    assert not Outbox.objects.exists()
    assert dead_letters.retry(DeadLetter.objects.all()) == 120
    events, _ = placing.place(500, "default")
    assert [json.loads(event.data)["details"] for event in events] == list(range(120))
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize(
    "error", [OperationalError("away"), DatabaseError("?"), OSError("no room"), MemoryError()]
)
def test_an_error_of_the_database_makes_no_dead_letter(tenant, by_hand, monkeypatch, error):
    numbered(tenant, 4)
    with monkeypatch.context() as patch:
        failing_on(patch, lambda number: number == 2, error)
        for _ in range(10):
            with pytest.raises(type(error)):
                placing.place(500, "default")
    assert not DeadLetter.objects.exists()
    assert Outbox.objects.count() == 4
    assert len(placing.place(500, "default")[0]) == 4


@pytest.mark.parametrize("error", [DataError("x"), IntegrityError("x"), RecursionError(), UnicodeError("x")])
def test_an_error_of_content_makes_one(tenant, by_hand, monkeypatch, error):
    numbered(tenant, 4)
    failing_on(monkeypatch, lambda number: number == 2, error)
    assert len(placing.place(500, "default")[0]) == 3
    assert DeadLetter.objects.get().error_class == type(error).__name__


def test_one_that_goes_on_failing_alone_with_an_error_of_the_database_is_a_dead_letter_in_the_end(
    tenant, by_hand, monkeypatch
):
    numbered(tenant, 10)
    failing_on(monkeypatch, lambda number: number == 3, OperationalError("stack depth limit exceeded"))
    doubtful = Doubtful()
    for attempt in range(1, containment.MAX_DOUBTS + 1):
        events, _ = placing.place_with_doubt(500, "default", doubtful)
        assert len(events) == (9 if attempt == 1 else 1)
        assert DeadLetter.objects.count() == (attempt == containment.MAX_DOUBTS)
        Outbox.objects.bulk_create([message(tenant, 100 + attempt)])
    assert DeadLetter.objects.get().attempts == containment.MAX_DOUBTS
    assert doubtful.attempts == {}


def test_while_nothing_can_be_published_nothing_is_given_up(tenant, by_hand, monkeypatch):
    numbered(tenant, 3)
    failing_on(monkeypatch, lambda _: True, OperationalError("read only"))
    doubtful = Doubtful()
    for _ in range(2 * containment.MAX_DOUBTS):
        with pytest.raises(OperationalError):
            placing.place_with_doubt(500, "default", doubtful)
    assert (DeadLetter.objects.count(), Outbox.objects.count()) == (0, 3)


def test_what_makes_one_event_goes_together(tenant, by_hand):
    tx, key = uuid4(), f"app:{tenant.application.pk}"
    good = json.dumps({"count": 1, "flagged": 0})
    Outbox.objects.bulk_create(
        message(tenant, "", tx=tx, kind="interaction", key=key, facts=text)
        for text in (good, '{"count": "x"}', good)
    )
    assert placing.place(500, "default") == ([], False)
    assert [letter.facts for letter in DeadLetter.objects.order_by("pk")] == [good, '{"count": "x"}', good]
    DeadLetter.objects.filter(facts__contains="x").update(facts=good)
    assert dead_letters.retry(DeadLetter.objects.filter(facts=good)[:1].model.objects.filter(facts=good)) == 3
    [event], _ = placing.place(500, "default")
    assert json.loads(event.data)["interaction_count"] == 3


def test_totals_are_right_after_a_failure_a_retry_and_a_discard(tenant, by_hand, monkeypatch):
    app = tenant.application

    def told() -> list[int]:
        events, _ = placing.place(500, "default")
        return [json.loads(event.data)["total_daily_interactions"] for event in events]

    InteractionFactory(client=tenant.client, application=app, count=5)
    assert told() == [5]
    InteractionFactory(client=tenant.client, application=app, count=2)
    InteractionFactory(client=tenant.client, application=app, count=40)
    InteractionFactory(client=tenant.client, application=app, count=3)
    with monkeypatch.context() as patch:
        render = rendering.render

        def fails(events: Any, counting: Any) -> Any:
            rendered = render(events, counting)  # it has counted already
            if any('"interaction_count":40' in event.data for event in rendered):
                raise KeyError("x")
            return rendered

        patch.setattr(rendering, "render", fails)
        first, last = told()
    assert (first, last) == (7, 10)
    InteractionFactory(client=tenant.client, application=app, count=1)
    assert told() == [51]  # the sum of the rows, whatever was told of them
    assert dead_letters.retry(DeadLetter.objects.all()) == 1
    assert told() == [51]
    assert DayTotal.objects.get().total == 51


def test_a_change_of_access_that_cannot_be_read_has_everybody_asked_again(tenant, by_hand):
    Outbox.objects.bulk_create(
        [
            message(tenant, 1),
            message(tenant, 2, kind=Kind.ACCESS, client_id=None, msp_id=None, facts="{"),
            message(tenant, 3, kind="nonsense"),
            message(tenant, 4),
        ]
    )
    events, _ = placing.place(500, "default")
    assert [event.type for event in events] == ["alert", rendering.ACCESS, "alert"]
    assert [event.position for event in events] == [1, 2, 3]
    assert json.loads(events[1].data)["everybody"] is True
    assert events[2].after_access == 2
    assert Log.current().access_position == 2
    assert DeadLetter.objects.count() == 2


# Two at once, and a crash at any moment


def test_two_that_find_the_same_row_at_once_move_it_once(tenant, by_hand, monkeypatch):
    numbered(tenant, 40)
    failing_on(monkeypatch, lambda number: number % 10 == 5, KeyError("x"))
    start = threading.Barrier(3)

    def work() -> None:
        try:
            start.wait()
            while Outbox.objects.exists():
                placing.place(7, "default")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    numbers = [json.loads(event.data)["details"] for event in Event.objects.order_by("position")]
    assert numbers == [number for number in range(40) if number % 10 != 5]
    assert sorted(json.loads(letter.facts)["data"]["details"] for letter in DeadLetter.objects.all()) == [
        5,
        15,
        25,
        35,
    ]
    assert list(Event.objects.order_by("position").values_list("client_seq", flat=True)) == list(range(1, 37))


@pytest.mark.postgres  # on SQLite nobody else writes while a batch is under way
def test_what_became_a_dead_letter_meanwhile_is_not_published(tenant, by_hand, monkeypatch):
    """One process has an old version that cannot render it, the other a new one that can."""
    numbered(tenant, 1)
    render = rendering.render

    def slow(events: Any, counting: Any) -> Any:
        monkeypatch.setattr(rendering, "render", render)

        def other() -> None:
            try:
                with pytest.MonkeyPatch.context() as patch:
                    failing_on(patch, lambda _: True, KeyError("x"))
                    placing.place(500, "default")
            finally:
                connections.close_all()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(20)
        return render(events, counting)

    monkeypatch.setattr(rendering, "render", slow)
    assert placing.place(500, "default") == ([], False)
    assert (DeadLetter.objects.count(), Event.objects.count(), Outbox.objects.count()) == (1, 0, 0)


class Crash(KeyboardInterrupt):
    """The process dies here. Any other exception of a renderer is about what it was given."""


def state() -> tuple[Any, ...]:
    return (
        list(Outbox.objects.order_by("pk").values_list("tx", flat=True)),
        list(DeadLetter.objects.order_by("pk").values_list("tx", flat=True)),
        list(Event.objects.order_by("position").values_list("data", flat=True)),
        dict(Stream.objects.values_list("name", "position")),
    )


def crashing(at: int) -> Callable[..., Any]:
    """Return a wrapper of database calls that lets the process die before statement `at`."""
    done = iter(range(10_000))

    def wrapper(execute: Any, sql: str, *arguments: Any) -> Any:
        if next(done) == at:
            raise Crash
        return execute(sql, *arguments)

    return wrapper


@pytest.mark.parametrize("what", ["publish", "retry"])
def test_a_crash_between_any_two_statements_leaves_each_row_in_one_place(tenant, by_hand, monkeypatch, what):
    def poison() -> list[UUID]:
        """Begin anew; return the transactions in order: good, bad, good, bad, good."""
        for model in (Outbox, DeadLetter, Event, Stream):
            model.objects.all().delete()
        Log.objects.update(position=0)
        rows_ = [message(tenant, n, **({"facts": "{"} if n % 2 else {})) for n in range(5)]
        return [row.tx for row in Outbox.objects.bulk_create(rows_)]

    Log.current()
    crashes, at = 0, 0
    while True:
        txs = poison()
        if what == "retry":
            placing.place(500, "default")
            DeadLetter.objects.update(facts=facts())
        try:
            dies, fetch = crashing(at), rows.fetch
            with connection.execute_wrapper(dies), monkeypatch.context() as patch:
                # On PostgreSQL it has cursors of its own, which Django's wrapper does not see.
                patch.setattr(rows, "fetch", partial(dies, fetch))
                if what == "publish":
                    placing.place(500, "default")
                else:
                    dead_letters.retry(DeadLetter.objects.all())
        except Crash:
            crashes += 1
        else:
            break
        at += 1
        outbox, letters, events, _ = state()
        assert len(outbox) + len(letters) + len(events) == 5, (at, outbox, letters, events)
        assert not set(outbox) & set(letters)
        placing.place(500, "default")  # the next process
        outbox, letters, events, heads = state()
        assert outbox == []
        if what == "publish":
            assert [json.loads(data)["details"] for data in events] == [0, 2, 4]
            assert letters == [txs[1], txs[3]]
        else:
            assert len(events) + len(letters) == 5
        assert set(heads.values()) == {len(events)}
    assert crashes >= 4


# Through the front door


@pytest.fixture
def tenants(transactional_db: None) -> list[Tenant]:
    """Return three tenants."""
    return [make_tenant() for _ in range(3)]


async def test_the_sockets_of_all_tenants_get_the_others_and_a_retry_delivers(tenants, server):
    def record_all() -> None:
        rows_ = []
        for number, poison in enumerate(POISON.values()):
            rows_ += [message(tenant, number) for tenant in tenants]
            rows_.append(message(tenants[0], "poison", **poison))
        rows_ += [message(tenant, "last") for tenant in tenants]
        Outbox.objects.bulk_create(rows_)
        publisher.wake()
        assert publisher.flush(30)

    sockets = [tenant.socket(server) for tenant in tenants]
    for socket in sockets:
        await socket.__aenter__()
    try:
        await sync_to_async(record_all)()
        count = len(POISON) + 1
        for socket, tenant in zip(sockets, tenants, strict=True):
            events = [
                event
                for event in await socket.events(count)
                if event["data"].get("details") is not None  # SQLite takes a text of any length
            ]
            while len(events) < count:
                events += await socket.events(1)
            details = [event["data"]["details"] for event in events]
            assert details == [*range(len(POISON)), "last"]
            stream = f"msp.{tenant.msp.pk}"
            first = socket.hello["positions"][stream] + 1
            assert events[0]["seq"] == first
        letters = await sync_to_async(DeadLetter.objects.count)()
        assert letters >= len(POISON) - 1

        def mend_and_retry() -> None:
            letter = DeadLetter.objects.filter(Q(facts="{")).get()
            DeadLetter.objects.filter(pk=letter.pk).update(facts=facts(data={"details": "mended"}))
            assert dead_letters.retry(DeadLetter.objects.filter(pk=letter.pk)) == 1
            assert dead_letters.discard(DeadLetter.objects.all()) == letters - 1

        await sync_to_async(mend_and_retry)()
        [event] = await sockets[0].events(1)
        assert event["data"]["details"] == "mended"
        assert await sync_to_async(DeadLetter.objects.count)() == 0
    finally:
        for socket in sockets:
            await socket.__aexit__(None, None, None)


async def test_an_unreadable_change_of_access_has_every_connection_asked_again(tenant, daphne):
    """Somebody lost access by a change that cannot be read: their socket closes all the same."""

    def deactivate_untold() -> None:
        with connection.cursor() as cursor:
            table, key = tenant.client_user._meta.db_table, tenant.client_user.pk
            value = key.hex if connection.vendor == "sqlite" else key
            cursor.execute(f"UPDATE {table} SET is_active = %s WHERE id = %s", [False, value])
            assert cursor.rowcount == 1
        Outbox.objects.bulk_create(
            [message(tenant, "", kind=Kind.ACCESS, client_id=None, msp_id=None, facts="{")]
        )
        publisher.wake()
        assert publisher.flush(20)

    async with tenant.socket(daphne, tenant.client_user) as leaves, tenant.socket(daphne) as stays:
        await sync_to_async(deactivate_untold)()
        code, _ = await leaves.closed()
        assert code == 4003
        assert (await stays.ask({"type": "ping"}))["type"] == "pong"
    assert await sync_to_async(DeadLetter.objects.count)() == 1


# The thread


def test_the_publisher_goes_on_after_any_error_and_says_so_meanwhile(tenant, monkeypatch):
    place = placing.place
    broken = threading.Event()
    broken.set()

    def breaks(*arguments: Any, **options: Any) -> Any:
        if broken.is_set():
            raise OperationalError("away")
        return place(*arguments, **options)

    def breaks_with_doubt(limit: int, using: str, doubtful: Doubtful, **options: Any) -> Any:
        return breaks(limit, using, **options)

    monkeypatch.setattr(placing, "place", breaks)
    monkeypatch.setattr(placing, "place_with_doubt", breaks_with_doubt)
    Outbox.objects.bulk_create([message(tenant, 1)])
    publisher.wake()
    assert wait_until(lambda: publisher.status() == "failing: OperationalError", 10)
    broken.clear()
    assert publisher.flush(20)
    assert publisher.status() == "ok"
    assert Event.objects.count() == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is meant to die
def test_a_publisher_thread_that_died_is_started_again(tenant, monkeypatch):
    assert publisher.flush(10)
    place = placing.place

    def dies(*_: Any, **__: Any) -> Any:
        raise SystemExit

    monkeypatch.setattr(placing, "place", dies)
    mine = publisher.of()
    Outbox.objects.bulk_create([message(tenant, 1)])
    publisher.wake()
    assert wait_until(lambda: mine._thread is not None and not mine._thread.is_alive(), 10)
    monkeypatch.setattr(placing, "place", place)
    publisher.wake()
    assert publisher.flush(10)
    assert Event.objects.count() == 1


def test_a_flush_does_not_wait_for_what_cannot_be_published(tenant):
    Outbox.objects.bulk_create([message(tenant, 1, facts="{"), message(tenant, 2)])
    publisher.wake()
    assert publisher.flush(10)
    assert (Event.objects.count(), DeadLetter.objects.count()) == (1, 1)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL does not store such a row")
def test_a_row_that_cannot_even_be_read_stops_no_other(tenant, by_hand):
    """SQLite holds anything in any column."""
    numbered(tenant, 3)
    with connection.cursor() as cursor:
        second = Outbox.objects.order_by("pk")[1].pk
        cursor.execute(f"UPDATE {Outbox._meta.db_table} SET client_id = 'no uuid' WHERE id = %s", [second])
    assert len(placing.place(500, "default")[0]) == 2
    assert DeadLetter.objects.get().kind == "unreadable"
    assert rows.fetch(f"SELECT count(*) FROM {Outbox._meta.db_table}", [], "default") == [(0,)]


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_what_chaos_writes_as_poison_is_poison_and_nothing_else_suffers(tenant, by_hand, fields):
    mark = "poison 1.0 7"
    Outbox.objects.bulk_create([message(tenant, 1), message(tenant, "", **fields(mark)), message(tenant, 2)])
    events, _ = placing.place(500, "default")
    told = [event for event in events if event.type != rendering.ACCESS]
    assert [json.loads(event.data)["details"] for event in told] == [1, 2]
    [letter] = DeadLetter.objects.all()
    assert MARK.findall(f"{letter.key} {letter.facts}") == [mark]


def test_a_renderer_that_hangs_is_told_while_it_lasts(tenant, monkeypatch):
    """It raises nothing: the publisher said that all is well."""
    go_on = threading.Event()
    render = rendering.render

    def hangs(events: Any, counting: Any) -> Any:
        go_on.wait(20)
        return render(events, counting)

    monkeypatch.setattr(rendering, "render", hangs)
    monkeypatch.setattr(publisher, "LONG_ROUND_SECONDS", 0.0)
    try:
        InteractionFactory(client=tenant.client, application=tenant.application)
        assert wait_until(lambda: publisher.status().startswith("in one round for "), 10)
    finally:
        go_on.set()
    assert wait_until(lambda: publisher.status() == "ok" and not Outbox.objects.exists(), 10)
