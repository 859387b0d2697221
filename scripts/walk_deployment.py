#!/usr/bin/env python3
"""Walk docs/deployment.md on an empty Debian 12 machine, by its own commands and nothing else, and look at the result.

The machine is made by debootstrap, in memory: Debian's least, systemd, certificates and a clone of this repository's
HEAD. What installs software runs with this machine's network. Then systemd-nspawn boots it with no other network than
loopback, and the rest of the page runs there. Needs root, debootstrap and systemd-container; takes minutes.

    scripts/walk_deployment.py

Added to the page's commands is only what a person types: passwords.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "deployment.md"
MIRROR = "http://deb.debian.org/debian"
HOST = "portal.example.com"
NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--machine=walk"]
BY_HAND = {
    "DJANGO_SUPERUSER_USERNAME": "ada",
    "DJANGO_SUPERUSER_EMAIL": "ada@example.com",
    "DJANGO_SUPERUSER_PASSWORD": "walk-8f2b61c7",
    "DEMO_PASSWORD": "walk-0d94be52",
}
KEY = "d2Fsay13YWxrLXdhbGstdw=="  # any 16 bytes: of a WebSocket's handshake
OF_THIS_NETWORK = ("etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
"""How software is reached from here: no part of the page."""
EVENTS = 400


def main() -> None:
    """Make the machine, walk, look; raise at the first thing that is not as it should be."""
    steps = sections(PAGE.read_text(encoding="utf-8"))
    with in_memory() as folder:
        make(folder)
        install = [*NSPAWN, "--as-pid2", f"--directory={folder}", "--chdir=/root/portal"]
        walk(install, *(steps[number] for number in "12"))
        with booted(folder) as machine:
            walk(machine, "cd /srv/portal\n", *(steps[number] for number in "345678"))
            look(machine, steps["Restarting"])
    print("The page leads to a portal that works.")


def sections(page: str) -> dict[str, str]:
    """Return the commands of each section of the page, by the first word of its heading, without its full stop."""
    return {
        re.match(r"\w+", part)[0]: "".join(
            re.findall(r"^```console\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        )
        for part in page.split("\n## ")[1:]
    }


@contextmanager
def in_memory() -> Iterator[Path]:
    """Give a folder that is in memory and goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="walk-"))
    run("mount", "-t", "tmpfs", "-o", "mode=755,size=6g", "tmpfs", folder)
    try:
        yield folder
    finally:
        run("umount", folder)
        folder.rmdir()


def make(folder: Path) -> None:
    """Make the empty machine."""
    run(
        *("debootstrap", "--variant=minbase", "--include=systemd-sysv,dbus,ca-certificates"),
        *("bookworm", folder, MIRROR),
        stdout=subprocess.DEVNULL,
        timeout=900,
    )
    run("git", "clone", "--quiet", f"file://{ROOT}", folder / "root" / "portal")
    for name in OF_THIS_NETWORK:
        if Path("/", name).exists():
            shutil.copy(Path("/", name), folder / name)


@contextmanager
def booted(folder: Path) -> Iterator[list[str]]:
    """Boot the machine with loopback only; give the command that runs another one inside."""
    nspawn = subprocess.Popen(
        [*NSPAWN, "--boot", "--private-network", f"--directory={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    systemd = None
    try:
        systemd = leader(nspawn.pid)
        inside = ["nsenter", "--target", str(systemd), "--all", "env", "--ignore-environment"]
        inside += ["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        run(*inside, "systemctl", "is-system-running", "--wait", stdout=subprocess.DEVNULL, timeout=60)
        yield inside
        run(*inside, "systemctl", "poweroff")
        nspawn.wait(60)
    finally:
        if nspawn.poll() is None:
            os.kill(systemd or nspawn.pid, signal.SIGKILL)  # the machine would outlive nspawn
        nspawn.wait(60)


def leader(nspawn: int) -> int:
    """Return the pid, here, of the machine's systemd, once it listens."""
    for _ in range(100):
        time.sleep(0.2)
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            if Path(f"/proc/{child}/root/run/systemd/private").exists():
                return int(child)
    raise TimeoutError("The machine did not boot within 20 s.")


def walk(inside: list[str], *steps: str) -> None:
    """Run commands of the page in one shell, echoing them; the first that fails ends it."""
    typed = "".join(steps).replace("manage.py createsuperuser", "manage.py createsuperuser --noinput")
    names = " ".join(f"{name}={value}" for name, value in BY_HAND.items())
    echoing = """trap 'echo "# $BASH_COMMAND"' DEBUG"""
    script = f"set -euo pipefail\nexport DEBIAN_FRONTEND=noninteractive {names}\n{echoing}\n{typed}"
    run(*inside, "bash", "-c", script, timeout=900, stdout=None)


def look(machine: list[str], restarting: str) -> None:
    """See that the portal is what the page promises: TLS, what is closed, sockets, restarts that lose nothing, logs."""
    page = ask(machine, "/login/").lower()
    for header in (
        "strict-transport-security: max-age=31536000",
        "x-frame-options: deny",
        "content-security-policy: ",
    ):
        assert header in page, f"no {header!r} in {page}"
    for path in ("/metrics", "/healthz", "/readyz"):
        assert " 404 " in ask(machine, path).partition("\n")[0], f"{path} is not closed to the outside"

    watch = f"manage.py watch --json --topics alert --count {EVENTS} --url https://{HOST}"
    emit = f'manage.py emit_event alert --client "Harbor Dental" --count {EVENTS} --rate 8'
    with tempfile.TemporaryDirectory() as told:
        logs = [Path(told, name) for name in ("a", "b")]
        watching = [start(machine, watch, log) for log in logs]
        for log in logs:
            wait_for("Connected", log)
        emitting = start(machine, emit, Path(told, "emitted"))
        for log in logs:
            wait_for('"seq"', log)
        walk(machine, restarting)
        assert emitting.poll() is None, "the restarts outlasted the events: emit more"
        assert [process.wait(120) for process in (emitting, *watching)] == [0, 0, 0]
        for log in logs:
            places = [int(seq) for seq in re.findall(r'^{.*"seq": (\d+)', log.read_text(), re.MULTILINE)]
            assert places == list(range(places[0], places[0] + EVENTS)), log.read_text()
            print(f"{EVENTS} events over wss, in order, while both processes restarted. Its connection:")
            print("\n".join(line for line in log.read_text().splitlines() if not line.startswith("{")))

    password = BY_HAND["DEMO_PASSWORD"]
    signing_in = json.dumps({"username": "client_user", "password": password})
    tokens = ask(
        machine, "/api/v1/auth/token/", "--header", "Content-Type: application/json", "--data", signing_in
    )
    token = re.search(r'"access":"([^"]+)"', tokens)[1]
    upgrade = [
        word
        for header in (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}",
        )
        for word in ("--header", header)
    ]
    opened = ask(machine, f"/api/v1/ws/engagement?token={token}", *upgrade, ended=False)
    assert " 101 " in opened.partition("\n")[0], opened
    log = run(*machine, "bash", "-c", "cat /var/log/nginx/*; journalctl --no-pager")
    assert "/api/v1/ws/engagement" in log
    for secret in (token.rpartition(".")[2], password):
        assert secret not in log, "a secret is in a log"


def ask(machine: list[str], path: str, *options: str, ended: bool = True) -> str:
    """Return head and body of what the portal answers; with `ended` false, what comes within 3 seconds."""
    tls = ["--http1.1", "--cacert", "/etc/portal/tls/portal.pem", "--silent", "--include", "--max-time", "3"]
    url = f"https://{HOST}{path}"
    return run(*machine, "curl", *tls, *options, url, check=ended)


def start(machine: list[str], command: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a command of the portal in the machine; what it says goes into `log`."""
    settings = "cd /srv/portal; set -a; . /etc/portal/portal.env; SSL_CERT_FILE=/etc/portal/tls/portal.pem"
    script = f"{settings}; DEMO_PASSWORD={BY_HAND['DEMO_PASSWORD']}; exec .venv/bin/python {command}"
    with log.open("wb") as output:
        return subprocess.Popen(
            [*machine, "bash", "-euc", script], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def wait_for(text: str, log: Path) -> None:
    """Wait until `text` stands in `log`."""
    for _ in range(300):
        if text in log.read_text():
            return
        time.sleep(0.1)
    raise TimeoutError(f"No {text!r} within 30 s: {log.read_text()}")


def run(
    *command: str | Path, timeout: float = 60, check: bool = True, stdout: int | None = subprocess.PIPE
) -> str:
    """Run a command; return its output."""
    done = subprocess.run(command, stdout=stdout, text=True, errors="replace", timeout=timeout, check=check)
    return done.stdout or ""


if __name__ == "__main__":
    main()
