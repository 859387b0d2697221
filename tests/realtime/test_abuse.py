"""Bad input of every kind: an `error` frame with a code, a socket that lives on, a clean log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets
from asgiref.sync import sync_to_async

from realtime.auth import tickets
from realtime.consumers import FLOOD_FACTOR
from realtime.protocol.inbound import MAX_BYTES, MAX_DEPTH
from tests.factories import AlertFactory
from tests.realtime.doors import GENERAL, cookie, knock, refresh_token, session_of, token_ending_in
from tests.realtime.tight import ERRORS, MESSAGES_BURST
from tests.servers import PortalServer
from tests.sockets import Socket, token_for

pytestmark = pytest.mark.django_db(transaction=True)

UUID = "00000000-0000-4000-8000-000000000000"
JSON = "invalid_json"
MESSAGE = "invalid_message"
TYPE = "unknown_type"


def ping(**fields: Any) -> str:
    return json.dumps({"type": "ping", **fields})


BAD_JSON: dict[str, tuple[str, str]] = {
    "nothing": ("", JSON),
    "a blank": (" ", JSON),
    "a word": ("hello", JSON),
    "half an object": ('{"type": "ping"', JSON),
    "an object and more": ('{"type": "ping"} x', JSON),
    "single quotes": ("{'type': 'ping'}", JSON),
    "a NUL": ("\0", JSON),
    "a byte order mark": ("\ufeff" + ping(), JSON),
    "NaN": ('{"type": "ping", "timestamp": NaN}', JSON),
    "Infinity": ('{"type": "ping", "timestamp": -Infinity}', JSON),
    "half a surrogate pair": ('{"type": "ping", "ref": "\\ud800"}', JSON),
    "only brackets": ("]}" * 50, JSON),
}
TOO_MUCH: dict[str, tuple[str, str]] = {
    "nested a little too deep": (
        '{"type":"ping","timestamp":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}",
        "too_deep",
    ),
    "nested very deep": ("[" * 8000 + "]" * 8000, "too_deep"),
    "nested very deep in objects": ('{"a":' * 3000, "too_deep"),
    "nested beyond the limit of a frame": ("[" * 100_000, "too_large"),
    "a byte too long": (ping().ljust(MAX_BYTES + 1), "too_large"),
    "too long in bytes, not in characters": (ping(ref="é" * (MAX_BYTES // 2)), "too_large"),
    "half a megabyte of objects": ("[" + "{}," * 170_000 + "{}]", "too_large"),
}
WRONG: dict[str, tuple[str, str]] = {
    "a list": ("[]", MESSAGE),
    "a number": ("1", MESSAGE),
    "a text": ('"ping"', MESSAGE),
    "null": ("null", MESSAGE),
    "no type": ("{}", TYPE),
    "an unknown type": ('{"type": "shutdown"}', TYPE),
    "a server's type": ('{"type": "alert", "data": {}}', TYPE),
    "a type in capitals": ('{"type": "PING"}', TYPE),
    "a type that is no text": ('{"type": 5}', MESSAGE),
    "a type that is null": ('{"type": null}', MESSAGE),
    "an unknown field": (ping(extra=1), MESSAGE),
    "a field of another message": (ping(client_id=UUID), MESSAGE),
    "a wrong type": (ping(timestamp=[1]), MESSAGE),
    "a timestamp too long": (ping(timestamp="x" * 65), MESSAGE),
    "a ref too long": (ping(ref="x" * 65), MESSAGE),
    "a ref that is a list": (ping(ref=[1]), MESSAGE),
    "a ref beyond what JSON numbers hold": (ping(ref=2**53 + 1), MESSAGE),
    "a position below zero": (ping(positions={"client.x": -1}), MESSAGE),
    "a position that is text": (ping(positions={"client.x": "1"}), MESSAGE),
    "too many positions": (ping(positions={f"client.{n}": 1 for n in range(201)}), MESSAGE),
    "no UUID": ('{"type": "subscribe", "client_id": "nonsense"}', MESSAGE),
    "an empty UUID": ('{"type": "subscribe", "client_id": ""}', MESSAGE),
    "a NUL for a UUID": ('{"type": "subscribe", "client_id": "\\u0000"}', MESSAGE),
    "a number for a UUID": ('{"type": "subscribe", "client_id": 1}', MESSAGE),
    "an unknown topic": ('{"type": "subscribe", "topics": ["everything"]}', MESSAGE),
    "no topics": ('{"type": "subscribe", "topics": []}', MESSAGE),
    "topics as text": ('{"type": "subscribe", "topics": "alert"}', MESSAGE),
    "an unknown severity": ('{"type": "subscribe", "min_severity": "awful"}', MESSAGE),
    "no alert": ('{"type": "acknowledge"}', MESSAGE),
    "an alert that is no UUID": ('{"type": "acknowledge", "alert_id": "1 OR 1=1"}', MESSAGE),
    "no token": ('{"type": "authenticate"}', MESSAGE),
    "a token that is too long": (json.dumps({"type": "authenticate", "token": "x" * 8193}), MESSAGE),
    "no positions": ('{"type": "resume"}', MESSAGE),
    "positions as a list": ('{"type": "resume", "positions": []}', MESSAGE),
    "an unknown client": (json.dumps({"type": "subscribe", "client_id": UUID}), "not_found"),
    "an unknown alert": (json.dumps({"type": "acknowledge", "alert_id": UUID}), "not_found"),
    "the same field twice": ('{"type": "ping", "type": "shutdown"}', TYPE),
}
ODD: dict[str, tuple[str, tuple[str, ...]]] = {
    "an integer of 4,301 digits": ('{"type": "ping", "timestamp": ' + "9" * 4301 + "}", (JSON, MESSAGE)),
    "an integer of 4,301 digits for a ref": ('{"type": "ping", "ref": ' + "9" * 4301 + "}", (JSON, MESSAGE)),
    "a number beyond any float": ('{"type": "ping", "timestamp": 1e999}', (JSON, MESSAGE)),
}


@pytest.fixture
def log(server: PortalServer) -> Iterator[list[str]]:
    """Fail if the server's log of this test has a traceback, or one of the secrets that the test puts into the list."""
    begin = len(server.log_text())
    secrets: list[str] = []
    yield secrets
    text = server.log_text()[begin:]
    assert "Traceback" not in text, text
    assert "[error" not in text, text
    for secret in secrets:
        assert secret not in text, f"{secret} is in the log:\n{text}"


async def lives(socket: Socket) -> bool:
    return (await socket.ask({"type": "ping", "timestamp": "still here"})).get("timestamp") == "still here"


async def test_each_bad_frame_is_answered_with_its_code_and_the_socket_lives_on(
    tenant, server, log, subtests
):
    cells = {name: (frame, (code,)) for name, (frame, code) in (BAD_JSON | TOO_MUCH | WRONG).items()} | ODD
    for name, (frame, codes) in cells.items():
        with subtests.test(frame=name):
            async with tenant.socket(server) as socket:
                answer = await socket.ask(frame)
                assert (answer["type"], answer["code"] in codes) == ("error", True), answer
                assert answer["message"]
                assert len(json.dumps(answer)) < 1000
                assert await lives(socket)


async def test_a_ref_is_echoed_even_where_the_rest_is_wrong(tenant, daphne):
    async with tenant.socket(daphne) as socket:
        assert (await socket.ask({"type": "nonsense", "ref": "a"}))["ref"] == "a"
        assert (await socket.ask({"type": "ping", "extra": 1, "ref": 5}))["ref"] == 5
        assert "ref" not in await socket.ask({"type": "ping", "extra": 1, "ref": [5]})


async def test_binary_is_refused_where_the_socket_speaks_json_and_checked_where_it_speaks_msgpack(
    tenant, server, log
):
    for encoding in ("compliance.v1", "compliance.v1+deflate"):
        async with Socket(
            f"{server.ws_url}{GENERAL}", token=token_for(tenant.msp_user), subprotocols=[encoding]
        ) as socket:
            for data in (b"", b"\0", b'{"type": "ping"}', b"\x81\xa4type\xa4ping", b"\xff" * 100):
                assert (await socket.ask(data))["code"] == "binary_unsupported"
            assert await lives(socket)
    async with Socket(
        f"{server.ws_url}{GENERAL}", token=token_for(tenant.msp_user), subprotocols=["compliance.v1+msgpack"]
    ) as socket:
        for data, code in (
            (b"", JSON),
            (b"\xc1", JSON),
            (b"\x81\xa4type", JSON),
            (b"\x81\xa4type\xa4ping\x00", JSON),
            (b"\xdf\xff\xff\xff\xff", JSON),  # a map of four thousand million members
            (b"\xdd\xff\xff\xff\xff", MESSAGE),  # a list of as many
            (b"\x91" * 5000, MESSAGE),
            (b"\x82\xa4type\xa4ping\xa9timestamp" + b"\x91" * 5000 + b"\xc0", MESSAGE),
            (b"\x81\xa4type\xa8shutdown", TYPE),
            (b"\x90", MESSAGE),
            (b"\x82\xa4type\xa4ping\xa3ref\xa1\xff", JSON),  # no UTF-8
            (b"\x82\xa4type\xa4ping\xa9timestamp\xd6\xff\x00\x00\x00\x00", MESSAGE),  # a time
            (b"\x00" * (MAX_BYTES + 1), "too_large"),
        ):
            assert (await socket.ask(data))["code"] == code, data[:30]
        assert (await socket.ask(b"\x81\xa4type\xa4ping"))["type"] == "pong"


async def test_a_frame_of_exactly_the_limit_is_read_and_one_in_fragments_too(tenant, server):
    async with tenant.socket(server) as socket:
        assert (await socket.ask(ping(ref=1).ljust(MAX_BYTES)))["ref"] == 1
        await socket.raw.send([ping(ref=2)[:5], "", ping(ref=2)[5:]])
        assert (await socket.receive())["ref"] == 2


async def test_a_frame_beyond_the_servers_own_limit_harms_nobody_else(tenant, server, log):
    async with tenant.socket(server) as huge, tenant.socket(server) as other:
        await huge.send("[" + "{}," * 700_000 + "{}]")  # 2 MB; Daphne takes 1 MiB, uvicorn 16 MiB
        try:
            assert (await huge.receive())["code"] == "too_large"
            assert await lives(huge)
        except websockets.ConnectionClosed:
            assert huge.raw.close_code == 1009
        assert await lives(other)


async def test_text_that_is_no_utf8_closes_only_its_own_socket(tenant, server):
    async with tenant.socket(server) as broken, tenant.socket(server) as other:
        await broken.raw.send(b'{"type": "ping", "ref": "\xff\xfe"}', text=True)
        assert (await broken.closed())[0] == 1007
        assert await lives(other)


async def test_too_many_messages_a_second_are_answered_so_and_the_socket_lives_on(tenant, tight):
    async with tenant.socket(tight) as socket:
        for number in range(MESSAGES_BURST + 4):
            await socket.send({"type": "ping", "ref": number})
        answers = [await socket.receive() for _ in range(MESSAGES_BURST + 4)]
        kinds = [answer.get("code", answer["type"]) for answer in answers]
        assert kinds[:MESSAGES_BURST] == ["pong"] * MESSAGES_BURST
        assert "rate_limited" in kinds
        await sync_to_async(AlertFactory)(client=tenant.client)
        await socket.events(1)


async def test_who_goes_on_and_on_is_closed(tenant, tight, subtests):
    for name, frame, code in (
        ("bad frames", "nonsense", JSON),
        ("too many messages", {"type": "ping"}, "rate_limited"),
    ):
        with subtests.test(name):
            async with tenant.socket(tight) as socket, tenant.socket(tight) as other:
                for _ in range((1 + FLOOD_FACTOR) * MESSAGES_BURST + 10 * ERRORS):
                    await socket.send(frame)
                answers = []
                with pytest.raises(websockets.ConnectionClosed):  # noqa: PT012
                    while True:
                        answers.append(await socket.receive())
                assert [answer.get("code") for answer in answers].count(code) >= ERRORS
                assert answers[-1]["code"] == "too_many_errors"
                assert (socket.raw.close_code, socket.raw.close_reason) == (1008, answers[-1]["message"])
                assert await lives(other)


async def test_no_credential_reaches_a_log(tenant, server, log):
    user = tenant.msp_user
    good, expired, refresh = token_for(user), token_ending_in(user, -1), refresh_token(user)
    ticket = await sync_to_async(tickets.issue)(user.pk)
    session = await sync_to_async(session_of)(user)
    log += [good, expired, refresh, ticket, session, "eyJ", "not-a-token-0123"]
    for token in (good, expired, refresh, "not-a-token-0123"):
        await knock(f"{server.ws_url}{GENERAL}?token={token}")
        await knock(f"{server.ws_url}{GENERAL}?batch=1&token={token}&scope=all")
        await knock(f"{server.ws_url}/ws/nowhere?token={token}")
        await knock(f"{server.ws_url}{GENERAL}", token=token)
        await knock(f"{server.ws_url}{GENERAL}", headers={"Authorization": f"Bearer {token}"})
    for origin in (server.url, "http://evil.example"):
        await knock(f"{server.ws_url}{GENERAL}", headers=cookie(session), origin=origin)
    for _ in range(2):
        await knock(f"{server.ws_url}{GENERAL}?ticket={ticket}")
    async with tenant.socket(server) as socket:
        for token in (good, expired, refresh):
            await socket.ask({"type": "authenticate", "token": token})
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        for token in (good, expired):
            for path in (
                "/api/v1/ws/stats",
                f"/api/v1/ws/stats?token={token}",
                f"/api/v1/nowhere?token={token}",
            ):
                await http.get(path, headers={"Authorization": f"Bearer {token}"})
        await http.post("/api/v1/auth/token/refresh/", json={"refresh": refresh})
        await http.post(
            "/api/v1/auth/token/", json={"username": user.username, "password": "not-a-token-0123"}
        )
