"""Many subscriptions at once: 200 work, one by one and as a list, and what is refused is said client by client."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime.protocol.inbound import MAX_CLIENTS
from tests.factories import AlertFactory, ClientFactory
from tests.realtime.conftest import Tenant, make_tenant
from tests.realtime.doors import client_route
from tests.realtime.tight import ERRORS, MESSAGES_BURST, SUBSCRIPTIONS
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)

SELECTED = "/ws/engagement?scope=selected"
ALL = "/ws/engagement"


async def clients(tenant: Tenant, count: int) -> list[str]:
    made = await sync_to_async(ClientFactory.create_batch)(count, msp=tenant.msp)
    return [str(client.pk) for client in made]


async def answers(socket: Socket, count: int) -> list[dict[str, Any]]:
    return [await socket.receive() for _ in range(count)]


@pytest.mark.parametrize("path", [SELECTED, ALL])
async def test_the_documented_number_of_subscriptions_works_one_by_one_at_once(tenant, server, path):
    keys = await clients(tenant, MAX_CLIENTS)
    async with tenant.socket(server, path=path) as socket:
        for number, key in enumerate(keys):
            await socket.send({"type": "subscribe", "client_id": key, "ref": number})
        found = await answers(socket, MAX_CLIENTS)
        assert [(frame["type"], frame["client_id"], frame["ref"]) for frame in found] == [
            ("subscribed", key, number) for number, key in enumerate(keys)
        ]


@pytest.mark.parametrize("path", [SELECTED, ALL])
async def test_a_list_is_answered_client_by_client(tenant, server, path):
    keys = await clients(tenant, MAX_CLIENTS - 2)
    foreign = str((await sync_to_async(make_tenant)()).client.pk)
    unknown = str(uuid.uuid4())
    named = [foreign, *keys, unknown]
    async with tenant.socket(server, path=path) as socket:
        await socket.send({"type": "subscribe", "client_ids": named, "topics": ["alert"], "ref": "all"})
        found = await answers(socket, len(named))
        assert [frame["client_id"] for frame in found] == named
        assert {frame["ref"] for frame in found} == {"all"}
        assert [frame["type"] for frame in found] == ["error", *["subscribed"] * len(keys), "error"]
        assert {found[0]["code"], found[-1]["code"]} == {"not_found"}
        assert {tuple(frame["topics"]) for frame in found[1:-1]} == {("alert",)}
        for index in (0, len(keys) - 1):
            await sync_to_async(AlertFactory)(client_id=uuid.UUID(keys[index]), details=str(index))
            [event] = await socket.events(1)
            assert (event["client_id"], event["data"]["details"]) == (keys[index], str(index))

        await socket.send({"type": "unsubscribe", "client_ids": [*keys[:2], unknown], "ref": 2})
        left = await answers(socket, 3)
        assert [(frame["type"], frame["client_id"]) for frame in left] == [
            ("unsubscribed", keys[0]),
            ("unsubscribed", keys[1]),
            ("error", unknown),
        ]
        await sync_to_async(AlertFactory)(client_id=uuid.UUID(keys[0]), details="not followed")
        await sync_to_async(AlertFactory)(client_id=uuid.UUID(keys[2]), details="followed")
        [event] = await socket.events(1)
        assert event["data"]["details"] == "followed"


async def test_a_list_takes_what_there_is_room_for(tenant, tight):
    keys = await clients(tenant, SUBSCRIPTIONS + 2)
    for path in (SELECTED, ALL):
        async with tenant.socket(tight, path=path) as socket:
            await socket.send({"type": "subscribe", "client_ids": [*keys, keys[0]]})
            found = await answers(socket, len(keys))
            assert [frame["client_id"] for frame in found] == keys
            assert [frame.get("code") for frame in found] == [
                *[None] * SUBSCRIPTIONS,
                *["too_many_subscriptions"] * 2,
            ]
            await socket.send({"type": "subscribe", "client_ids": keys[:SUBSCRIPTIONS]})
            again = await answers(socket, SUBSCRIPTIONS)
            assert {frame["type"] for frame in again} == {"subscribed"}


async def test_a_list_on_a_clients_own_route_is_about_that_client(tenant, daphne):
    own, other = str(tenant.client.pk), str(tenant.other_client.pk)
    async with tenant.socket(daphne, path=client_route(own)) as socket:
        await socket.send({"type": "subscribe", "client_ids": [other, own]})
        refused, subscribed = await answers(socket, 2)
        assert (refused["code"], refused["client_id"]) == ("not_found", other)
        assert (subscribed["type"], subscribed["stream"]) == ("subscribed", f"client.{own}")


async def test_a_list_can_ask_for_presence(tenant, daphne):
    own, other = str(tenant.client.pk), str(tenant.other_client.pk)
    async with tenant.socket(daphne, path=SELECTED) as socket:
        await socket.send({"type": "subscribe", "client_ids": [own, other], "topics": ["presence"]})
        found = await answers(socket, 4)
        assert [(frame["type"], frame["client_id"]) for frame in found] == [
            ("subscribed", own), ("subscribed", other), ("presence", own), ("presence", other),
        ]  # fmt: skip


async def test_lists_that_are_none_are_malformed(tenant, daphne):
    key = str(tenant.client.pk)
    async with tenant.socket(daphne) as socket:
        for fields in (
            {"client_ids": []},
            {"client_ids": key},
            {"client_ids": ["nonsense"]},
            {"client_ids": [key], "client_id": key},
            {"client_ids": [str(uuid.uuid4()) for _ in range(MAX_CLIENTS + 1)]},
        ):
            for kind in ("subscribe", "unsubscribe"):
                assert (await socket.ask({"type": kind, **fields}))["code"] == "invalid_message"


async def test_stale_ids_and_the_rate_are_no_abuse(tenant, tight):
    async with tenant.socket(tight) as socket:
        for number in range(MESSAGES_BURST + ERRORS + 5):
            await socket.send({"type": "subscribe", "client_id": str(uuid.uuid4()), "ref": number})
        found = await answers(socket, MESSAGES_BURST + ERRORS + 5)
        assert [frame["ref"] for frame in found] == list(range(len(found)))
        assert {frame["code"] for frame in found[:MESSAGES_BURST]} == {"not_found"}
        limited = [frame for frame in found if frame["code"] == "rate_limited"]
        assert limited
        assert all(0 < frame["retry_after_ms"] <= 1000 for frame in limited)
        await socket.send({"type": "subscribe"})  # not closed, and events still come
        await sync_to_async(AlertFactory)(client=tenant.client)
        await socket.events(1)


async def test_what_does_not_apply_is_left_out_of_the_first_frame(tenant, daphne):
    client = str(tenant.client.pk)
    async with tenant.socket(daphne) as msp, tenant.socket(daphne, tenant.client_user) as own:
        assert (msp.hello["msp_id"], "client_id" in msp.hello) == (str(tenant.msp.pk), False)
        assert (own.hello["client_id"], "msp_id" in own.hello) == (client, False)
