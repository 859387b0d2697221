"""One noisy run on a real server: every event of it shows in the log and in the metrics, and no secret in either."""

from __future__ import annotations

import asyncio
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import websockets
from django.db import transaction
from prometheus_client import Gauge
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from realtime import control, metrics, metrics_endpoint
from realtime.models import LiveConnection, ServerProcess
from tests.conftest import StartPortal
from tests.factories import PASSWORD, AlertFactory, ApplicationFactory, two_tenants
from tests.live import wait_until
from tests.operations.test_metrics import total
from tests.realtime.doors import cookie, knock, refresh_token, session_of, token_ending_in
from tests.realtime.test_faults import SETUP, manage
from tests.servers import PortalServer, PostgresServer, RedisServer
from tests.sockets import Socket, token_for

pytestmark = pytest.mark.slow

OURS = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
GAUGES = {metric.describe()[0].name for metric in OURS if isinstance(metric, Gauge)}
STATES = {family.name for family in metrics_endpoint.State(True, 0, 0, 0, 0.0, 0.0, 0).families()}
NOT_HEARD_HERE = {
    "realtime_changes_dead_lettered",
    "realtime_connection_rows_dropped",
    "realtime_delivery_failures",
    "realtime_events_skipped",
    "realtime_doubles_dropped",
    "realtime_events_folded",
    "realtime_place_failures",
    "realtime_record_failures",
    "realtime_sweep_failures",
    "realtime_task_failures",
}
"""What no run with a good layer, a good database and nobody who asks for a rate counts."""
METRICS_TOKEN = "metrics-token-0123456789-abcdef"
CHANNEL_KEY = "channel-key-0123456789-abcdef"
WRONG_PASSWORD = "wrong-password-0123456789"
BAD_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoibm9ib2R5In0.bm90LW91ci1zaWduYXR1cmU"
BAD_TICKET = "ticket-that-was-never-issued-0123456789"
BAD_SESSION = "sessionthatwasneverstarted0123456"
ENVIRONMENT = {
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "DEBUG",
    "METRICS_TOKEN": METRICS_TOKEN,
    "CHANNEL_ENCRYPTION_KEY": CHANNEL_KEY,
    "REALTIME_HEARTBEAT": "1",
    "REALTIME_HEARTBEAT_EXPIRY": "5",
    "REALTIME_SWEEP_LOCAL": "0.1",
    "REALTIME_SWEEP_SHARED": "0.5",
    "REALTIME_DRAIN_SECONDS": "2",
    "REALTIME_HANDSHAKES_BURST": "110",  # 50 of which a socket costs that is closed for a flood
    "REALTIME_REFUSALS_AT_ONCE": "1000",
    "REALTIME_HANDSHAKES_PER_SECOND": "5",
    "REALTIME_ERRORS_PER_MINUTE": "5",
    "REALTIME_MESSAGES_BURST": "10",
    "REALTIME_MESSAGES_PER_SECOND": "1",
    "REALTIME_CONNECTIONS_PER_USER": "5",
    "REALTIME_TAIL_EVENTS": "2",
    "REALTIME_PRESENCE_INTERVAL": "0.2",
}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@dataclass
class Run:
    """A server under noise, and the secrets that were told it."""

    portal: PortalServer
    in_thread: Callable[..., Any]
    secrets: dict[str, str] = field(default_factory=dict)

    def secret(self, name: str, value: str) -> str:
        """Note that `value` must never be written anywhere."""
        self.secrets[name] = value
        return value

    def found_in(self, text: str) -> list[str]:
        """Return which secrets stand in `text`, whole or in the part that makes them one."""
        return [
            name
            for name, value in self.secrets.items()
            if value in text or value.rpartition(".")[2] in text or value.split(".")[-1][:24] in text
        ]

    async def metrics(self) -> str:
        """Scrape."""
        async with httpx.AsyncClient() as client:
            headers = {"Authorization": f"Bearer {METRICS_TOKEN}", "X-Forwarded-For": "203.0.113.5"}
            answer = await client.get(f"{self.portal.url}/metrics", headers=headers, timeout=10)
        assert answer.status_code == 200
        return answer.text

    def lines(self) -> list[dict[str, Any]]:
        """Return the log's lines."""
        return [json.loads(line) for line in self.portal.log_text().splitlines() if line.startswith("{")]

    def logged(self, event: str, **fields: Any) -> bool:
        """Return whether a line of the log says so."""
        return any(
            line["event"] == event and fields.items() <= line.items() and set(fields) <= set(line)
            for line in self.lines()
        )


async def good_connections(run: Run, user: Any) -> None:
    """Connect by every door, and leave."""
    url = f"{run.portal.ws_url}/ws/engagement"
    token = run.secret("token", token_for(user))
    session = run.secret("session", await run.in_thread(session_of, user))
    async with httpx.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.post(f"{run.portal.url}/api/v1/ws/ticket", headers=headers)
    ticket = run.secret("ticket", answer.json()["ticket"])
    own = run.portal.url
    for door in (
        {"url": url, "token": token},
        {"url": url, "headers": {"Authorization": f"Bearer {token}"}},
        {"url": f"{url}?batch=1&token={token}"},
        {"url": f"{url}?ticket={ticket}"},
        {"url": url, "headers": cookie(session), "origin": own},
    ):
        assert (await knock(**door)).is_open, door


async def bad_connections(run: Run, user: Any) -> None:
    """Bring bad credentials to every door."""
    url = f"{run.portal.ws_url}/ws/engagement"
    bad = {
        run.secret("bad token", BAD_TOKEN): "invalid_token",
        run.secret("expired token", token_ending_in(user, -60)): "token_expired",
        run.secret("refresh token", await run.in_thread(refresh_token, user)): "wrong_token_type",
    }
    for token, code in bad.items():
        for door in (
            {"url": url, "token": token},
            {"url": url, "headers": {"Authorization": f"Bearer {token}"}},
            {"url": f"{url}?token={token}"},
        ):
            answer = await knock(**door)
            assert (answer.frame["code"], answer.close_code) == (code, 1008)
    run.secret("bad ticket", BAD_TICKET)
    run.secret("bad session", BAD_SESSION)
    assert (await knock(f"{url}?ticket={BAD_TICKET}")).close_code == 1008
    assert (await knock(url, headers=cookie(BAD_SESSION), origin=run.portal.url)).close_code == 1008
    assert (await knock(url)).frame["code"] == "authentication_required"
    assert (await knock(url, token=run.secrets["token"], origin="https://evil.example")).close_code == 1008
    async with httpx.AsyncClient() as client:
        await client.post(
            f"{run.portal.url}/api/v1/auth/token/",
            json={"username": user.username, "password": run.secret("wrong password", WRONG_PASSWORD)},
        )
        await client.get(
            f"{run.portal.url}/api/v1/clients/", headers={"Authorization": f"Bearer {BAD_TOKEN}"}
        )
        signed_in = await client.post(
            f"{run.portal.url}/api/v1/auth/token/",
            json={"username": user.username, "password": run.secret("password", PASSWORD)},
        )
    run.secret("access token", signed_in.json()["access"])


async def bad_frames(run: Run, user: Any) -> None:
    """Send what is no message, too much, and a bad token in band, until the server has had enough."""
    token = run.secrets["token"]
    async with Socket(f"{run.portal.ws_url}/ws/engagement", token=token) as socket:
        answer = await socket.ask({"type": "authenticate", "token": BAD_TOKEN})
        assert answer["code"] == "invalid_token"
        for frame in ("{", {"type": "nonsense"}, {"type": "ping", "x": 1}, f'{{"token": "{BAD_TOKEN}"'):
            await socket.ask(frame)
        for _ in range(12):
            try:
                await socket.send({"type": "nonsense"})
            except websockets.ConnectionClosed:
                break
        assert (await socket.closed(10))[0] == 1008


async def too_many(run: Run, user: Any) -> None:
    """Open more connections than a user may have, then knock faster than an address may."""
    url, token = f"{run.portal.ws_url}/ws/engagement", run.secrets["token"]
    held = [Socket(url, token=token) for _ in range(5)]
    try:
        for socket in held:
            await socket.__aenter__()
        assert (await knock(url, token=token)).frame["code"] == "too_many_connections"
    finally:
        for socket in held:
            await socket.raw.close()
    for _ in range(120):
        if (await knock(url)).frame["code"] == "rate_limited":
            return
    raise AssertionError("No handshake was refused as one too many.")


async def redis_down_and_up(run: Run, redis: RedisServer, user: Any, application: Any) -> None:
    """Take Redis away while an event is saved in the server, and bring it back."""
    token = run.secrets["token"]
    path = f"/api/v1/clients/{application.client_id}/applications/{application.pk}/interactions"

    async def save() -> None:
        async with httpx.AsyncClient() as client:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.post(
                f"{run.portal.url}{path}", json={"interaction_count": 1}, headers=headers
            )
        assert answer.status_code in {200, 201}, answer.text

    async with Socket(f"{run.portal.ws_url}/ws/engagement?batch=1", token=token) as socket:
        await save()
        await socket.events(1, 10)
        await run.in_thread(redis.kill)
        await save()
        await socket.events(1, 10)
        await run.in_thread(wait_until, lambda: run.logged("broadcast failed"), "no broadcast failed", 10)
        text = await run.metrics()
        assert total(text, "realtime_announcements_failed_total") >= 1
        assert total(text, "realtime_channel_layer_up") == 0
        await run.in_thread(redis.start)
        await save()
        await socket.events(1, 10)


async def resumes(run: Run, user: Any, colleague: Any, client: Any) -> None:
    """Fall behind a burst, resume, ask to resume what cannot be, and see a colleague come."""
    stream = f"msp.{user.msp_id}"
    async with Socket(f"{run.portal.ws_url}/ws/engagement?batch=1", token=run.secrets["token"]) as socket:
        await run.in_thread(burst, client, 12)
        await socket.events(12, 10)
        await socket.ask({"type": "ping", "positions": {stream: socket.hello["positions"][stream] + 12}})
        resumed = await socket.ask({"type": "resume", "positions": {stream: 1}})
        assert resumed["type"] == "resumed"
        await socket.events(resumed["count"], 10)
        for reason, name, epoch in (("epoch", stream, str(uuid.uuid4())), ("unknown", "msp.nobody", None)):
            answer = await socket.ask({"type": "resume", "positions": {name: 1}, "epoch": epoch})
            assert (answer["type"], answer["reason"]) == ("resync", reason)
        await socket.ask({"type": "subscribe", "topics": ["presence"]})
        token = run.secret("a colleague's token", token_for(colleague))
        async with Socket(f"{run.portal.ws_url}/ws/engagement", token=token):
            while not (await socket.receive(10)).get("joined"):
                pass


def burst(client: Any, count: int) -> None:
    """Raise alerts in one transaction: they come in one announcement, more of them than the server keeps in memory."""
    with transaction.atomic():
        AlertFactory.create_batch(count, client=client)


async def sent_away(run: Run, user: Any) -> None:
    """Be disconnected by an administrator, then lose one's access."""
    token = run.secret("another token", token_for(user))
    async with Socket(f"{run.portal.ws_url}/ws/engagement", token=token) as socket:
        row = LiveConnection.objects.filter(pk=socket.hello["connection_id"])
        await run.in_thread(wait_until, row.exists, "the connection has no row")
        assert await run.in_thread(control.close, row) == 1
        assert (await socket.closed(10))[0] == 4003
    async with Socket(f"{run.portal.ws_url}/ws/engagement", token=token) as socket:
        user.is_active = False
        await run.in_thread(user.save)
        assert (await socket.closed(10))[0] == 4003


async def drain(run: Run, user: Any) -> None:
    """Have the process hand its connections over."""
    async with Socket(f"{run.portal.ws_url}/ws/engagement", token=run.secrets["token"]) as socket:
        mine = ServerProcess.objects.live().filter(pid=run.portal.pid)
        processes = await run.in_thread(lambda: list(mine.values_list("pk", flat=True)))
        assert processes
        await run.in_thread(control.drain, processes)
        assert (await socket.closed(15))[0] == 1012
    ended = {"event": "disconnected", "code": 1012}
    await run.in_thread(wait_until, lambda: run.logged(**ended), "the drain was not logged", 10)


@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
async def test_every_event_shows_in_log_and_metrics_and_no_secret_in_either(
    portal_server: StartPortal, redis: RedisServer, in_thread, server, tmp_path, monkeypatch
):
    here = {"REDIS_URL": redis.url, metrics_endpoint.FILES: str(tmp_path)}
    portal = await in_thread(portal_server, server=server, env={**ENVIRONMENT, **here})
    run = Run(portal, in_thread)
    run.secret("metrics token", METRICS_TOKEN)
    run.secret("channel key", CHANNEL_KEY)
    tenant = (await in_thread(two_tenants))[0]
    application = await in_thread(ApplicationFactory, client=tenant.client)
    user = tenant.msp_admin
    await good_connections(run, user)
    await bad_connections(run, user)
    await bad_frames(run, user)
    await redis_down_and_up(run, redis, user, application)
    await resumes(run, user, tenant.msp_user, tenant.client)
    await sent_away(run, tenant.msp_user)
    await too_many(run, user)
    await asyncio.sleep(1.5)  # what sockets were sent is told to Prometheus once a second
    text = await run.metrics()
    await drain_when_allowed(run, user)
    # What a process counted outlives it in the files that the processes of a host share.
    monkeypatch.setenv(metrics_endpoint.FILES, str(tmp_path))
    last = metrics_endpoint.exposition(metrics_endpoint.State(layer_up=True)).decode()
    log = await in_thread(portal.log_text)

    assert run.found_in(log) == []
    assert run.found_in(text + last) == []
    # channels_redis says with a traceback that Redis is gone; nothing of ours raised.
    raised = [
        line for line in run.lines() if "Traceback" in str(line) and line["logger"] != "channels_redis.pubsub"
    ]
    assert raised == []

    def seen(name: str, **labels: str) -> bool:
        return total(last, name, **labels) >= 1

    # What happened, as the log tells it and as the metrics tell it.
    told: list[tuple[bool, bool]] = [
        (run.logged("connected", user=str(user.pk)), seen("realtime_connections_opened_total", scope="msp")),
        (run.logged("disconnected", user=str(user.pk)), seen("realtime_connections_closed_total")),
        (
            run.logged("disconnected", code=1008),
            seen("realtime_connections_closed_total", code="1008"),
        ),
        *(
            (
                run.logged("connection refused", reason=reason),
                seen("realtime_connections_refused_total", reason=reason),
            )
            for reason in (
                "invalid_token",
                "token_expired",
                "wrong_token_type",
                "authentication_required",
                "origin_not_allowed",
                "too_many_connections",
                "rate_limited",
            )
        ),
        *(
            (True, seen("realtime_auth_failures_total", door=door, reason=reason))
            for door, reason in (
                ("token", "invalid_token"),
                ("token", "token_expired"),
                ("token", "wrong_token_type"),
                ("ticket", "invalid_token"),
                ("session", "authentication_required"),
                ("none", "authentication_required"),
                ("authenticate", "invalid_token"),
            )
        ),
        (
            run.logged("authentication failed", door="login"),
            seen("realtime_auth_failures_total", door="login"),
        ),
        *(
            (run.logged("message error", code=code), seen("realtime_message_errors_total", code=code))
            for code in ("invalid_json", "unknown_type", "invalid_message", "invalid_token")
        ),
        (run.logged("closed for abuse"), seen("realtime_limits_hit_total", limit="errors")),
        (
            run.logged("limit hit", limit="connections_per_user"),
            seen("realtime_limits_hit_total", limit="connections_per_user"),
        ),
        (run.logged("broadcast failed"), seen("realtime_announcements_failed_total")),
        (True, seen("realtime_events_delivered_total")),
        (True, seen("realtime_bytes_sent_total")),
        (True, seen("realtime_commit_to_publish_seconds_count")),
        (True, seen("realtime_commit_to_hub_seconds_count")),
        (True, seen("realtime_hub_to_socket_seconds_count")),
        (True, seen("realtime_changes_recorded_total")),
        (True, seen("realtime_events_placed_total")),
        (True, seen("realtime_announcements_total")),
        (True, seen("realtime_sweeps_total")),
        (True, seen("realtime_gaps_repaired_total", found_by="sweep")),
        (True, seen("realtime_catch_ups_total")),
        (True, seen("realtime_resumes_total", outcome="replay")),
        (True, seen("realtime_resumes_total", outcome="resync_epoch")),
        (True, seen("realtime_resumes_total", outcome="resync_unknown")),
        (run.logged("disconnected", code=4003), seen("realtime_connections_closed_total", code="4003")),
        (True, seen("realtime_connections_disconnected_total")),
        (run.logged("access revoked"), seen("realtime_connections_revoked_total")),
        (run.logged("disconnected", code=1012), seen("realtime_connections_closed_total", code="1012")),
        (run.logged("draining"), seen("realtime_drains_total")),
    ]
    assert [index for index, both in enumerate(told) if not all(both)] == []
    # No metric is left that nothing ever counts; states show whatever they are.
    families = list(text_string_to_metric_families(last))
    silent = {
        family.name
        for family in families
        if family.type in {"counter", "histogram"} and not any(sample.value for sample in family.samples)
    }
    assert silent <= NOT_HEARD_HERE
    counted = {metric.describe()[0].name for metric in OURS}
    assert counted - {family.name for family in families} - GAUGES - NOT_HEARD_HERE == set()
    for name in GAUGES | STATES:
        assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name
    for line in run.lines():
        if line["event"] in {"connected", "disconnected", "message error"}:
            assert line["connection"]
            assert line["user"]
    closing = [line for line in run.lines() if line["event"] == "disconnected"]
    assert all({"code", "seconds", "sent", "lag"} <= line.keys() for line in closing)


async def drain_when_allowed(run: Run, user: Any) -> None:
    """Drain once the address may knock again."""
    url = f"{run.portal.ws_url}/ws/engagement"
    for _ in range(100):
        if (await knock(url, token=run.secrets["token"])).is_open:
            break
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)  # and once more
    await drain(run, user)


@pytest.mark.postgres
async def test_a_database_that_goes_away_shows_and_so_does_its_return(in_thread):
    with PostgresServer(durable=False) as postgres:
        env = {**ENVIRONMENT, "DATABASE_URL": postgres.url, "REDIS_PREFIX": uuid.uuid4().hex}
        await in_thread(manage, "migrate", "--verbosity", "0", env=env)
        done = await in_thread(manage, "shell", "-c", SETUP, env=env)
        token = done.stdout.split()[-1]
        redis_url = os.environ["REDIS_URL"]
        server = PortalServer(database_url=postgres.url, redis_url=redis_url, environment=env, warm=True)
        with server as portal:
            run = Run(portal, in_thread)

            async def shows(up: int, ready: int) -> None:
                async with asyncio.timeout(30):
                    while total(await run.metrics(), "realtime_database_up") != up:  # noqa: ASYNC110
                        await asyncio.sleep(0.2)
                async with httpx.AsyncClient() as client:
                    answer = await client.get(f"{portal.url}/readyz", timeout=10)
                assert answer.status_code == ready

            async with Socket(f"{portal.ws_url}/ws/engagement", token=token) as socket:
                await shows(1, 200)
                await in_thread(postgres.kill)
                await shows(0, 503)
                await in_thread(
                    wait_until, lambda: run.logged("sweep failed"), "no failed sweep was logged", 15
                )
                assert total(await run.metrics(), "realtime_sweep_failures_total") >= 1
                await in_thread(postgres.start)
                await shows(1, 200)
                assert (await socket.ask({"type": "ping"}))["type"] == "pong"
