"""The engine in a portal that is not ours (examples/existing_portal): stock users, integer keys, own models."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.db import connection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.live import wait_until

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "existing_portal"

DATA = """
from django.contrib.auth.models import User
from rest_framework_simplejwt.tokens import AccessToken
from incidents.models import *
north, south = Partner.objects.create(name="North"), Partner.objects.create(name="South")
mill, shop = (Company.objects.create(name=name, partner=north) for name in ("Mill", "Shop"))
yard = Company.objects.create(name="Yard", partner=south)
def person(name, **place):
    user = User.objects.create(username=name)
    Profile.objects.create(user=user, **place)
    return str(AccessToken.for_user(User.objects.get(pk=user.pk)))
import json
print(json.dumps({
    "north": person("nina", partner=north), "south": person("sara", partner=south),
    "mill": person("mia", company=mill), "shop": person("shane", company=shop),
    "keys": {"north": north.pk, "mill": mill.pk, "shop": shop.pk, "yard": yard.pk},
}))
"""


class Portal:
    """The example, served."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self.environment = environment
        self.port = port
        self.tokens: dict[str, Any] = {}

    def manage(self, *arguments: str) -> str:
        """Run `manage.py`."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=EXAMPLE,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def do(self, statements: str) -> str:
        """Run statements in the portal, in a process of its own."""
        return self.manage("shell", "--no-imports", "-c", f"from incidents.models import *\n{statements}")

    def socket(self, who: str, path: str = "engagement") -> ClientConnection:
        """Open a socket."""
        bearer = Subprotocol(f"bearer.{self.tokens[who]}")
        url = f"ws://127.0.0.1:{self.port}/ws/{path}"
        return connect(url, subprotocols=[Subprotocol("compliance.v1"), bearer])


def frames(opened: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Return `count` events, and look that no other came before them."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        frame = json.loads(opened.recv(timeout=10))
        if frame["type"] == "alert":
            found.append(frame)
    return found


def closed_with(opened: ClientConnection) -> int | None:
    """Return the code that the server closes with, whatever it sends before."""
    try:
        while True:
            opened.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


@contextmanager
def served(environment: dict[str, str]) -> Iterator[Portal]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    portal = Portal(environment, port)
    portal.manage("migrate", "--verbosity", "0")
    server = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--host", "127.0.0.1", "--port", str(port)],
        cwd=EXAMPLE,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: is_ready(port), "the example does not start", 20)
        portal.tokens = json.loads(portal.do(DATA).strip().splitlines()[-1])
        yield portal
    finally:
        server.terminate()
        server.wait(20)


def is_ready(port: int) -> bool:
    try:
        return urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
    except (URLError, OSError):
        return False


@pytest.fixture
def portal(tmp_path: Path, request: pytest.FixtureRequest, db: None) -> Iterator[Portal]:
    stock = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DATABASE_", "DJANGO_", "REALTIME"))
    }
    if connection.vendor == "sqlite":
        with served(stock | {"DB_NAME": str(tmp_path / "db.sqlite3")}) as portal:
            yield portal
        return
    mine = connection.settings_dict
    name = f"existing_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")
        cursor.execute(f"CREATE DATABASE {name}")
    settings = {f"DB_{key}": str(mine[key] or "") for key in ("HOST", "PORT", "USER", "PASSWORD")}
    with served(stock | settings | {"DB_ENGINE": "django.db.backends.postgresql", "DB_NAME": name}) as portal:
        yield portal


def test_what_is_saved_reaches_the_right_people_only(portal):
    keys = portal.tokens["keys"]
    with (
        portal.socket("north") as north,
        portal.socket("south") as south,
        portal.socket("mill") as mill,
        portal.socket("shop") as shop,
        portal.socket("north", f"client/{keys['mill']}/engagement") as one,
    ):
        hello = [json.loads(opened.recv(timeout=10)) for opened in (north, south, mill, shop, one)]
        assert [frame["scope"] for frame in hello] == ["msp", "msp", "client", "client", "client"]
        portal.do(
            f"""
mill = Incident.objects.create(company_id={keys["mill"]}, text="A door stood open", level="high")
Incident.objects.only("text").get(pk=mill.pk).save()
Incident.objects.bulk_create([Incident(company_id={keys["shop"]}, text=f"Delivery {{n}}") for n in range(2)])
Incident.objects.filter(pk=mill.pk).update(level="critical")
Incident.objects.create(company_id={keys["yard"]}, text="A fence is down")
mill.delete()
"""
        )
        texts = [
            (frame["data"]["details"], frame["data"]["severity"], frame["data"]["change"])
            for frame in frames(north, 6)
        ]
        assert texts == [
            ("A door stood open", "high", "created"),
            ("A door stood open", "high", "updated"),
            ("Delivery 0", "low", "created"),
            ("Delivery 1", "low", "created"),
            ("A door stood open", "critical", "updated"),
            ("A door stood open", "critical", "deleted"),
        ]
        assert [frame["client_id"] for frame in frames(mill, 4)] == [str(keys["mill"])] * 4
        assert [frame["seq"] for frame in frames(one, 4)] == [1, 2, 3, 4]
        assert [frame["data"]["details"] for frame in frames(shop, 2)] == ["Delivery 0", "Delivery 1"]
        [fence] = frames(south, 1)
        assert (fence["stream"], fence["seq"]) == (
            f"msp.{hello[1]['positions'].popitem()[0].partition('.')[2]}",
            1,
        )


def test_a_socket_that_comes_back_resumes_and_a_foreign_company_is_unknown(portal):
    keys = portal.tokens["keys"]
    portal.do(f"[Incident.objects.create(company_id={keys['mill']}, text=str(n)) for n in range(3)]")
    time.sleep(0.5)
    with portal.socket("mill", f"engagement?positions=client.{keys['mill']}:1") as mill:
        assert [frame["data"]["details"] for frame in frames(mill, 2)] == ["1", "2"]
        mill.send(json.dumps({"type": "subscribe", "client_id": str(keys["yard"])}))
        answer = json.loads(mill.recv(timeout=10))
        assert (answer["type"], answer["code"]) == ("error", "not_found")
        mill.send(json.dumps({"type": "subscribe", "client_id": "mill"}))
        assert json.loads(mill.recv(timeout=10))["code"] == "invalid_message"
    with portal.socket("mill", f"client/{keys['yard']}/engagement") as foreign:
        assert closed_with(foreign) == 1008


def test_who_loses_their_place_loses_their_socket(portal):
    with portal.socket("mill") as mill:
        mill.recv(timeout=10)
        portal.do("Profile.objects.get(user__username='mia').delete()")
        assert closed_with(mill) == 4003
    with portal.socket("mill") as again:
        assert closed_with(again) == 1008


def test_the_engine_is_declared_rightly_and_needs_no_further_migration(portal):
    assert "no issues" in portal.manage("check")
    assert "No changes detected" in portal.manage("makemigrations", "--check", "--dry-run")
