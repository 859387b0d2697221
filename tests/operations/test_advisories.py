"""No locked version is one that we know to be bad, or that a database of advisories does."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from check_advisories import KNOWN_BAD, audited, bad  # noqa: E402
from check_locks import pins  # noqa: E402


@pytest.mark.slow
def test_the_locked_versions_have_no_known_hole():
    subprocess.run([sys.executable, ROOT / "scripts" / "check_advisories.py"], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "version"), [("daphne", "4.2.1"), ("redis", "8.0.0"), ("django", "5.2.1"), ("twisted", "24.3.0")]
)
def test_a_bad_one_is_named(name, version):
    (problem,) = bad({name: {version}})
    assert name in problem
    assert version in problem


def test_the_list_is_of_packages_that_are_locked():
    assert KNOWN_BAD.keys() <= pins("requirements.lock").keys()


class Advisories(BaseHTTPRequestHandler):
    """Answers as OSV does: sqlparse has a hole up to 9.9, nothing else has one."""

    def do_POST(self) -> None:
        """Answer one package's advisories."""
        package = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}]
        hole = {"id": "GHSA-test-1234", "affected": [{"package": package, "ranges": ranges}]}
        answer = json.dumps({"vulns": [hole]} if package["name"] == "sqlparse" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_hole_that_the_database_knows_is_named_with_its_remedy(advisories):
    (problem,) = audited([ROOT / "requirements.lock"], "--osv-url", advisories)
    assert problem.startswith("sqlparse ")
    assert "GHSA-test-1234" in problem
    assert "9.9" in problem


@pytest.mark.slow
def test_a_database_that_does_not_answer_is_no_clean_bill():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert audited([ROOT / "requirements.lock"], "--osv-url", f"http://127.0.0.1:{port}/v1/query") is None
