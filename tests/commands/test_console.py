"""Commands from the outside, as processes: help, exit statuses, Ctrl-C, one line on standard error."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.commands.scripted_portal import Peer, ScriptedPortal
from tests.servers.warm import ROOT, manage

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("command", ["seed_demo", "emit_event", "simulate", "watch"])
def test_help_explains_with_examples(command) -> None:
    shown = manage(command, "--help", environment={"COLUMNS": "120"}, check=False)
    assert shown.returncode == 0
    assert f"\nexamples:\n  manage.py {command}" in shown.stdout
    assert len([line for line in shown.stdout.splitlines() if line.startswith(f"  manage.py {command}")]) >= 3


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (
            ("emit_event", "alert", "--count", "many"),
            2,
            "argument --count: invalid int value: 'many' (see manage.py emit_event --help)",
        ),
        (
            ("emit_event",),
            2,
            "the following arguments are required: alert|interaction|engagement (see manage.py emit_event --help)",
        ),
        (
            ("simulate", "--speed", "3"),
            2,
            "unrecognized arguments: --speed 3 (see manage.py simulate --help)",
        ),
        (
            ("watch", "--url", "nowhere"),
            1,
            "CommandError: --url is the portal's address, such as http://127.0.0.1:8000, not 'nowhere'.",
        ),
    ],
)
def test_a_mistake_is_one_line_and_a_status(arguments, status, told) -> None:
    ended = manage(*arguments, environment={"DEMO_PASSWORD": "x"}, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", f"{told}\n", status)


def test_a_database_without_tables_is_one_line(tmp_path) -> None:
    nowhere = {"DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}
    ended = manage("emit_event", "alert", "--client", "x", environment=nowhere, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("CommandError: The database refused: no such table")
    assert len(ended.stderr.splitlines()) == 1


def interrupted(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Connected to ")
    time.sleep(0.1)
    process.send_signal(number)
    return process.communicate(timeout=10)


def test_ctrl_c_is_quiet_and_130() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        while (await peer.hear())["type"] != "gone":
            pass

    with ScriptedPortal() as portal:
        portal.scripts = [script]
        process = subprocess.Popen(
            [sys.executable, "manage.py", "watch", "--url", portal.url, "--password", "demo-only"],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert interrupted(process, signal.SIGINT) == ("", "")
        assert process.returncode == 130


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        for seq in range(1, 2000):
            data = {"severity": "low", "details": "x" * 200, "app": "A"}
            await peer.send(
                {
                    "type": "alert",
                    "client_id": "c",
                    "stream": f"msp.{'0' * 8}",
                    "seq": seq,
                    "timestamp": "",
                    "data": data,
                }
            )
        while (await peer.hear())["type"] != "gone":
            pass

    with ScriptedPortal() as portal:
        portal.scripts = [script]
        with subprocess.Popen(
            [sys.executable, "manage.py", "watch", "--url", portal.url, "--password", "demo-only"],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(10) == 0
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
