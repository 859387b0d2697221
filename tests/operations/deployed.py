"""The portal as deploy/ sets it up: processes from the systemd unit, settings from the environment file, nginx.conf.

Paths, ports and secrets are replaced, and every replacement must find its place: a file that changed fails the tests.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import ssl
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers.process import LOOPBACK, ServerProcess

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HOST = "portal.example.com"


def production_environment(**filled: str) -> dict[str, str]:
    """Return the settings of deploy/portal.env.example with `filled` in; all that it leaves empty must be."""
    text = (DEPLOY / "portal.env.example").read_text()
    listed = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    unknown = filled.keys() - listed.keys()
    assert not unknown, f"portal.env.example has no {unknown}"
    return listed | filled


def unit_command(unit: str, instance: object) -> list[str]:
    """Return what a unit of deploy/systemd starts, with this Python."""
    text = (DEPLOY / "systemd" / unit).read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *arguments = shlex.split(line.replace("%i", str(instance)))
    assert program == "/srv/portal/.venv/bin/python"
    return [sys.executable, *arguments]


class Process(ServerProcess):
    """One `portal@<port>`."""

    name = "Portal"
    stop_seconds = 45  # TimeoutStopSec

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(warm=True)
        self._environment = environment

    def command(self) -> list[str]:
        return unit_command("portal@.service", self.port)

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "PYTHONUNBUFFERED": "1", **self._environment}

    def working_folder(self) -> Path:
        return ROOT

    def is_ready(self) -> bool:
        return ask(self.port, "/readyz") == 200


def ask(port: int, path: str) -> int:
    """Return the status of a plain request to a process."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


class Nginx(ServerProcess):
    """nginx with deploy/nginx/portal.conf, on loopback."""

    name = "nginx"

    def __init__(self, program: str, ports: tuple[int, int]) -> None:
        super().__init__()
        self._program = program
        self._upstream = ports

    def logs(self) -> str:
        """What it has logged."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts its certificate, and nothing else."""
        return ssl.create_default_context(cafile=str(self.folder / "portal.pem"))

    def prepare(self) -> None:
        certificate(self.folder, HOST)
        static = self.folder / "static"
        static.mkdir(exist_ok=True)
        (static / "probe.txt").write_text("a static file")
        conf = replaced(
            (DEPLOY / "nginx" / "portal.conf").read_text(),
            {
                "    listen 80 default_server;\n": f"    listen {LOOPBACK}:{self.port + 1} default_server;\n",
                "    listen [::]:80 default_server;\n": "",
                "    listen 443 ssl": f"    listen {LOOPBACK}:{self.port} ssl",
                "    listen [::]:443 ssl http2 default_server;\n": "",
                "server 127.0.0.1:8001 ": f"server {LOOPBACK}:{self._upstream[0]} ",
                "server 127.0.0.1:8002 ": f"server {LOOPBACK}:{self._upstream[1]} ",
                "/etc/portal/tls/": f"{self.folder}/",
                "/var/log/nginx/": f"{self.folder}/",
                "/srv/portal/staticfiles/": f"{static}/",
            },
        )
        user = "user root;\n" if os.geteuid() == 0 else ""
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = f"{user}pid {self.folder}/nginx.pid;\nevents {{ worker_connections 1024; }}\n"
        (self.folder / "nginx.conf").write_text(f"{main}http {{\n{temporary}{conf}}}\n")

    def command(self) -> list[str]:
        conf = str(self.folder / "nginx.conf")
        return [
            self._program,
            "-p",
            str(self.folder),
            "-c",
            conf,
            "-e",
            str(self.folder / "start.log"),
            "-g",
            "daemon off;",
        ]

    def is_ready(self) -> bool:
        connection = http.client.HTTPSConnection(
            LOOPBACK, self.port, timeout=5, context=ssl._create_unverified_context()
        )
        try:
            connection.request("GET", "/static/probe.txt")
            return connection.getresponse().status == 200
        finally:
            connection.close()


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Return `text` with every change made; fail where one finds nothing to change."""
    for old, new in changes.items():
        assert old in text, f"deploy/nginx/portal.conf says {old!r} no more"
        text = text.replace(old, new)
    return text


def certificate(folder: Path, host: str) -> None:
    """Make a self-signed certificate for `host`, portal.pem and portal.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "portal.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "portal.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def manage(environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a manage.py command under these settings."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
