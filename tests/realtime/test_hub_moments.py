"""Between two awaits of the hub anything may have changed: what was read before is looked at again after."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import OperationalError

from realtime import metrics, requests, subscriptions
from realtime.auth import identity as identities
from realtime.events import reading
from realtime.events.reading import Replay
from realtime.hub import threads
from realtime.hub.arrivals import AccessChange
from realtime.hub.hub import Hub
from realtime.hub.watch import Answers
from realtime.models import Event
from realtime.protocol import groups, inbound
from tests.factories import AlertFactory
from tests.live import wait_until
from tests.realtime.hubs import (
    ONLY_WHEN_ASKED,
    announced,
    connect,
    follow_msp,
    meanwhile,
    running_hub,
    settled,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_when_asked(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is announced, and nothing is swept unless the test says so."""
    settings.REALTIME = ONLY_WHEN_ASKED
    monkeypatch.setattr("realtime.events.publisher.messages", lambda events: [])


async def publish(tenant: Any, count: int) -> None:
    """Save alerts and wait until they are in the log."""

    def work() -> None:
        before = Event.objects.count()
        for _ in range(count):
            AlertFactory(client=tenant.client)
        wait_until(lambda: Event.objects.count() == before + count, "not published")

    await sync_to_async(work)()


# Following


async def test_a_stream_that_is_left_while_it_is_opened_stays_left(tenant, monkeypatch):
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        connection, wire = await connect(hub, tenant.msp_user)
        meanwhile(threads, "run", lambda: hub.streams.unfollow(connection, stream), monkeypatch)
        following = await hub.streams.follow(connection, stream)
        connection.start()
        assert (following.ended, following.held, connection.following) == (True, True, {})
        hub.streams.take(stream, [announced(tenant, 1)])
        await asyncio.sleep(0.01)
        assert wire.frames == []


async def test_a_log_that_is_begun_while_a_stream_is_opened_gives_it_its_head(tenant, monkeypatch):
    """The head that was read is the old log's."""
    stream = groups.msp(tenant.msp.pk)
    await publish(tenant, 3)
    async with running_hub() as hub:
        connection, _ = await connect(hub, tenant.msp_user)

        async def another_log() -> None:
            await Event.objects.all().adelete()
            with monkeypatch.context() as patch:
                patch.setattr(reading, "heads", lambda streams: dict.fromkeys(streams, 0))
                await hub.streams.begin_anew("new")

        meanwhile(threads, "run", another_log, monkeypatch)
        following = await hub.streams.follow(connection, stream)
        assert (following.cursor, following.tail.head, following.resync) == (0, 0, None)


async def test_a_stream_followed_anew_while_its_group_is_left_is_in_the_group(tenant, settings, monkeypatch):
    settings.REALTIME = {**ONLY_WHEN_ASKED, "LINGER": "0"}
    stream = groups.msp(tenant.msp.pk)
    layer = get_channel_layer()
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        hub.streams.unfollow(connection, stream)
        hub.streams.tails[stream].idle_since = 0.0
        true_discard = layer.group_discard

        async def discard(group: str, channel: str) -> None:
            await hub.streams.follow(connection, stream)  # joins, before the layer has left
            await true_discard(group, channel)

        monkeypatch.setattr(layer, "group_discard", discard)
        await hub.streams.forget_idle()
        assert hub.listener._joined >= {stream}
        good = {"type": "stream.events", "stream": stream, "events": [announced(tenant, 1)], "access": 0}
        await layer.group_send(stream, good)
        await settled(lambda: wire.seqs() == [1])


async def test_a_group_joined_as_the_layer_goes_away_is_not_held_for_joined(tenant, monkeypatch):
    layer = get_channel_layer()
    async with running_hub() as hub:

        def reset() -> None:
            hub.listener._channel = None
            hub.listener._joined.clear()

        meanwhile(layer, "group_add", reset, monkeypatch)
        await hub.listener.join("msp.x")
        assert hub.listener._joined == set()


async def test_access_lost_while_a_client_is_being_followed_is_lost(tenant, monkeypatch):
    """The re-check that the change asks for finds the stream not followed yet, or the answer of before."""
    async with running_hub() as hub:
        connection, wire = await connect(hub, tenant.msp_user, selective=True)
        connection.start()

        async def loses() -> None:
            await sync_to_async(type(tenant.client).objects.filter(pk=tenant.client.pk).delete)()

        meanwhile(hub.streams, "follow", loses, monkeypatch)
        with pytest.raises(requests.ProtocolError) as refused:
            await subscriptions.subscribe(connection, inbound.Subscribe(client_id=tenant.client.pk))
        assert refused.value.code == "not_found"
        hub.streams.take(groups.client(tenant.client.pk), [announced(tenant, 1)])
        await asyncio.sleep(0.01)
        assert (wire.seqs(), connection.following) == ([], {})


# Access


@pytest.mark.parametrize("error", [KeyError("a fault of ours"), OperationalError("away")])
async def test_access_that_cannot_be_asked_again_closes_the_socket(tenant, monkeypatch, error):
    """Whatever went wrong: a socket whose user may have lost access is not let go on."""
    failures = metrics.task_failures.labels("access re-check")

    def fail(_: Any) -> Any:
        raise error

    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        before = failures._value.get()
        monkeypatch.setattr(identities, "recheck", fail)
        hub.watch.access_changed(AccessChange(everybody=True))
        await settled(lambda: wire.closed == 1011)
        assert [frame["code"] for frame in wire.frames] == ["unavailable"]
        assert (failures._value.get() - before, connection.rechecks) == (1, 0)


async def test_access_that_cannot_be_taken_away_closes_the_socket(tenant, monkeypatch):
    """Half taken away, it must not go on either."""

    def fail(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        monkeypatch.setattr(hub.watch, "_settle", fail)
        hub.watch.access_changed(AccessChange(everybody=True))
        await settled(lambda: wire.closed == 1011)


async def test_a_change_of_access_that_was_not_heard_holds_back_what_came_after_the_next_one(tenant):
    """The first announcement is lost, the second arrives, and then an event that was placed after both."""
    stream, nobody = groups.msp(tenant.msp.pk), '{"user_ids":[],"client_ids":[],"sessions":[]}'
    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        known = hub._access
        first, second = known + 1, known + 2
        hub._heard({"type": "control.access", "data": nobody, "position": second, "access": first})
        assert hub.listener.sweep_now.is_set()
        event = {
            "type": "stream.events",
            "stream": stream,
            "events": [announced(tenant, 1)],
            "access": second,
        }
        hub._heard(event)
        await asyncio.sleep(0.01)
        assert wire.seqs() == []
        hub._heard({"type": "control.access", "data": nobody, "position": first, "access": known})
        hub._heard({"type": "control.access", "data": nobody, "position": second, "access": first})
        hub._heard(event)
        await settled(lambda: wire.seqs() == [1])


async def test_what_was_saved_after_a_change_of_access_that_is_not_known_yet_is_not_read(tenant, monkeypatch):
    """The change and an alert after it come between the sweep's look at the log and its reading of the events."""

    def work() -> None:
        tenant.msp_user.is_active = False
        tenant.msp_user.save()
        AlertFactory(client=tenant.client)
        wait_until(lambda: Event.objects.filter(type="alert").count() == 2, "not published")

    async def deactivate_and_publish() -> None:
        await sync_to_async(work)()

    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        await publish(tenant, 1)
        with monkeypatch.context() as looking:
            meanwhile(threads, "run", deactivate_and_publish, looking)
            await hub.sweep()
        await settled(lambda: wire.seqs() == [1])
        assert wire.closed is None
        await hub.sweep()
        await settled(lambda: wire.closed == 4003)
        assert wire.seqs() == [1]


# Shared work


async def test_a_failure_of_shared_work_whose_waiters_are_gone_is_nobodys(tenant, monkeypatch):
    """Else asyncio reports it as never retrieved: an error in the logs that is none."""
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fail(*_: Any, **__: Any) -> Any:
        begun.set()
        await go_on.wait()
        raise OperationalError("away")

    async with running_hub() as hub:
        connection, _ = await connect(hub, tenant.msp_user)
        monkeypatch.setattr(threads, "run", fail)
        asking = (
            lambda: hub.streams.follow(connection, groups.msp(tenant.msp.pk)),
            lambda: hub.streams.pages.after(groups.msp(tenant.msp.pk), 0),
            lambda: Answers().identity(connection.identity),
            Hub().start,
        )
        for ask in asking:
            begun.clear()
            go_on.clear()
            waiter = asyncio.ensure_future(ask())  # type: ignore[no-untyped-call]
            await begun.wait()
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            go_on.set()
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        monkeypatch.undo()
    gc.collect()
    assert reported == []


# Resuming


async def test_a_stream_taken_away_during_a_resume_sends_nothing_more(tenant, monkeypatch):
    """The resume releases what it held; a stream that was taken away meanwhile stays held."""
    stream = groups.msp(tenant.msp.pk)
    await publish(tenant, 9)
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        following = connection.following[stream]
        meanwhile(hub.streams.pages, "decide", lambda: hub.streams.unfollow(connection, stream), monkeypatch)
        await requests.resume(connection, {stream: 0}, None, None)
        assert [(frame["type"], frame["reason"]) for frame in wire.frames] == [("resync", "unknown")]
        assert following.held
        await asyncio.sleep(0.01)
        assert wire.seqs() == []


async def test_a_stream_taken_away_while_its_run_is_sent_sends_no_more_of_it(tenant, monkeypatch):
    """The socket is full in the middle of a run; a resume is under way, and its end must not set the run free."""
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        wire.open.clear()
        hub.streams.take(stream, [announced(tenant, seq) for seq in (1, 2, 3)])
        await settled(lambda: wire.seqs() == [1])
        following = connection.following[stream]
        hub.streams.unfollow(connection, stream)
        following.release()  # what a resume does at its end
        wire.open.set()
        await asyncio.sleep(0.01)
        assert wire.seqs() == [1]


async def test_a_log_begun_during_a_resume_decides_it(tenant, monkeypatch):
    stream = groups.msp(tenant.msp.pk)
    await publish(tenant, 9)
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        old = hub.epoch
        pages = hub.streams.pages
        meanwhile(pages, "decide", lambda: hub.streams.begin_anew("new"), monkeypatch)
        await requests.resume(connection, {stream: 0}, old, None)
        first = wire.frames[0]
        assert (first["type"], first["reason"], first["epoch"]) == ("resync", "epoch", "new")
        await asyncio.sleep(0.01)
        assert wire.seqs() == []


@pytest.mark.parametrize("batches", [False, True])
async def test_a_page_read_while_another_log_is_begun_is_not_sent(tenant, monkeypatch, batches):
    stream = groups.msp(tenant.msp.pk)
    await publish(tenant, 12)
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant, batches=batches)
        meanwhile(hub.streams.pages, "after", lambda: hub.streams.begin_anew("new"), monkeypatch)
        await requests.resume(connection, {stream: 0}, None, None)
        await settled(lambda: any(frame["type"] == "resync" for frame in wire.frames))
        assert wire.seqs() == []


# Another log, repairs, sweeps


async def test_a_log_that_cannot_be_read_yet_is_begun_by_the_next_sweep(tenant, monkeypatch):
    """Half-way it must not count as begun: tails would stay at the heads of the old log."""
    stream = groups.msp(tenant.msp.pk)
    await publish(tenant, 3)
    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        old = hub.epoch
        true_sweep, true_heads = reading.sweep, reading.heads

        def sweep(after: int, seen: Any = None) -> Any:
            from dataclasses import replace

            return replace(true_sweep(after, seen), epoch="new", position=0)

        def away(streams: list[str]) -> Any:
            raise OperationalError("away")

        monkeypatch.setattr(reading, "sweep", sweep)
        monkeypatch.setattr(reading, "heads", away)
        with pytest.raises(OperationalError):
            await hub.sweep()
        assert hub.epoch == old
        monkeypatch.setattr(reading, "heads", true_heads)
        await hub.sweep()
        await settled(lambda: [frame.get("reason") for frame in wire.frames] == ["epoch"])
        assert (hub.epoch, hub.streams.tails[stream].head) == ("new", 3)


async def test_a_stream_opened_while_another_log_is_begun_is_not_set_back_to_nothing(tenant, monkeypatch):
    await publish(tenant, 3)
    stream = groups.client(tenant.client.pk)
    async with running_hub() as hub:
        await follow_msp(hub, tenant)
        late, _ = await connect(hub, tenant.msp_user, selective=True)
        meanwhile(threads, "run", lambda: hub.streams.follow(late, stream), monkeypatch)
        await hub.streams.begin_anew("new")
        assert hub.streams.tails[stream].head == 3
        assert late.positions() == {stream: 3}


async def test_rows_of_the_log_before_are_not_taken_for_the_new_ones(tenant, monkeypatch):
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        await publish(tenant, 2)

        async def another_log() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(reading, "heads", lambda streams: dict.fromkeys(streams, 0))
                await hub.streams.begin_anew("new")

        meanwhile(threads, "run", another_log, monkeypatch)
        await hub.streams._repair(hub.streams.tails[stream], "sweep")
        assert hub.streams.tails[stream].head == 0
        await settled(lambda: [frame["type"] for frame in wire.frames] == ["resync"])


async def test_one_stream_that_cannot_be_repaired_holds_up_no_other_and_no_sweep(tenant, monkeypatch):
    """And it is looked at again, though the sweep goes on from further on."""
    msp, own = groups.msp(tenant.msp.pk), groups.client(tenant.client.pk)
    true_page = reading.page

    def page(stream: str, *arguments: Any, **options: Any) -> Any:
        if stream == msp:
            raise KeyError("a row of another shape")
        return true_page(stream, *arguments, **options)

    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        other, others = await connect(hub, tenant.msp_user, selective=True)
        await hub.streams.follow(other, own)
        other.start()
        await publish(tenant, 2)
        monkeypatch.setattr(reading, "page", page)
        await hub.sweep()
        await settled(lambda: others.seqs() == [1, 2])
        swept = hub._swept
        assert (wire.seqs(), swept > 0) == ([], True)
        monkeypatch.setattr(reading, "page", true_page)
        await hub.sweep()
        await settled(lambda: wire.seqs() == [1, 2])
        assert hub.streams._behind == {}


async def test_announcements_of_what_is_not_in_the_log_are_bounded_and_forgotten(tenant):
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        tail = hub.streams.tails[stream]
        hub.streams.take(stream, [announced(tenant, 2**62 + seq) for seq in range(50)])
        assert len(tail.ahead) <= 5
        await settled(lambda: not tail.ahead)
        hub.streams.take(stream, [announced(tenant, 1)])
        await settled(lambda: wire.seqs() == [1])


async def test_a_repair_whose_waiters_are_gone_leaves_nothing_held(tenant, monkeypatch):
    """Whoever opens a stream may be cancelled; what they waited for fails; the next one opens it."""
    stream = groups.msp(tenant.msp.pk)
    true_head, failures = reading.head, iter([ValueError("a fault")])

    def head(name: str) -> int:
        if (failure := next(failures, None)) is not None:
            raise failure
        return true_head(name)

    monkeypatch.setattr(reading, "head", head)
    async with running_hub() as hub:
        connection, _ = await connect(hub, tenant.msp_user)
        with pytest.raises(ValueError, match="a fault"):
            await hub.streams.follow(connection, stream)
        assert (connection.following, hub.streams._opening, hub.streams._repairing) == ({}, {}, set())
        following = await hub.streams.follow(connection, stream)
        assert (following.cursor, following.held) == (0, False)
        decided = await hub.streams.resume(following, 0, None)
        assert isinstance(decided, Replay)


async def test_a_hub_whose_start_was_cancelled_starts_again(monkeypatch):
    hub = Hub()
    true_origin = reading.origin
    monkeypatch.setattr(hub, "_start", asyncio.Event().wait)
    first = asyncio.create_task(hub.start())
    await asyncio.sleep(0)
    assert hub._starting is not None
    hub._starting.cancel()
    await asyncio.gather(first, return_exceptions=True)
    monkeypatch.undo()
    assert reading.origin is true_origin
    await hub.start()
    assert hub.epoch
    await hub.stop()
