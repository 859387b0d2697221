"""The road that a newcomer takes: seed, serve, watch in one process, emit in another. Needs the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.factories import PASSWORD, AlertFactory, ApplicationFactory, ClientFactory, MSPFactory, UserFactory

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tenant(transactional_db):
    client = ClientFactory(name="Harbor Dental", msp=MSPFactory(name="Lighthouse"))
    ApplicationFactory(client=client, name="ChatGPT")
    UserFactory(username="watcher", role="msp_admin", msp=client.msp)
    return client


def start_watch(url: str, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "manage.py",
        "watch",
        "--url",
        url,
        "--username",
        "watcher",
        "--json",
        *arguments,
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "DEMO_PASSWORD": PASSWORD}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("Connected to "), first + process.stderr.read()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_an_event_of_another_process_is_watched_and_nothing_else(portal_server, tenant, run, server) -> None:
    portal = portal_server(server=server)
    process = start_watch(portal.url, "--topics", "alert", "--min-severity", "high", "--count", "2")
    time.sleep(0.3)  # the subscription is on its way
    AlertFactory(client=ClientFactory(), severity="critical")  # of another MSP
    run("emit_event", "alert", client="Harbor Dental", severity="low", details="below")
    run("emit_event", "interaction", client="Harbor Dental")
    run("emit_event", "alert", client="Harbor Dental", severity="high", details="first")
    run("emit_event", "alert", client="Harbor Dental", severity="critical", details="second")
    out, _ = process.communicate(timeout=20)
    assert [json.loads(line)["data"]["details"] for line in out.splitlines()] == ["first", "second"]
    assert process.returncode == 0


@pytest.mark.slow
def test_what_happened_while_the_server_was_gone_is_shown(portal_server, tenant, run) -> None:
    portal = portal_server()
    process = start_watch(portal.url, "--count", "3")
    run("emit_event", "alert", client="Harbor Dental", details="before")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["data"]["details"] == "before"
    portal.stop()
    run("emit_event", "alert", client="Harbor Dental", details="while away")
    portal.start()
    run("emit_event", "alert", client="Harbor Dental", details="after")
    out, err = process.communicate(timeout=40)
    assert [json.loads(line)["data"]["details"] for line in out.splitlines()] == ["while away", "after"]
    assert "Replaying" in err
