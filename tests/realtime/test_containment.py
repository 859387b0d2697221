"""What fails, fails alone: one event, one connection, one message or one second costs nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import OperationalError
from django.test import AsyncClient
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from engagement import actions
from engagement.errors import NotAllowed
from engagement.models import Alert
from realtime import requests
from realtime.events import reading
from realtime.hub import hub as hubs
from realtime.hub.arrivals import AccessChange
from realtime.hub.conflation import fold
from realtime.hub.hub import Hub
from realtime.hub.supervisor import Supervisor
from realtime.hub.tail import StreamEvent
from realtime.models import Event
from realtime.protocol import groups
from realtime.protocol.encoding import Encoding
from tests.factories import AlertFactory
from tests.live import wait_until
from tests.realtime.hubs import ONLY_WHEN_ASKED, announced, connect, follow_msp, running_hub, settled

pytestmark = pytest.mark.django_db(transaction=True)

OK = '{"id":"1"}'
NOT_IN_MSGPACK = {
    "beyond 64 bits": '{"n":18446744073709551616}',
    "deep in a list": '{"rows":[{"n":-9223372036854775809}]}',
    "lone surrogate": '{"text":"\\ud800"}',
}
NOT_IN_JSON = {"cut off": '{"id":', "no number": '{"n":NaN}', "two values": "{} {}", "empty": ""}


@pytest.fixture(autouse=True)
def _only_when_asked(settings: Any) -> None:
    settings.REALTIME = ONLY_WHEN_ASKED


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """Return what is logged."""
    with capture_logs() as entries:
        yield entries


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"realtime_{name}_total", labels) or 0.0


# One bad event


WAYS = {
    "alone": {},
    "at once": {"at_once": True},
    "batches": {"batches": True},
    "batches at once": {"batches": True, "at_once": True},
    "rate": {"rate": 100.0},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoding", Encoding)
async def test_an_event_that_an_encoding_cannot_carry_costs_that_event_and_nothing_else(
    tenant, logs, encoding, way
):
    poison = {
        2: NOT_IN_MSGPACK["beyond 64 bits"],
        4: NOT_IN_JSON["cut off"],
        5: NOT_IN_MSGPACK["lone surrogate"],
    }
    wanted = [1, 3, 6] if encoding is Encoding.MSGPACK else [1, 2, 3, 5, 6]
    stream = groups.msp(tenant.msp.pk)
    skipped = {Encoding.JSON: 1} | ({Encoding.MSGPACK: 3} if encoding is Encoding.MSGPACK else {})
    before = {one: counted("events_skipped", encoding=one) for one in skipped}
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant, encoding=encoding, **WAYS[way])
        neighbour, others = await follow_msp(hub, tenant)
        for seq in range(1, 7):
            hub.streams.take(stream, [announced(tenant, seq, poison.get(seq, OK))])
            await asyncio.sleep(0)
        await settled(lambda: wire.seqs() == wanted and others.seqs() == [1, 2, 3, 5, 6])
        assert connection.positions() == neighbour.positions() == {stream: 6}
        assert (connection.is_closing, wire.of_type("resync")) == (False, [])
        assert {one: counted("events_skipped", encoding=one) - before[one] for one in skipped} == skipped
        assert len([entry for entry in logs if entry["event"] == "event cannot be encoded"]) <= 4


async def test_an_event_of_no_client_is_passed_over(tenant):
    """An earlier version has published it. Its page could not be read: the MSP's stream ended there for everybody."""

    def save() -> None:
        for _ in range(3):
            AlertFactory(client=tenant.client)
        wait_placed(3)
        Event.objects.filter(msp_seq=2).update(client_id=None, client_seq=None)

    await sync_to_async(save)()
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        await requests.resume(connection, {stream: 0}, None, None)
        await settled(lambda: wire.seqs() == [1, 3])
        await hub.streams.look_for_moved_clients()
        assert not connection.is_closing


@pytest.mark.parametrize("batches", [False, True])
async def test_an_event_that_cannot_be_carried_is_passed_over_at_each_resume_too(tenant, batches):
    """From memory, and from the rows where memory does not reach back: no close, no resync, no second log line."""
    stream = groups.msp(tenant.msp.pk)

    def save() -> None:
        for _ in range(9):
            AlertFactory(client=tenant.client)

    await sync_to_async(save)()
    await sync_to_async(lambda: wait_placed(9))()
    await Event.objects.filter(msp_seq__in=(2, 8)).aupdate(data=NOT_IN_MSGPACK["beyond 64 bits"])
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant, encoding=Encoding.MSGPACK, batches=batches)
        for position in (0, 5, 0):
            wire.frames.clear()
            await requests.resume(connection, {stream: position}, None, None)
            wanted = [seq for seq in range(position + 1, 10) if seq not in {2, 8}]
            await settled(lambda wanted=wanted: wire.seqs() == wanted)
            assert [frame["type"] for frame in wire.frames if frame["type"] in {"resync", "error"}] == []
        assert not connection.is_closing


def wait_placed(count: int) -> None:
    wait_until(lambda: Event.objects.count() == count, "not placed")


async def test_a_real_client_resumes_past_an_event_that_its_encoding_cannot_carry(tenant, server):
    """From an older version, in the log already: each MessagePack socket was closed with 1011, at each resume again."""

    def save() -> None:
        for _ in range(3):
            AlertFactory(client=tenant.client)
        wait_placed(3)
        Event.objects.filter(msp_seq=2).update(data=NOT_IN_MSGPACK["beyond 64 bits"])

    stream = groups.msp(tenant.msp.pk)
    await sync_to_async(save)()
    for encoding, wanted in ((Encoding.MSGPACK, [1, 3]), (Encoding.JSON, [1, 2, 3])) * 2:
        path = f"/api/v1/ws/engagement?positions={stream}:0"
        async with tenant.socket(server, path=path, subprotocols=[encoding]) as socket:
            assert [event["seq"] for event in await socket.events(len(wanted))] == wanted
            assert (await socket.ask({"type": "ping"}))["positions"] == {stream: 3}


async def test_a_batch_of_nothing_but_what_cannot_be_carried_moves_on(tenant):
    stream = groups.msp(tenant.msp.pk)
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant, encoding=Encoding.MSGPACK, batches=True)
        bad = [announced(tenant, seq, NOT_IN_MSGPACK["deep in a list"]) for seq in (1, 2)]
        hub.streams.take(stream, bad)
        await settled(lambda: connection.positions() == {stream: 2})
        hub.streams.take(stream, [announced(tenant, 3)])
        await settled(lambda: wire.seqs() == [3])


@pytest.mark.parametrize(
    "data",
    ["[]", "7", "null", '"x"', '{"departments":7}', '{"departments":[7]}', '{"app_id":{},"n":1}', "{", ""],
)
@pytest.mark.parametrize("type_", ["interaction_update", "engagement_update", "something_else"])
def test_data_of_another_shape_is_not_folded_and_does_not_stop_what_is(type_, data):
    usual = '{"app_id":"a","interaction_count":1}'
    events = [
        StreamEvent("msp.1", seq, kind, "c", "", "", text)
        for seq, (kind, text) in enumerate(
            [("interaction_update", usual), (type_, data), (type_, data), ("interaction_update", usual)], 1
        )
    ]
    folded = fold(events)
    assert [event.seq for event in folded] == [2, 3, 4]
    assert json.loads(folded[-1].data)["interaction_count"] == 2


async def test_what_folds_to_something_that_cannot_be_carried_goes_out_unfolded(tenant):
    """Two updates of one subject, the newer of which MessagePack cannot carry: the older one's uses are not lost."""
    stream = groups.msp(tenant.msp.pk)
    datas = [
        '{"app_id":"a","interaction_count":2,"x":1}',
        '{"app_id":"a","interaction_count":3,"x":18446744073709551616}',
    ]
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant, encoding=Encoding.MSGPACK, rate=50.0)
        rows = [announced(tenant, seq, data, "interaction_update") for seq, data in enumerate(datas, 1)]
        hub.streams.take(stream, rows)
        await settled(lambda: connection.positions() == {stream: 2})
        assert [event["data"]["interaction_count"] for event in wire.events()] == [2]


# One bad follower


@pytest.mark.parametrize("fault", ["write_now", "wake", "goes"])
async def test_a_connection_that_fails_costs_its_neighbours_nothing(tenant, monkeypatch, fault):
    stream = groups.msp(tenant.msp.pk)

    def raises(*arguments: Any) -> Any:
        raise ValueError("a fault")

    async with running_hub() as hub:
        everybody = [await follow_msp(hub, tenant, at_once=True, batches=n % 2 == 0) for n in range(12)]
        bad = everybody[::3]
        for connection, _ in bad:
            if fault == "write_now":
                connection._write_now = raises
            elif fault == "wake":
                monkeypatch.setattr(connection, "_sent_at_once", raises)
            else:  # leaves the set of followers while the others are told
                monkeypatch.setattr(
                    connection, "_sent_at_once", lambda _, gone=connection: hub.streams.unfollow(gone, stream)
                )
        hub.streams.take(stream, [announced(tenant, 1)])
        hub.streams.take(stream, [announced(tenant, 2)])
        good = [wire for pair in everybody if pair not in bad for wire in pair[1:]]
        await settled(lambda: all(wire.seqs() == [1, 2] for wire in good))
        if fault != "goes":  # they get on, by their writers
            await settled(lambda: all(wire.seqs() == [1, 2] for _, wire in bad))
        assert not any(connection.is_closing for connection, _ in everybody)


async def test_a_fault_of_the_writer_that_is_no_gone_socket_closes_it_and_is_told(tenant, monkeypatch, logs):
    """RecursionError is a RuntimeError: taken for a gone socket it left the socket open and deaf."""
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)

        async def deep(*arguments: Any) -> Any:
            raise RecursionError("maximum recursion depth exceeded")

        monkeypatch.setattr(connection, "_advance", deep)
        hub.streams.take(groups.msp(tenant.msp.pk), [announced(tenant, 1)])
        await settled(lambda: wire.closed is not None)
        assert (wire.closed, wire.frames[-1]["code"]) == (1011, "internal")
        assert any(entry["event"] == "writing to a connection failed" for entry in logs)


async def test_a_database_that_is_away_for_a_moment_does_not_end_who_catches_up(tenant, monkeypatch):
    stream = groups.msp(tenant.msp.pk)
    monkeypatch.setattr("realtime.hub.connection.CATCH_UP_PAUSE", 0.01)
    true_page, failures = reading.page, iter(range(3))

    def page(*arguments: Any, **options: Any) -> Any:
        if next(failures, None) is not None:
            raise OperationalError("away")
        return true_page(*arguments, **options)

    def save() -> None:
        for _ in range(9):
            AlertFactory(client=tenant.client)
        wait_placed(9)

    await sync_to_async(save)()
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        monkeypatch.setattr(reading, "page", page)
        await requests.resume(connection, {stream: 0}, None, None)
        await settled(lambda: wire.seqs() == list(range(1, 10)))
        assert not connection.is_closing


# One bad message


BAD_MESSAGES = [
    {},
    {"type": "stream.events"},
    {"type": "stream.events", "stream": "STREAM"},
    {"type": "stream.events", "stream": "STREAM", "events": [[1, 2]]},
    {"type": "stream.events", "stream": "STREAM", "events": [[1, 1, "alert", "c", "low", "t", {"a": 1}]]},
    {"type": "stream.events", "stream": "STREAM", "events": [["1", 1, "alert", "c", "low", "t", "{}"]]},
    {"type": "stream.events", "stream": "STREAM", "events": 7},
    {"type": "stream.events", "stream": ["STREAM"], "events": []},
    {"type": "stream.events", "stream": "STREAM", "events": [], "access": "1"},
    {"type": "control.access"},
    {"type": "control.access", "position": "x", "data": '{"user_ids":[],"client_ids":[],"sessions":[]}'},
    {"type": "control.drain"},
    {"type": "control.asked", "processes": 7},
    {"type": 7},
    {"type": "of.another.version", "what": 1},
]


async def test_a_message_of_another_shape_costs_that_message(tenant, logs):
    """It is our fault, not the layer's: the channel stays, nothing leaks, and the next message is delivered."""
    stream = groups.msp(tenant.msp.pk)
    layer = get_channel_layer()
    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        channel = hub.listener._channel
        for message in BAD_MESSAGES:
            await layer.group_send(
                groups.CONTROL,
                {key: stream if value == "STREAM" else value for key, value in message.items()},
            )
        good = {"type": "stream.events", "stream": stream, "events": [announced(tenant, 1)], "access": 0}
        await layer.group_send(stream, good)
        await settled(lambda: wire.seqs() == [1])
        assert hub.listener._channel == channel
        assert hub.supervisor.failures == {}
    said = [entry["event"] for entry in logs]
    assert said.count("group message not handled") == len(BAD_MESSAGES) - 2
    assert said.count("unknown group message") == 2
    assert "channel layer not reached" not in said


async def test_a_message_that_cannot_be_read_does_not_drop_the_channel(tenant, monkeypatch, logs):
    """The layer's `receive` raises for what it cannot decrypt or unpack."""
    layer = get_channel_layer()
    true_receive = layer.receive
    faults = iter([ValueError("no msgpack"), KeyError("type"), RuntimeError("no key")])

    async def receive(channel: str) -> Any:
        message = await true_receive(channel)
        if (fault := next(faults, None)) is not None:
            raise fault
        return message

    async with running_hub() as hub:
        _, wire = await follow_msp(hub, tenant)
        channel = hub.listener._channel
        monkeypatch.setattr(layer, "receive", receive)
        stream = groups.msp(tenant.msp.pk)
        for _ in range(5):  # the first goes to the call that was waiting already
            good = {"type": "stream.events", "stream": stream, "events": [announced(tenant, 1)], "access": 0}
            await layer.group_send(stream, good)
        await settled(lambda: wire.seqs() == [1])
        assert hub.listener._channel == channel
        await settled(lambda: [entry["event"] for entry in logs].count("group message not read") == 3)
    assert "channel layer not reached" not in [entry["event"] for entry in logs]


async def test_a_change_of_access_that_cannot_be_read_has_everybody_checked_again(tenant, monkeypatch):
    """Not delivered, it must not count as seen; and in the log for good, it must not stop the sweep for good."""
    checked: list[AccessChange] = []
    async with running_hub() as hub:
        await follow_msp(hub, tenant)
        monkeypatch.setattr(hub.watch, "access_changed", checked.append)
        for data in ("{", "[]", "{}", '{"user_ids":7,"client_ids":[],"sessions":[]}'):
            hub._heard({"type": "control.access", "data": data, "position": 1})
        assert checked == [AccessChange(everybody=True)] * 4


# One bad second


async def test_a_task_that_fails_is_tried_again_and_says_so(logs):
    supervisor = Supervisor()
    rounds: list[int] = []
    nobody = asyncio.get_running_loop().create_future()
    nobody.cancel()

    async def work() -> None:
        rounds.append(len(rounds))
        match rounds[-1]:
            case 0:
                raise ValueError("first")
            case 1:
                await nobody  # what it waits for was cancelled, not the task
            case 2:
                raise RuntimeError("cannot schedule new futures after shutdown")
            case _:
                await asyncio.sleep(0)

    before = counted("task_failures", task="sweep")
    supervisor.repeat("sweep", work)
    supervisor.repeat("sweep", work)  # not twice
    await settled(lambda: supervisor.failures == {"sweep": 3})
    assert not supervisor.is_ready
    await settled(lambda: len(rounds) > 5)
    assert (supervisor.is_ready, supervisor.failures) == (True, {})
    assert counted("task_failures", task="sweep") - before == 3
    assert len([entry for entry in logs if entry["event"] == "task failed" and entry["exc_info"]]) == 3
    await supervisor.stop()
    before = len(rounds)
    await asyncio.sleep(0.01)
    assert len(rounds) == before


async def test_one_off_work_that_fails_is_logged_and_counted(logs):
    supervisor = Supervisor()

    async def work() -> None:
        raise KeyError("gone")

    before = counted("task_failures", task="one-off")
    supervisor.spawn(work())
    await settled(lambda: counted("task_failures", task="one-off") - before == 1)
    assert [entry["log_level"] for entry in logs if entry["event"] == "work of the hub failed"] == ["error"]


@pytest.mark.parametrize(
    ("owner", "name", "task"),
    [
        ("streams", "forget_idle", "sweep"),
        ("gauges", "sample", "ticks"),
        ("gauges", "lags", "access"),
        ("ledger", "write", "connection rows"),
        ("presence", "_listening", "presence"),
        ("listener", "receive", "listener"),
    ],
)
async def test_every_long_lived_task_outlives_any_exception(tenant, settings, monkeypatch, owner, name, task):
    settings.REALTIME = {
        **ONLY_WHEN_ASKED,
        "SWEEP_LOCAL": "0.05",
        "SWEEP_SHARED": "0.05",
        "PRESENCE_INTERVAL": "0.05",
        "HEARTBEAT": "0.1",
    }
    monkeypatch.setattr(hubs, "TICK_SECONDS", 0.05)
    hub = Hub()
    monkeypatch.setitem(hubs._hubs, asyncio.get_running_loop(), hub)

    def raises(*arguments: Any, **options: Any) -> Any:
        raise ValueError("a fault")

    part = getattr(hub, owner)
    true = getattr(part, name)
    monkeypatch.setattr(part, name, raises)
    try:
        await hub.start()
        await settled(lambda: hub.supervisor.failures.get(task, 0) >= 3)
        answer = await AsyncClient().get("/readyz")
        essential = task in {"sweep", "listener", "connection rows"}
        assert (answer.status_code, answer.json()["tasks"]) == (503 if essential else 200, f"failing: {task}")
        monkeypatch.setattr(part, name, true)
        if name == "receive":
            return  # its name was bound when it started
        await settled(lambda: task not in hub.supervisor.failures)
        assert (await AsyncClient().get("/readyz")).json()["tasks"] == "ok"
    finally:
        monkeypatch.setattr(part, name, true)
        await hub.stop()


async def test_a_start_that_fails_half_way_is_made_again_without_a_task_twice(monkeypatch):
    hub = Hub()
    true_attach, calls = hubs.announcing.attach, []

    def attach(loop: Any) -> None:
        calls.append(loop)
        if len(calls) == 1:
            raise RuntimeError("half-way")
        true_attach(loop)

    monkeypatch.setattr(hubs.announcing, "attach", attach)
    with pytest.raises(RuntimeError, match="half-way"):
        await hub.start()
    await hub.start()
    await hub.start()
    assert sorted(task.get_name() for task in hub.supervisor._tasks) == [
        "access",
        "access re-check",
        "connection rows",
        "listener",
        "moved clients",
        "presence",
        "sweep",
        "ticks",
    ]
    await hub.stop()
    assert hub.supervisor._tasks == set()


# One bad command


async def test_an_alert_that_goes_between_two_reads_is_answered_not_found(tenant, monkeypatch):
    true = actions.acknowledge_alert

    def gone_meanwhile(alert: Alert, by: Any) -> Any:
        Alert.objects.filter(pk=alert.pk).delete()
        return true(alert, by)

    monkeypatch.setattr(actions, "acknowledge_alert", gone_meanwhile)
    alert = await sync_to_async(AlertFactory)(client=tenant.client)
    async with running_hub() as hub:
        connection, _ = await follow_msp(hub, tenant)
        frame = json.dumps({"type": "acknowledge", "alert_id": str(alert.pk), "ref": 7})
        with pytest.raises(requests.ProtocolError) as refused:
            await requests.answer(connection, frame, None)
        assert (refused.value.code, refused.value.ref) == ("not_found", 7)


@pytest.mark.parametrize("fault", [NotAllowed("no"), Alert.DoesNotExist(), None])
async def test_who_acknowledges_what_they_may_not_any_more_is_answered(tenant, monkeypatch, fault):
    def refuse(alert: Alert, by: Any) -> Any:
        if fault is not None:
            raise fault
        by.delete()
        return true(alert, by)

    true = actions.acknowledge_alert
    monkeypatch.setattr(actions, "acknowledge_alert", refuse)
    alert = await sync_to_async(AlertFactory)(client=tenant.client)
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        frame = json.dumps({"type": "acknowledge", "alert_id": str(alert.pk)})
        said = None
        with contextlib.suppress(requests.ProtocolError):
            await requests.answer(connection, frame, None)
            said = wire.frames[-1] if wire.frames else None
        assert said is None or said["type"] in {"error", "acknowledged"}
        assert fault is None or not connection.is_closing  # a user who is deleted loses the socket


COMMANDS = {
    "subscribe": {"type": "subscribe"},
    "unsubscribe": {"type": "unsubscribe"},
    "ping": {"type": "ping"},
    "resume": {"type": "resume", "positions": {}},
    "authenticate": {"type": "authenticate", "token": "x"},
    "request_update": {"type": "request_update"},
    "acknowledge": {"type": "acknowledge", "alert_id": "00000000-0000-4000-8000-000000000000"},
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (ValueError("a fault"), "internal"),
        (RecursionError(), "internal"),
        (OperationalError(), "unavailable"),
    ],
)
async def test_a_command_that_fails_is_answered_and_the_socket_lives_on(
    tenant, monkeypatch, logs, name, fault, code
):
    async def raises(*arguments: Any) -> None:
        raise fault

    frame = {**COMMANDS[name], "ref": "r"}
    async with running_hub() as hub:
        connection, wire = await follow_msp(hub, tenant)
        kind = next(kind for kind in requests._ANSWERS if kind.__struct_config__.tag == name)
        monkeypatch.setitem(requests._ANSWERS, kind, raises)
        before = counted("message_errors", code=code)
        await requests.answer(connection, json.dumps(frame), None)
        assert (wire.frames[-1]["type"], wire.frames[-1]["code"], wire.frames[-1]["ref"]) == (
            "error",
            code,
            "r",
        )
        assert counted("message_errors", code=code) == before + 1
        assert not connection.is_closing
        failed = [entry for entry in logs if entry["event"] in {"command failed", "command not answered"}]
        assert [bool(entry.get("exc_info")) for entry in failed] == [code == "internal"]


async def test_a_command_of_a_socket_that_is_gone_ends_quietly(tenant, monkeypatch, logs):
    async with running_hub() as hub:
        connection, _ = await connect(hub, tenant.msp_user)

        async def gone(message: Any) -> None:
            raise RuntimeError("Cannot call send once a close message has been sent.")

        monkeypatch.setattr(connection, "_send", gone)
        await requests.answer(connection, '{"type":"ping"}', None)
    assert [entry for entry in logs if entry["log_level"] in {"error", "critical"}] == []
