"""Tenant isolation on sockets: every role × target × route and message; and what is delivered, live and by resume."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, get_args

import httpx
import pytest
from asgiref.sync import sync_to_async

from engagement import actions
from engagement.models import Alert
from realtime import broadcast
from realtime.protocol import inbound
from realtime.routing import websocket_urlpatterns
from tests.factories import AlertFactory
from tests.realtime.doors import client_route, knock
from tests.realtime.matrix import (
    FOREIGN,
    FOURTH,
    OWN,
    REFUSALS,
    SIBLING,
    TARGETS,
    TENANTS,
    VISIBLE,
    World,
    make_world,
)
from tests.sockets import Socket, token_for

pytestmark = pytest.mark.django_db(transaction=True)

GENERAL = ("/api/v1/ws/engagement", "/ws/engagement")
OF_CLIENT = ("/api/v1/ws/client/{}/engagement", "/ws/client/{}/engagement")
SELECTED = "/ws/engagement?scope=selected"
CLIENTS = (OWN, SIBLING, FOREIGN, FOURTH)


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()


def token(world: World, actor: str) -> str | None:
    user = world.users[actor]
    return None if user is None else token_for(user)


# Routes


async def test_each_route_lets_in_who_sees_its_target_and_tells_the_others_no_more(world, daphne):
    wrong = []
    for actor in VISIBLE:
        for path, target in [(p, None) for p in GENERAL] + [(p, t) for p in OF_CLIENT for t in TARGETS]:
            url = f"{daphne.ws_url}{path.format(world.key(target)) if target else path}"
            answer = await knock(url, token=token(world, actor))
            if actor in REFUSALS:
                wanted = (REFUSALS[actor], 1008)
            elif target is None or target in TENANTS[actor]:
                wanted = (None, None)
            else:
                wanted = ("not_found", 1008)
            if (answer.frame.get("code"), answer.close_code) != wanted:
                wrong.append((actor, path, target, answer))
            if answer.is_open:
                streams = set(answer.frame["positions"])
                if streams != {stream_of(world, actor, target)}:
                    wrong.append((actor, path, target, streams))
    assert wrong == []


def stream_of(world: World, actor: str, target: str | None) -> str:
    if target is not None:
        return f"client.{world.key(target)}"
    return f"msp.{world.msp_key(OWN)}" if actor.startswith("msp") else f"client.{world.key(OWN)}"


def test_every_socket_route_is_in_the_matrix():
    paths = [path.removeprefix("/") for path in (*GENERAL, *(p.format("x") for p in OF_CLIENT))]
    *routes, rest = websocket_urlpatterns
    assert rest.pattern.regex.pattern == ""
    for route in routes:
        assert any(route.pattern.regex.match(path) for path in paths), route
    for path in paths:
        assert any(route.pattern.regex.match(path) for route in routes), path


# Messages


def frames_for(world: World, target: str) -> dict[str, dict[str, Any]]:
    """Every message that names somebody's row, about `target`."""
    client = world.key(target)
    return {
        "subscribe": {"client_id": client},
        "unsubscribe": {"client_id": client},
        "request_update": {"client_id": client},
        "acknowledge": {"alert_id": world.row_key(target, "alert")},
        "resume": {"positions": {f"client.{client}": 0}},
        "resume of its MSP's": {"positions": {f"msp.{world.msp_key(target)}": 0}},
        "authenticate": {"token": ""},
        "ping": {"positions": {f"client.{client}": 0}},
    }


def expected(world: World, actor: str, path: str, message: str, target: str) -> str:
    """Return the answer's type, or its code where it is an error, or its reason where it is a resync."""
    sees = target in TENANTS[actor]
    on_own_route = "/client/" in path
    own_stream = on_own_route or actor.startswith("client")
    if target == "malformed" and message in {"subscribe", "unsubscribe", "request_update", "acknowledge"}:
        return "invalid_message"
    if message in {"subscribe", "unsubscribe", "request_update"}:
        if not sees or (on_own_route and target != OWN):
            return "not_found"
        return {
            "subscribe": "subscribed",
            "unsubscribe": "unsubscribed",
            "request_update": "engagement_update",
        }[message]
    if message == "acknowledge":
        return "acknowledged" if sees else "not_found"
    if message == "resume":  # after `subscribe` and `unsubscribe`: selected clients are followed no more
        return "resumed" if own_stream and target == OWN else "unknown"
    if message == "resume of its MSP's":
        whole = actor.startswith("msp") and path == GENERAL[1]
        return "resumed" if whole and target in (OWN, SIBLING) else "unknown"
    return {"authenticate": "invalid_token", "ping": "pong"}[message]


async def test_each_message_does_what_the_table_says_and_no_more(world, daphne):
    wrong = []
    for actor in TENANTS:
        paths = [GENERAL[1], client_route(world.key(OWN)), *([SELECTED] if actor.startswith("msp") else [])]
        for path, target in [(path, target) for path in paths for target in TARGETS]:
            async with Socket(f"{daphne.ws_url}{path}", token=token(world, actor)) as socket:
                for message, fields in frames_for(world, target).items():
                    answer = await socket.ask({"type": message.partition(" ")[0], **fields})
                    said = answer.get("code") or answer.get("reason") or answer["type"]
                    cell = (actor, path, message, target)
                    if said != expected(world, *cell):
                        wrong.append((*cell, said))
                    known = world.key(target) + world.row_key(target, "alert") + world.msp_key(target)
                    if found := [
                        secret for secret in world.leaked(actor, str(answer)) if secret not in known
                    ]:
                        wrong.append((*cell, found))
    assert wrong == []
    unseen = await sync_to_async(lambda: list(Alert.objects.filter(client=world.rows[FOREIGN].client)))()
    assert all(alert.acknowledged_at is None for alert in unseen)


async def test_a_token_of_anybody_else_is_not_taken_in_band(world, daphne):
    others = {actor: token(world, actor) for actor, user in world.users.items() if user is not None}
    for actor in TENANTS:
        async with Socket(f"{daphne.ws_url}{GENERAL[0]}", token=others[actor]) as socket:
            for other, raw in others.items():
                answer = await socket.ask({"type": "authenticate", "token": raw})
                if other == actor:
                    assert answer["type"] == "authenticated"
                else:
                    assert answer["code"] == REFUSALS.get(other, "user_changed"), (actor, other)


def test_every_message_is_in_the_matrix(world):
    types = {message.__struct_config__.tag for message in get_args(inbound.Message)}
    assert {name.partition(" ")[0] for name in frames_for(world, OWN)} == types


# Delivery


@dataclass
class Watcher:
    """A socket, and whose events it must bring, on which stream."""

    actor: str
    socket: Socket
    stream: str
    clients: tuple[str, ...]


async def everybody(world: World, server: Any, stack: AsyncExitStack) -> list[Watcher]:
    """Connect everybody everywhere they may be."""
    watchers = []

    async def watch(
        actor: str, path: str, stream: str, clients: tuple[str, ...], select: str | None = None
    ) -> None:
        socket = await stack.enter_async_context(Socket(f"{server.ws_url}{path}", token=token(world, actor)))
        if select is not None:
            await socket.ask({"type": "subscribe", "client_id": world.key(select)})
        watchers.append(Watcher(actor, socket, stream, clients))

    for actor in (*TENANTS, "foreign msp_admin"):
        seen = (FOREIGN, FOURTH) if actor.startswith("foreign") else tuple(sorted(TENANTS[actor]))
        is_msp = "msp" in actor
        whole = (
            f"msp.{world.msps[seen[0] if seen[0] == FOREIGN else OWN].pk}"
            if is_msp
            else f"client.{world.key(OWN)}"
        )
        await watch(actor, GENERAL[0], whole, seen)
        await watch(actor, f"{GENERAL[1]}?batch=1", whole, seen)
        for client in seen:
            stream = f"client.{world.rows[client].client.pk}"
            await watch(actor, client_route(world.rows[client].client.pk), stream, (client,))
            if is_msp:
                await watch(actor, SELECTED, stream, (client,), select=client if client in TARGETS else None)
    return [
        watcher for watcher in watchers if watcher.socket.hello["positions"] or watcher.clients != (FOURTH,)
    ]


def make_events(world: World) -> dict[str, int]:
    """Change something of every client, in every way; return how many events each client has."""
    for name in CLIENTS:
        rows = world.rows[name]
        alert = AlertFactory(client=rows.client, application=rows.application, details=f"{rows.mark} live")
        use = actions.Use(application=rows.application, user_ref=f"{rows.mark} employee", count=2)
        actions.record_interactions(rows.client, [use, actions.Use(agent=rows.agent, count=1)])
        Alert.objects.filter(pk=alert.pk).update(severity="low")
        broadcast.broadcast_interaction_update(
            rows.client.pk, rows.client.msp_id, {"app_id": rows.mark, "interaction_count": 1}
        )
        alert.delete()
    return dict.fromkeys(CLIENTS, 1 + 3 + 1 + 1 + 1)


async def check(world: World, watcher: Watcher, counts: dict[str, int], begin: int) -> list[dict[str, Any]]:
    """Take the events that must come; fail for one too many, one of another, or one in the wrong place."""
    total = sum(counts[client] for client in watcher.clients)
    events = await watcher.socket.events(total, timeout=15)
    await watcher.socket.send({"type": "ping"})
    assert (await watcher.socket.receive())["type"] == "pong", "an event too many"
    assert [event["seq"] for event in events] == list(range(begin + 1, begin + total + 1)), watcher.actor
    assert {event["stream"] for event in events} == {watcher.stream}
    by_client = {str(world.rows[client].client.pk): counts[client] for client in watcher.clients}
    assert {key: [event["client_id"] for event in events].count(key) for key in by_client} == by_client
    foreign = [rows for name, rows in world.rows.items() if name not in watcher.clients]
    for secret in (secret for rows in foreign for secret in rows.secrets):
        assert secret not in str(events), (watcher.actor, secret)
    return events


async def test_everybody_gets_exactly_their_own_events_live_and_by_resume(world, server):
    async with AsyncExitStack() as stack:
        watchers = await everybody(world, server, stack)
        begins = [watcher.socket.hello["positions"].get(watcher.stream) for watcher in watchers]
        assert len(watchers) >= 20
        counts = await sync_to_async(make_events)(world)
        for watcher, begin in zip(watchers, begins, strict=True):
            start = begin if begin is not None else await head_before(world, watcher, watchers, begins)
            live = await check(world, watcher, counts, start)
            await watcher.socket.send({"type": "resume", "positions": {watcher.stream: start}})
            assert (await watcher.socket.receive())["count"] == len(live)
            assert await check(world, watcher, counts, start) == live, "resumed as it was live"


async def head_before(
    world: World, watcher: Watcher, watchers: list[Watcher], begins: list[int | None]
) -> int:
    """Return where a selected client's stream stood: where the client's own route says."""
    return next(
        b for w, b in zip(watchers, begins, strict=True) if w.stream == watcher.stream and b is not None
    )


async def test_events_over_rest_are_those_of_the_socket(world, daphne):
    async with Socket(f"{daphne.ws_url}{GENERAL[0]}", token=token(world, "client_user")) as socket:
        begin = next(iter(socket.hello["positions"].values()))
        counts = await sync_to_async(make_events)(world)
        events = await socket.events(counts[OWN])
        async with httpx.AsyncClient(base_url=daphne.url, trust_env=False) as http:
            answer = await http.get(
                f"/api/v1/clients/{world.key(OWN)}/events?after={begin}",
                headers={"Authorization": f"Bearer {token(world, 'client_user')}"},
            )
        assert answer.json()["events"] == events
        assert answer.json()["epoch"] == socket.hello["epoch"]
