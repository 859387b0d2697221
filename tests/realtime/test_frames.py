"""What each client frame does, and what comes back."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from engagement import actions
from engagement.models import Alert
from tests.factories import AlertFactory, ClientFactory, DepartmentFactory, UserFactory
from tests.realtime.conftest import make_tenant
from tests.realtime.doors import client_route, refresh_token, token_ending_in
from tests.realtime.tight import SUBSCRIPTIONS
from tests.sockets import Socket, token_for

pytestmark = pytest.mark.django_db(transaction=True)

SELECTED = "/api/v1/ws/engagement?scope=selected"
EVENTS = ["engagement_update", "interaction_update", "alert"]
make = sync_to_async(AlertFactory)


async def details(socket: Socket, count: int) -> list[str]:
    return [event["data"]["details"] for event in await socket.events(count)]


async def nothing_more(socket: Socket) -> None:
    """Fail if an event is under way: frames come in order, so before the answer to a ping."""
    await socket.send({"type": "ping"})
    assert (await socket.receive())["type"] == "pong"


# ping


async def test_a_ping_comes_back_with_its_timestamp_and_the_positions(tenant, server):
    async with tenant.socket(server) as socket:
        for timestamp in ("2026-01-01T00:00:00Z", 1767225600.25, None):
            pong = await socket.ask({"type": "ping", "timestamp": timestamp, "ref": 7})
            assert pong.get("timestamp") == timestamp
            assert pong["ref"] == 7
            assert abs((datetime.fromisoformat(pong["server_time"]) - timezone.now()).total_seconds()) < 5
        await make(client=tenant.client)
        await socket.events(1)
        pong = await socket.ask({"type": "ping", "positions": pong["positions"]})
        assert pong["positions"] == {f"msp.{tenant.msp.pk}": 1}
        assert "ref" not in pong


# subscribe, unsubscribe


async def test_an_msp_narrows_all_it_follows_to_topics_and_severity(tenant, daphne):
    async with tenant.socket(daphne) as socket:
        answer = await socket.ask(
            {"type": "subscribe", "topics": ["alert"], "min_severity": "high", "ref": "a"}
        )
        stream = f"msp.{tenant.msp.pk}"
        assert answer == {
            "type": "subscribed",
            "topics": ["alert"],
            "min_severity": "high",
            "stream": stream,
            "seq": 0,
            "ref": "a",
        }
        await sync_to_async(actions.record_interactions)(
            tenant.client, [actions.Use(application=tenant.application)]
        )
        for severity in ("low", "medium", "high", "critical"):
            await make(client=tenant.client, severity=severity, details=severity)
        assert await details(socket, 2) == ["high", "critical"]
        await nothing_more(socket)

        answer = await socket.ask({"type": "subscribe"})
        assert answer["topics"] == EVENTS
        await make(client=tenant.client, severity="low", details="again")
        assert await details(socket, 1) == ["again"]


async def test_one_client_of_an_msps_stream_is_narrowed_muted_and_heard_again(tenant, daphne):
    client, other = str(tenant.client.pk), str(tenant.other_client.pk)
    async with tenant.socket(daphne) as socket:
        await socket.ask({"type": "subscribe", "client_id": client, "min_severity": "critical"})
        await make(client=tenant.client, details="mild")
        await make(client=tenant.other_client, details="elsewhere")
        assert await details(socket, 1) == ["elsewhere"]

        answer = await socket.ask({"type": "unsubscribe", "client_id": other, "ref": 1})
        assert answer == {"type": "unsubscribed", "client_id": other, "topics": [], "ref": 1}
        await make(client=tenant.other_client, details="muted")
        await make(client=tenant.client, severity="critical", details="bad")
        assert await details(socket, 1) == ["bad"]

        await socket.ask({"type": "subscribe", "client_id": other})
        await make(client=tenant.other_client, details="heard again")
        assert await details(socket, 1) == ["heard again"]


async def test_unsubscribing_from_topics_leaves_the_others(tenant, daphne):
    async with tenant.socket(daphne) as socket:
        answer = await socket.ask({"type": "unsubscribe", "topics": ["alert"]})
        assert answer == {"type": "unsubscribed", "topics": ["engagement_update", "interaction_update"]}
        await make(client=tenant.client)
        await sync_to_async(actions.record_interactions)(
            tenant.client, [actions.Use(application=tenant.application)]
        )
        events = await socket.events(2)
        assert {event["type"] for event in events} == {"engagement_update", "interaction_update"}


async def test_subscribing_to_a_covered_client_is_acknowledged_and_sends_nothing_twice(tenant, server):
    client = str(tenant.client.pk)
    async with (
        tenant.socket(server) as msp,
        tenant.socket(server, tenant.client_user) as own,
        tenant.socket(server, path=client_route(client)) as one,
    ):
        for socket, stream in (
            (msp, f"msp.{tenant.msp.pk}"),
            (own, f"client.{client}"),
            (one, f"client.{client}"),
        ):
            for _ in range(2):
                answer = await socket.ask({"type": "subscribe", "client_id": client})
                assert answer["type"] == "subscribed"
                assert (answer["client_id"], answer["stream"], answer["topics"]) == (client, stream, EVENTS)
        for number in range(3):
            await make(client=tenant.client, details=str(number))
        for socket in (msp, own, one):
            assert await details(socket, 3) == ["0", "1", "2"]
            await nothing_more(socket)


async def test_a_clients_user_narrows_the_own_stream(tenant, daphne):
    async with tenant.socket(daphne, tenant.client_user) as socket:
        for frame in ({"client_id": str(tenant.client.pk)}, {}):
            answer = await socket.ask({"type": "subscribe", "min_severity": "critical", **frame})
            assert answer["stream"] == f"client.{tenant.client.pk}"
            await make(client=tenant.client, details="mild")
            await make(client=tenant.client, details="bad", severity="critical")
            assert await details(socket, 1) == ["bad"]


async def test_with_selected_clients_only_these_are_followed(tenant, server):
    client, other = str(tenant.client.pk), str(tenant.other_client.pk)
    async with (
        tenant.socket(server, path=SELECTED) as socket,
        tenant.socket(server, tenant.client_user) as witness,
    ):
        assert socket.hello["scope"] == "msp"
        await make(client=tenant.client, details="before")
        await witness.events(1)
        answer = await socket.ask({"type": "subscribe", "client_id": client, "topics": ["alert"]})
        assert (answer["stream"], answer["seq"], answer["topics"]) == (f"client.{client}", 1, ["alert"])
        await make(client=tenant.other_client, details="not selected")
        await make(client=tenant.client, details="selected")
        [event] = await socket.events(1)
        assert (event["data"]["details"], event["stream"], event["seq"]) == (
            "selected",
            f"client.{client}",
            2,
        )

        await socket.ask({"type": "unsubscribe", "client_id": client})
        await make(client=tenant.client, details="no more")
        assert await details(witness, 2) == ["selected", "no more"]
        await nothing_more(socket)
        for frame, code in (
            ({"type": "unsubscribe", "client_id": client}, "not_subscribed"),
            ({"type": "unsubscribe", "client_id": other}, "not_subscribed"),
            ({"type": "unsubscribe"}, "not_subscribed"),
            ({"type": "subscribe"}, "invalid_message"),
        ):
            answer = await socket.ask({**frame, "ref": "r"})
            assert (answer["type"], answer["code"], answer["ref"]) == ("error", code, "r")


async def test_subscriptions_are_limited_and_one_that_is_held_is_not_counted_again(tenant, tight):
    def clients() -> list[str]:
        return [str(client.pk) for client in ClientFactory.create_batch(SUBSCRIPTIONS + 1, msp=tenant.msp)]

    keys = await sync_to_async(clients)()
    for path in (SELECTED, "/ws/engagement"):
        async with tenant.socket(tight, path=path) as socket:
            for key in (*keys[:-1], keys[0]):
                assert (await socket.ask({"type": "subscribe", "client_id": key}))["type"] == "subscribed"
            answer = await socket.ask({"type": "subscribe", "client_id": keys[-1]})
            assert answer["code"] == "too_many_subscriptions"
            await socket.ask({"type": "subscribe", "client_id": keys[0]})


# what is not yours


async def test_foreign_and_unknown_ids_are_answered_alike_by_every_frame(tenant, server):
    def elsewhere() -> tuple[str, str]:
        foreign = make_tenant()
        return str(foreign.client.pk), str(AlertFactory(client=foreign.client).pk)

    client, alert = await sync_to_async(elsewhere)()
    frames = [("subscribe", "client_id", client), ("unsubscribe", "client_id", client),
              ("request_update", "client_id", client), ("acknowledge", "alert_id", alert)]  # fmt: skip
    sockets = [
        tenant.socket(server),
        tenant.socket(server, tenant.client_user),
        tenant.socket(server, path=SELECTED),
    ]
    for socket in sockets:
        async with socket:
            for kind, field, foreign in frames:
                answers = [
                    await socket.ask({"type": kind, field: key, "ref": 1})
                    for key in (foreign, str(uuid.uuid4()))
                ]
                assert (answers[0]["type"], answers[0]["code"]) == ("error", "not_found")
                answers = [{**answer, "client_id": None} for answer in answers]  # the one that was asked for
                assert answers[0] == answers[1]
    assert (await Alert.objects.aget(pk=alert)).acknowledged_at is None


async def test_a_socket_on_one_clients_route_is_about_that_client(tenant, daphne):
    async with tenant.socket(daphne, path=client_route(tenant.client.pk)) as socket:
        for kind in ("subscribe", "unsubscribe", "request_update"):
            answer = await socket.ask({"type": kind, "client_id": str(tenant.other_client.pk)})
            assert answer["code"] == "not_found"


# request_update, acknowledge


async def test_a_snapshot_holds_all_figures_and_the_positions_before_them(tenant, daphne):
    def history() -> None:
        department = DepartmentFactory(client=tenant.client, name="Legal")
        use = actions.Use(application=tenant.application, department=department, user_ref="ana", count=4)
        actions.record_interactions(tenant.client, [use, actions.Use(agent=tenant.agent, user_ref="ana")])

    client = str(tenant.client.pk)
    async with tenant.socket(daphne) as msp, tenant.socket(daphne, tenant.client_user) as own:
        await sync_to_async(history)()
        for socket, frame in ((msp, {"client_id": client}), (own, {}), (own, {"client_id": client})):
            snapshot = await socket.ask({"type": "request_update", "ref": "s", **frame})
            assert (snapshot["type"], snapshot["snapshot"], snapshot["ref"]) == (
                "engagement_update",
                True,
                "s",
            )
            assert snapshot["client_id"] == client
            assert "seq" not in snapshot
            assert [row["department"] for row in snapshot["data"]["departments"]] == ["Legal"]
            assert [row["application"] for row in snapshot["data"]["applications"]] == ["ChatGPT"]
            assert [row["agent"] for row in snapshot["data"]["agents"]] == [tenant.agent.name]
            assert list(snapshot["positions"]) == list(socket.hello["positions"])
        assert (await msp.ask({"type": "request_update"}))["code"] == "invalid_message"


async def test_an_acknowledged_alert_names_who_saw_it_first_and_comes_as_an_event(tenant, server):
    alert = await make(client=tenant.client)
    async with tenant.socket(server) as msp, tenant.socket(server, tenant.client_user) as own:
        answer = await own.ask({"type": "acknowledge", "alert_id": str(alert.pk), "ref": 3})
        assert (answer["type"], answer["alert_id"], answer["ref"]) == ("acknowledged", str(alert.pk), 3)
        assert answer["acknowledged_by"] == tenant.client_user.username
        while True:  # raising the alert may still be under way when the socket opens
            [event] = await msp.events(1)
            if event["data"]["change"] == "updated":
                break
        assert event["data"]["acknowledged_by"] == tenant.client_user.username
        again = await msp.ask({"type": "acknowledge", "alert_id": str(alert.pk)})
        assert again["acknowledged_by"] == tenant.client_user.username
        assert again["acknowledged_at"] == answer["acknowledged_at"]


# authenticate


async def test_a_new_token_is_taken_in_place_and_only_ones_own(tenant, server):
    colleague = await sync_to_async(UserFactory)(role="msp_admin", msp=tenant.msp)
    async with tenant.socket(server) as socket:
        for token, code in (
            (token_for(colleague), "user_changed"),
            ("x.y.z", "invalid_token"),
            ("", "invalid_token"),
            ("\0", "invalid_token"),
            (token_ending_in(tenant.msp_user, -1), "token_expired"),
            (refresh_token(tenant.msp_user), "wrong_token_type"),
        ):
            answer = await socket.ask({"type": "authenticate", "token": token, "ref": code})
            assert (answer["type"], answer["code"], answer["ref"]) == ("error", code, code)
        answer = await socket.ask(
            {"type": "authenticate", "token": token_ending_in(tenant.msp_user, 3000), "ref": 9}
        )
        assert (answer["type"], answer["ref"]) == ("authenticated", 9)
        left = datetime.fromisoformat(answer["token_expires_at"]) - timezone.now()
        assert 2990 < left.total_seconds() < 3001
        await make(client=tenant.client)
        await socket.events(1)


# encodings


@pytest.mark.parametrize("batch", [0, 1])
async def test_all_encodings_bring_equal_events(tenant, server, batch):
    def save() -> None:
        with transaction.atomic():  # one round of the publisher, so that batches form
            for number in range(40):
                AlertFactory(
                    client=tenant.client,
                    application=tenant.application,
                    details=f"{number} é☃ " + "x" * 20 * number,
                )
        actions.record_interactions(
            tenant.client, [actions.Use(application=tenant.application, user_ref="ana")]
        )

    encodings = ["compliance.v1", "compliance.v1+msgpack", "compliance.v1+deflate"]
    sockets = [
        Socket(
            f"{server.ws_url}/ws/engagement?batch={batch}",
            token=token_for(tenant.msp_user),
            subprotocols=[encoding],
        )
        for encoding in encodings
    ]
    for socket in sockets:
        await socket.__aenter__()
    await sync_to_async(save)()
    wires: list[list[str | bytes]] = [[], [], []]
    found: list[list[dict]] = [[], [], []]
    for socket, wire, events in zip(sockets, wires, found, strict=True):
        while len(events) < 42:
            wire.append(await asyncio.wait_for(socket.raw.recv(), 5))
            frame = socket.decode(wire[-1])
            events.extend(frame["messages"] if frame["type"] == "batch" else [frame])
        await socket.raw.close()
    assert found[0] == found[1] == found[2]
    assert [event["seq"] for event in found[0]] == list(range(1, 43))
    assert all(isinstance(frame, str) for frame in wires[0])
    assert all(isinstance(frame, bytes) for frame in wires[1])
    assert any(isinstance(frame, bytes) for frame in wires[2])
    if batch:
        assert all(len(wire) < 42 for wire in wires)
    else:
        assert any(isinstance(frame, str) for frame in wires[2]), "short frames are sent as they are"
