"""`manage.py watch` against a small real server that follows a script: breaks, resumes, expiry, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from django.core.management.base import CommandError

from realtime.management.commands.watch import Command
from realtime.watching.watcher import Timing
from tests.commands.scripted_portal import ALDER, HARBOR, MSP_STREAM, Peer, ScriptedPortal, alert, event

QUICK = Timing(ping=30, pong=0.2, opening=5, renew_ahead=60, backoff=(0.01, 0.02), jitter=0)


@pytest.fixture
def portal() -> Iterator[ScriptedPortal]:
    with ScriptedPortal() as server:
        yield server


@pytest.fixture
def watch(run, portal, monkeypatch):
    monkeypatch.setattr(Command, "timing", QUICK)
    return lambda **options: run("watch", **{"url": portal.url, "password": "demo-only", **options})


def events(printed) -> list[dict[str, object]]:
    return [json.loads(line) for line in printed.out.splitlines()]


def seqs(printed) -> list[object]:
    return [one["seq"] for one in events(printed)]


def refused(code: str, message: str, close: int, reason: str = "") -> object:
    async def script(peer: Peer) -> None:
        await peer._receive()
        await peer._send({"type": "websocket.accept", "subprotocol": "compliance.v1"})
        await peer.send({"type": "error", "code": code, "message": message})
        await peer.close(close, reason or message)

    return script


def test_prints_a_line_for_each_event(watch, portal) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send(alert(1, "Card numbers pasted", "critical"))
        use = {"app_id": "x", "app": "Gemini", "interaction_count": 5, "total_daily_interactions": 150}
        await peer.send(event("interaction_update", 2, use))
        figures = {
            "departments": [{"department": "Sales", "interactions": 40}],
            "applications": [],
            "agents": [],
        }
        await peer.send(event("engagement_update", 3, figures))
        await peer.hear()

    portal.scripts = [script]
    lines = [" ".join(line.split()[1:]) for line in watch(count=3).out.splitlines()]
    assert lines == [
        "alert Harbor Dental critical ChatGPT: Card numbers pasted",
        "interaction Harbor Dental Gemini +5 (150 today)",
        "engagement Harbor Dental Sales 40 in 7 days",
    ]


def test_signs_in_and_offers_the_token_as_a_subprotocol(watch, portal) -> None:
    offered = []

    async def script(peer: Peer) -> None:
        offered.extend([peer.path, *peer.subprotocols])
        await peer.greet()
        await peer.send(alert(1))

    portal.scripts = [script]
    watch(count=1, username="priya")
    assert portal.calls[0] == ("/api/v1/auth/token/", {"username": "priya", "password": "demo-only"})
    assert offered[:2] == ["/api/v1/ws/engagement?batch=1", "compliance.v1"]
    assert offered[2].startswith("bearer.e30.")


@pytest.mark.parametrize("named", ["alder & finch legal", ALDER])
def test_one_client_by_name_or_id_even_on_the_second_page(watch, portal, named) -> None:
    paths = []

    async def script(peer: Peer) -> None:
        paths.append(peer.path)
        await peer.greet()
        await peer.send(alert(1))

    portal.scripts = [script]
    watch(count=1, client=named)
    assert paths == [f"/api/v1/ws/client/{ALDER}/engagement?batch=1"]


def test_batches_come_apart_and_doubles_are_dropped(watch, portal) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(seq=5)
        await peer.send(
            alert(5), alert(6), {"type": "batch", "messages": [alert(6), alert(7), alert(8)]}, alert(9)
        )
        await peer.hear()

    portal.scripts = [script]
    printed = watch(count=4, json=True)
    assert seqs(printed) == [6, 7, 8, 9]
    assert events(printed)[0] == alert(6)


def test_stops_within_a_batch_at_the_count(watch, portal) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send({"type": "batch", "messages": [alert(seq) for seq in range(1, 9)]})
        await peer.hear()

    portal.scripts = [script]
    assert seqs(watch(count=3, json=True)) == [1, 2, 3]


def test_narrows_the_connection_and_what_came_before_that(watch, portal) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send(
            alert(1, severity="low"), event("interaction_update", 2, {}), alert(3, severity="high")
        )
        heard.append(await peer.hear())
        await peer.send({"type": "subscribed", "topics": ["alert"], "stream": MSP_STREAM, "seq": 3}, alert(4))
        await peer.hear()

    portal.scripts = [script]
    printed = watch(count=2, json=True, topics=["alert"], min_severity="high")
    assert seqs(printed) == [3, 4]
    assert heard == [{"type": "subscribe", "ref": "subscribe", "topics": ["alert"], "min_severity": "high"}]


def test_after_a_break_resumes_and_loses_and_doubles_nothing(watch, portal) -> None:
    heard = []

    async def first(peer: Peer) -> None:
        await peer.greet(seq=10)
        await peer.send(alert(11), alert(12))
        await peer.close(1011, "fault")

    async def second(peer: Peer) -> None:
        await peer.greet(seq=14)
        await peer.send(alert(15))  # live, before the resume was read: the replay holds it too
        heard.append(await peer.hear())
        await peer.send(
            {"type": "resumed", "ref": "resume", "stream": MSP_STREAM, "from": 12, "to": 15, "count": 3}
        )
        await peer.send(alert(13), alert(14), alert(15), alert(16))
        await peer.hear()

    portal.scripts = [first, second]
    printed = watch(count=6, json=True)
    assert seqs(printed) == [11, 12, 13, 14, 15, 16]
    assert heard == [{"type": "resume", "ref": "resume", "positions": {MSP_STREAM: 12}, "epoch": "e1"}]
    assert "The connection ended (1011, fault): trying again in 0.0 s" in printed.err
    assert "Replaying 3 missed events" in printed.err


def test_what_cannot_be_resumed_is_said_and_watching_goes_on(watch, portal) -> None:
    async def first(peer: Peer) -> None:
        await peer.greet(seq=10)
        await peer.send(alert(11))
        await peer.close(1012)

    async def second(peer: Peer) -> None:
        await peer.greet(seq=3, epoch="e2")
        await peer.hear()
        await peer.send(
            {"type": "resync", "stream": MSP_STREAM, "reason": "epoch", "seq": 3, "epoch": "e2"}, alert(4)
        )
        await peer.close(1011)

    resumed = []

    async def third(peer: Peer) -> None:
        await peer.greet(seq=4, epoch="e2")
        resumed.append(await peer.hear())
        await peer.send({"type": "resumed", "stream": MSP_STREAM, "from": 4, "to": 4, "count": 0}, alert(5))
        await peer.hear()

    portal.scripts = [first, second, third]
    printed = watch(count=3, json=True)
    assert seqs(printed) == [11, 4, 5]
    assert "What was missed cannot be replayed (epoch)" in printed.err
    assert (resumed[0]["positions"], resumed[0]["epoch"]) == ({MSP_STREAM: 4}, "e2")


def test_from_last_begins_at_the_bookmark(watch, portal) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet(seq=9)
        heard.append(await peer.hear())
        await peer.send({"type": "resumed", "stream": MSP_STREAM, "from": 7, "to": 9, "count": 2})
        await peer.send(alert(8), alert(9))
        await peer.hear()

    portal.scripts = [script]
    assert seqs(watch(count=2, json=True, from_last=True)) == [8, 9]
    assert heard == [{"type": "resume", "ref": "resume", "positions": "last"}]


def test_from_last_of_a_server_without_bookmarks_goes_on_live(watch, portal) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(seq=9)
        await peer.hear()
        await peer.send(
            {"type": "error", "ref": "resume", "code": "invalid_message", "message": "No bookmarks."}
        )
        await peer.send(alert(10))
        await peer.hear()

    portal.scripts = [script]
    printed = watch(count=1, json=True, from_last=True)
    assert seqs(printed) == [10]
    assert "The server refuses (invalid_message): No bookmarks." in printed.err


def test_pings_with_positions_and_takes_a_pong_for_life(watch, portal) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet(heartbeat=0.1)
        await peer.send(alert(1))
        for _ in range(3):
            ping = await peer.hear()
            heard.append((ping["type"], ping["positions"]))
            await peer.send(
                {"type": "pong", "timestamp": ping["timestamp"], "server_time": "", "positions": {}}
            )
        await peer.send(alert(2))
        await peer.hear()

    portal.scripts = [script]
    assert seqs(watch(count=2, json=True)) == [1, 2]
    assert heard == [("ping", {MSP_STREAM: 1})] * 3


def test_drops_a_server_that_does_not_answer_a_ping(watch, portal) -> None:
    async def mute(peer: Peer) -> None:
        await peer.greet(heartbeat=0.05)
        while (await peer.hear())["type"] != "gone":
            pass

    async def second(peer: Peer) -> None:
        await peer.greet()
        await peer.hear()
        await peer.send({"type": "resumed", "stream": MSP_STREAM, "from": 0, "to": 0, "count": 0}, alert(1))
        await peer.hear()

    portal.scripts = [mute, second]
    printed = watch(count=1, json=True)
    assert seqs(printed) == [1]
    assert "The server does not answer: trying again" in printed.err


def test_renews_its_token_in_band_before_it_expires(watch, portal) -> None:
    portal.lifetime = 1.0  # renewed after half of it
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        heard.append(await peer.hear())
        await peer.send({"type": "authenticated", "ref": "authenticate", "token_expires_at": None}, alert(1))
        await peer.hear()

    portal.scripts = [script]
    watch(count=1)
    assert heard[0]["type"] == "authenticate"
    assert heard[0]["token"].startswith("e30.")
    assert portal.calls[-1] == ("/api/v1/auth/token/refresh/", {"refresh": "r1"})


def test_renews_its_token_when_the_server_asks(watch, portal) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send({"type": "authenticated", "token_expires_at": None, "expiring": True})
        heard.append((await peer.hear())["type"])
        await peer.send(alert(1))
        await peer.hear()

    portal.scripts = [script]
    watch(count=1)
    assert heard == ["authenticate"]


def test_closed_for_an_expired_token_it_renews_and_comes_back(watch, portal) -> None:
    async def second(peer: Peer) -> None:
        await peer.greet()
        await peer.send(alert(1))

    portal.scripts = [refused("token_expired", "Expired.", 4001), second]
    assert "The token had expired: trying again" in watch(count=1).err
    assert portal.paths().count("/api/v1/auth/token/refresh/") == 1


def test_signs_in_again_where_the_refresh_token_does_not_hold(watch, portal) -> None:
    portal.refuse["/api/v1/auth/token/refresh/"] = (401, {"detail": "Token is invalid"})

    async def second(peer: Peer) -> None:
        await peer.greet()
        await peer.send(alert(1))

    portal.scripts = [refused("token_expired", "Expired.", 4001), second]
    watch(count=1)
    assert portal.paths().count("/api/v1/auth/token/") == 2


def test_comes_back_when_a_planned_restart_says(watch, portal) -> None:
    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.send({"type": "reconnect", "after_ms": 30, "reason": "restart"})
        await peer.close(1012, "Planned restart")

    async def second(peer: Peer) -> None:
        await peer.greet()
        await peer.hear()
        await peer.send({"type": "resumed", "stream": MSP_STREAM, "from": 0, "to": 0, "count": 0}, alert(1))
        await peer.hear()

    portal.scripts = [first, second]
    assert "The connection ended (1012, Planned restart): trying again in 0.0 s" in watch(count=1).err


def test_comes_back_when_the_server_was_away(watch, portal) -> None:
    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.close(1011)
        await asyncio.wait_for(portal.turned_away.wait(), 10)
        portal.scripts.append(second)

    async def second(peer: Peer) -> None:
        await peer.greet()
        await peer.hear()
        await peer.send({"type": "resumed", "stream": MSP_STREAM, "from": 0, "to": 0, "count": 0}, alert(1))
        await peer.hear()

    portal.scripts = [first]
    assert (
        "No connection (server rejected WebSocket connection: HTTP 403): trying again" in watch(count=1).err
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            refused("not_found", "There is no such client.", 1008),
            "The server closed the connection (1008): There is no such client.",
        ),
        (
            refused("no_tenant", "This account has no tenant.", 1008),
            "The server closed the connection (1008): This account has no tenant.",
        ),
        (
            refused("access_revoked", "Your access was taken away.", 4003),
            "The server closed the connection (4003): Your access was taken away.",
        ),
    ],
)
def test_a_final_close_ends_the_watch_with_code_and_reason(watch, portal, script, told) -> None:
    portal.scripts = [script]
    with pytest.raises(CommandError) as error:
        watch()
    assert str(error.value) == told


def test_a_subscription_that_is_refused_ends_the_watch(watch, portal) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.hear()
        await peer.send(
            {"type": "error", "ref": "subscribe", "code": "invalid_message", "message": "No such topic."}
        )
        await peer.hear()

    portal.scripts = [script]
    with pytest.raises(CommandError, match="The server does not accept the subscription: No such topic"):
        watch(topics=["presence"])


def test_a_refused_handshake_at_the_start_is_no_reason_to_wait(watch, portal) -> None:
    with pytest.raises(CommandError, match=f"No WebSocket opens at {portal.url}: .*HTTP 403"):
        watch()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"password": "wrong"}, "does not accept this password for 'msp_admin': No active account"),
        (
            {"client": "Harbr Dental"},
            "There is no client 'Harbr Dental' among those you see. Did you mean 'Harbor Dental'?",
        ),
        ({"client": "Qqq"}, "There are: Alder & Finch Legal, Harbor Dental."),
        (
            {"topics": ["alert,alarm"]},
            "There is no topic 'alarm': say engagement_update, interaction_update, alert, presence.",
        ),
        ({"min_severity": "awful"}, "There is no severity 'awful': say low, medium, high, critical."),
        ({"count": 0}, "--count is 1 or more, not 0."),
        (
            {"url": "ftp://portal"},
            "--url is the portal's address, such as http://127.0.0.1:8000, not 'ftp://portal'.",
        ),
        ({"url": "http://127.0.0.1:1"}, "No server answers at http://127.0.0.1:1"),
        (
            {"username": "stranger", "password": None},
            "No password for 'stranger': set DEMO_PASSWORD, or run this in a terminal",
        ),
    ],
)
def test_wrong_input_is_one_clear_line(watch, asked, told, monkeypatch) -> None:
    monkeypatch.delenv("DEMO_PASSWORD", raising=False)
    with pytest.raises(CommandError) as error:
        watch(**asked)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (403, {"detail": "Locked for 15 minutes"}, "lets 'msp_admin' not sign in now: Locked for 15 minutes"),
        (404, {}, "is no portal: there is no /api/v1/auth/token/"),
        (500, "<html>", "has a fault (500 Internal Server Error)"),
        (200, "<html>", "answered something else than JSON"),
        (200, {}, "answered the sign-in with something else than a token"),
        (400, {"detail": "Bad"}, "refuses (400): Bad"),
    ],
)
def test_a_server_that_answers_strangely_is_one_clear_line(watch, portal, status, body, told) -> None:
    portal.refuse["/api/v1/auth/token/"] = (status, body)
    with pytest.raises(CommandError) as error:
        watch()
    assert told in str(error.value)


def test_password_of_the_environment_and_of_the_demo(watch, portal, settings, monkeypatch) -> None:
    settings.DEBUG = True
    portal.refuse["/api/v1/clients/"] = (403, {"detail": "enough"})
    for password in ("from-env", None):
        monkeypatch.setenv("DEMO_PASSWORD", password) if password else monkeypatch.delenv("DEMO_PASSWORD")
        with pytest.raises(CommandError):
            watch(password=None)
    sent = [body["password"] for path, body in portal.calls if path == "/api/v1/auth/token/"]
    assert sent == ["from-env", "demo-only"]


def test_names_of_clients_are_only_asked_of_the_portal_itself(watch, portal) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send(alert(1))

    portal.scripts = [script]
    watch(count=1)  # the first page names elsewhere.example as the host of the second
    assert portal.paths() == ["/api/v1/auth/token/", "/api/v1/clients/", "/api/v1/clients/"]
    assert HARBOR != ALDER
