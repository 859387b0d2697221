"""Attacks on real servers: each is refused in words, a neighbour of another tenant is answered, nothing else is logged.

How fast the neighbour is answered is measured by `python -m benchmarks.attacks`: that needs a quiet machine.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import pytest

from benchmarks.attacks import ATTACKS, LARGEST_DETAILS, ONLY_OURS, Neighbour, Target, attack_for
from tests.factories import AlertFactory, two_tenants
from tests.sockets import Socket, token_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

SECONDS = 1.0
LARGE = 40

ANSWERS = {
    "search": {"200", "400", "414"},
    "sign_ins": {"401", "429"},
    "guesses": {"401", "429"},
    "pings": {"1008", "reset", "closed"},
    "fragments": {"1008", "1009", "reset", "closed"},
    "drip": {"408", "closed"},
    "half_open": {"408", "503", "closed", "reset"},
    "handshakes": {"invalid_token", "rate_limited"},
    "large_pages": {"200"},
    "large_resumes": {"all events", "resync"},
}
"""How an attacker may be answered; anything else, and every HTTP 500, is a fault."""


@pytest.fixture
async def attacked(server, in_thread):
    """Return a server, the neighbour's target and the attacker's."""
    neighbour, attacker = await in_thread(two_tenants)
    await in_thread(
        lambda: AlertFactory.create_batch(LARGE, client=attacker.client, details="x" * LARGEST_DETAILS)
    )
    return (
        server,
        Target("127.0.0.1", server.port, token_for(neighbour.msp_admin)),
        Target("127.0.0.1", server.port, token_for(attacker.msp_admin), str(attacker.client.pk), LARGE),
    )


def test_every_attack_is_tried():
    assert ANSWERS.keys() == ATTACKS.keys()


@pytest.mark.parametrize(
    ("server", "name"),
    [("daphne", name) for name in ATTACKS] + [("uvicorn", name) for name in ATTACKS if name not in ONLY_OURS],
    indirect=["server"],
)
async def test_a_neighbour_is_answered_meanwhile(attacked, name):
    server, target, attacker = attacked
    neighbour, begin = Neighbour(target), len(server.log_text())
    answers, _ = await asyncio.gather(attack_for(name, attacker, SECONDS), neighbour.live(SECONDS))
    print(name, dict(answers), neighbour.figures())
    assert answers.keys() <= ANSWERS[name]
    assert neighbour.requests
    assert neighbour.pings
    assert neighbour.failures == Counter()
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
        assert (await http.get("/readyz")).status_code == 200
    async with Socket(f"{server.ws_url}/ws/engagement", token=target.token) as socket:
        assert (await socket.ask({"type": "ping"}))["type"] == "pong"
    log = server.log_text()[begin:]
    assert "Traceback" not in log
    assert "[error" not in log
    assert json.dumps(attacker.token) not in log
