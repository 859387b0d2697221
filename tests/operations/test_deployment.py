"""deploy/: the production settings, the units, nginx in front of two processes, and restarts that lose nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
import yaml
from django.conf import settings
from websockets.asyncio.client import connect

from realtime.models import LiveConnection
from tests.factories import two_tenants
from tests.live import database_url_of_tests, wait_until
from tests.operations.deployed import (
    DEPLOY,
    HOST,
    ROOT,
    Nginx,
    Process,
    manage,
    production_environment,
    unit_command,
)
from tests.operations.test_metrics import total
from tests.servers import warm
from tests.servers.process import LOOPBACK
from tests.sockets import is_event, token_for

KEY = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"


class TestProductionSettings:
    @pytest.mark.slow
    def test_the_deploy_check_is_clean(self):
        environment = production_environment(SECRET_KEY=KEY, CHANNEL_ENCRYPTION_KEY=KEY)
        check = warm.manage("check", "--deploy", "--fail-level", "INFO", environment=environment, check=False)
        assert check.returncode == 0, check.stderr
        assert "no issues" in check.stdout + check.stderr

    @pytest.mark.slow
    def test_what_must_be_filled_in_must_be(self):
        command = ("check", "--deploy", "--fail-level", "WARNING")
        check = warm.manage(*command, environment=production_environment(), check=False)
        assert check.returncode != 0
        assert "SECRET_KEY" in check.stderr

    def test_every_variable_is_a_setting_of_the_portal(self):
        known = set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
        assert production_environment().keys() <= known

    @pytest.mark.slow
    @pytest.mark.parametrize("unit", ["portal@.service", "portal-prune.service"])
    def test_a_unit_starts_a_command_that_there_is(self, unit):
        program, script, command, *arguments = unit_command(unit, 8001)
        help_ = subprocess.run(
            [program, script, command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for argument in arguments:
            assert not argument.startswith("--") or argument in help_.stdout, argument

    def test_a_unit_waits_longer_than_a_drain_takes(self):
        text = (DEPLOY / "systemd" / "portal@.service").read_text()
        (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert int(seconds) > float(production_environment()["REALTIME_DRAIN_SECONDS"]) + 10

    def test_a_unit_has_started_when_its_process_is_ready(self):
        """Else `systemctl restart portal@8001 && systemctl restart portal@8002` leaves a moment without any."""
        text = (DEPLOY / "systemd" / "portal@.service").read_text()
        (command,) = re.findall(r"^ExecStartPost=(.*)$", text, re.MULTILINE)
        assert command.split()[0] == "/usr/bin/curl"
        assert "--retry-connrefused" in command
        assert command.endswith("http://127.0.0.1:%i/readyz")

    @pytest.mark.parametrize("unit", ["portal@.service", "portal-prune.service", "portal-prune.timer"])
    def test_systemd_understands_the_units(self, unit, tmp_path):
        program = shutil.which("systemd-analyze")
        if program is None:
            pytest.skip("systemd-analyze is not installed: the units are checked where it is")
        for path in (DEPLOY / "systemd").iterdir():
            text = path.read_text().replace(
                "/srv/portal/.venv/bin/python", shutil.which("true") or "/bin/true"
            )
            (tmp_path / path.name).write_text(text)
        name = unit.replace("@", "@8001")
        if name != unit:
            (tmp_path / name).write_text((tmp_path / unit).read_text())
        answer = subprocess.run(
            [program, "verify", str(tmp_path / name)], capture_output=True, text=True, timeout=60, check=False
        )
        complaints = [
            line for line in answer.stderr.splitlines() if line.startswith(("portal", str(tmp_path)))
        ]
        assert complaints == []


class TestContainers:
    def test_the_image_copies_what_there_is_and_nothing_else_gets_in(self):
        copied = re.findall(
            r"^COPY (?!--)(\S+) ", (DEPLOY / "docker" / "Dockerfile").read_text(), re.MULTILINE
        )
        allowed = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().split()
        assert allowed[0] == "**"
        assert {f"!{name}" for name in copied} == {line for line in allowed if line.startswith("!")}
        assert all((ROOT / name).exists() for name in copied)

    def test_compose_starts_the_portal_after_what_it_needs(self):
        services = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())["services"]
        assert services["portal"]["depends_on"].keys() == {"migrate", "redis"}
        assert services["migrate"]["command"] == ["migrate"]
        assert "healthcheck" in services["postgres"]
        assert services["portal"]["ports"] == ["127.0.0.1:8000:8000"]
        assert "--behind-proxy" in services["portal"]["command"]


class TestMonitoring:
    def names(self) -> set[str]:
        """Every sample name that /metrics can show."""
        from realtime import metrics, metrics_endpoint

        names = {"up"}
        for metric in vars(metrics).values():
            if hasattr(metric, "_documentation"):
                kind = metric._type
                endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(kind, [""])
                names |= {metric._name + ending for ending in endings}
        state = metrics_endpoint.State(True, 1, 1, 1, 1.0, 1.0, 1)
        return names | {family.name for family in state.families()}

    def used(self, text: str) -> set[str]:
        return set(re.findall(r"\b(realtime_[a-z_]+|up)(?=[{\[ )])", text))

    def test_alerts_ask_for_metrics_that_there_are(self):
        rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"][0]["rules"]
        used = set().union(*(self.used(rule["expr"] + " ") for rule in rules))
        assert len(used) > 8
        assert used <= self.names()
        runbook = (ROOT / "docs" / "operations.md").read_text()
        assert [rule["alert"] for rule in rules if f"`{rule['alert']}`" not in runbook] == []
        assert {rule["labels"]["severity"] for rule in rules} == {"page", "ticket"}

    def test_the_dashboard_asks_for_metrics_that_there_are(self):
        dashboard = json.loads((DEPLOY / "grafana" / "portal.json").read_text())
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        used = set().union(*(self.used(expression) for expression in expressions))
        assert len(used) > 20
        assert used <= self.names()

    def test_promtool_takes_the_rules_and_each_alert_fires_when_it_should(self):
        folder = DEPLOY / "prometheus"
        cases = yaml.safe_load((folder / "alerts_test.yaml").read_text())["tests"]
        fired = {
            test["alertname"] for case in cases for test in case["alert_rule_test"] if test["exp_alerts"]
        }
        rules = yaml.safe_load((folder / "alerts.yaml").read_text())["groups"][0]["rules"]
        assert fired == {rule["alert"] for rule in rules}
        program = shutil.which("promtool")
        if program is None:
            pytest.skip("promtool is not installed (apt install prometheus): the rules run where it is")
        for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
            done = subprocess.run(
                [program, *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr


async def _named(request: httpx.Request) -> None:
    """Have TLS speak to the portal by its name."""
    request.extensions["sni_hostname"] = HOST


@dataclass
class Deployment:
    """Two processes behind nginx."""

    processes: list[Process]
    nginx: Nginx
    environment: dict[str, str]
    metrics: Path

    @property
    def origin(self) -> str:
        return f"https://{HOST}:{self.nginx.port}"

    def http(self) -> httpx.AsyncClient:
        """Return a client that finds the portal's name on loopback."""
        transport = httpx.AsyncHTTPTransport(verify=self.nginx.tls(), retries=0)
        client = httpx.AsyncClient(transport=transport, base_url=f"https://{LOOPBACK}:{self.nginx.port}")
        client.headers["Host"] = f"{HOST}:{self.nginx.port}"
        client.event_hooks["request"].append(_named)
        return client

    def connect(self, path: str, **options: Any) -> connect:
        """Return a socket's handshake through nginx."""
        return connect(
            f"wss://{HOST}:{self.nginx.port}{path}",
            host=LOOPBACK,
            port=self.nginx.port,
            ssl=self.nginx.tls(),
            compression=None,
            proxy=None,
            ping_interval=None,
            **options,
        )


@pytest.fixture
def deployment(transactional_db: None, tmp_path: Path) -> Iterator[Deployment]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        without = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        without("nginx is not installed: apt install nginx-light")
    environment = production_environment(
        SECRET_KEY=settings.SECRET_KEY,  # the tests sign tokens with it
        CHANNEL_ENCRYPTION_KEY=KEY,
        DATABASE_URL=database_url_of_tests(),
        REDIS_URL=os.environ["REDIS_URL"],
        REALTIME_DRAIN_SECONDS="1",
    )
    environment |= {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "LOG_LEVEL": "INFO"}
    with ExitStack() as stack:
        processes = []
        for _ in range(2):
            process = Process(environment)
            stack.callback(process.close)
            stack.callback(lambda process=process: print(f"--- {process.port}\n{process.log_text()}"))
            processes.append(process.start())
        nginx = Nginx(program, (processes[0].port, processes[1].port))
        stack.callback(nginx.close)
        stack.callback(lambda: print(f"--- nginx\n{nginx.logs()}"))
        yield Deployment(processes, nginx.start(), environment, tmp_path)


@dataclass
class Follower:
    """A client that reconnects and resumes as the protocol says."""

    deployment: Deployment
    token: str
    by_query: bool
    seen: list[int] = field(default_factory=list)
    closes: Counter[int] = field(default_factory=Counter)
    resyncs: int = 0
    _positions: dict[str, int] = field(default_factory=dict)
    _epoch: str = ""

    async def follow(self, until: int) -> None:
        """Follow until event `until` has come."""
        while not self.seen or self.seen[-1] < until:
            try:
                await self._once(until)
            except (OSError, websockets.InvalidStatus, TimeoutError):
                self.closes[0] += 1
                await asyncio.sleep(0.1)

    async def _once(self, until: int) -> None:
        query = f"?token={self.token}" if self.by_query else "?x=1"
        if self._positions:
            query += "&positions=" + ",".join(f"{name}:{seq}" for name, seq in self._positions.items())
            query += f"&epoch={self._epoch}"
        offered = ["compliance.v1", *([] if self.by_query else [f"bearer.{self.token}"])]
        socket = self.deployment.connect(
            f"/api/v1/ws/engagement{query}", subprotocols=[websockets.Subprotocol(name) for name in offered]
        )
        async with socket as raw:
            try:
                async for wire in raw:
                    self._take(json.loads(wire))
                    if self.seen and self.seen[-1] >= until:
                        return
            except websockets.ConnectionClosedError:
                pass
            self.closes[raw.close_code or 0] += 1
            assert raw.close_code != 1008, raw.close_reason

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "connection":
            self._epoch = frame["epoch"]
            if not self._positions:
                self._positions = dict(frame["positions"])
        elif frame["type"] == "resync":
            self.resyncs += 1
        elif is_event(frame):
            self.seen.append(frame["seq"])
            self._positions[frame["stream"]] = frame["seq"]


@pytest.mark.slow
@pytest.mark.postgres
class TestBehindNginx:
    async def test_restarting_one_after_the_other_under_load_loses_nothing(self, deployment, in_thread):
        tenant = (await in_thread(two_tenants))[0]
        token = token_for(tenant.client_user)
        events = 240
        followers = [Follower(deployment, token, by_query=index % 2 == 0) for index in range(12)]
        following = [asyncio.create_task(follower.follow(events)) for follower in followers]
        statuses: Counter[int] = Counter()

        async def browse() -> None:
            async with deployment.http() as client:
                while True:
                    answer = await client.get(
                        "/api/v1/ws/stats", headers={"Authorization": f"Bearer {token}"}, timeout=10
                    )
                    statuses[answer.status_code] += 1
                    await asyncio.sleep(0.05)

        browsing = asyncio.create_task(browse())
        await asyncio.sleep(1)
        emitting = manage(
            deployment.environment,
            *(
                "emit_event",
                "alert",
                "--client",
                str(tenant.client.pk),
                "--count",
                str(events),
                "--rate",
                "20",
            ),
        )
        try:
            for process in deployment.processes:
                await asyncio.sleep(2)
                await asyncio.to_thread(process.restart)
            async with asyncio.timeout(60):
                await asyncio.gather(*following)
        finally:
            browsing.cancel()
            output, _ = await asyncio.to_thread(emitting.communicate, timeout=60)
            print(output, [(len(follower.seen), follower.closes) for follower in followers], statuses)
        assert emitting.returncode == 0, output
        for follower in followers:
            assert follower.seen == list(range(1, events + 1))
            assert follower.resyncs == 0
        assert sum(follower.closes[1012] for follower in followers) >= len(followers)
        assert not {1006, 1011} & {code for follower in followers for code in follower.closes}
        assert set(statuses) == {200}
        assert statuses[200] > 50
        log = deployment.nginx.logs()
        assert "/api/v1/ws/engagement" in log
        assert token not in log
        assert "token=" not in log
        for process in deployment.processes:
            assert token not in process.log_text()

    async def test_what_the_portal_believes_of_the_outside_comes_from_nginx(self, deployment, in_thread):
        tenant = (await in_thread(two_tenants))[0]
        spoofed = {
            "X-Forwarded-For": "198.51.100.7",
            "X-Forwarded-Proto": "http",
            "Forwarded": "for=198.51.100.7",
            "Daphne-Root-Path": "/evil",
        }
        token = token_for(tenant.client_user)
        async with deployment.connect(
            "/ws/engagement",
            subprotocols=[websockets.Subprotocol(f"bearer.{token}"), websockets.Subprotocol("compliance.v1")],
            additional_headers=spoofed,
            origin=websockets.Origin(deployment.origin),
        ) as raw:
            hello = json.loads(await asyncio.wait_for(raw.recv(), 5))
            assert hello["type"] == "connection"
            row = LiveConnection.objects.filter(pk=hello["connection_id"])
            await in_thread(wait_until, row.exists, "the connection has no row")
            assert (await in_thread(row.get)).address == LOOPBACK
        async with deployment.http() as client:
            headers = {"Authorization": f"Bearer {token}", **spoofed}
            assert (await client.get("/api/v1/clients/", headers=headers)).status_code == 200
            sign_in = await client.get("/login/", headers=spoofed)
            assert sign_in.status_code == 200
            assert "evil" not in sign_in.text + str(sign_in.headers)

    async def test_the_answers_are_those_of_a_safe_site(self, deployment):
        async with deployment.http() as client:
            page = await client.get("/", follow_redirects=True)
            assert page.headers["strict-transport-security"].startswith("max-age=31536000")
            assert "script-src 'self'" in page.headers["content-security-policy"]
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["x-content-type-options"] == "nosniff"
            cookies = [cookie for name, cookie in page.headers.multi_items() if name == "set-cookie"]
            assert cookies
            assert all("Secure" in cookie and "SameSite=Lax" in cookie for cookie in cookies)
            for path in ("/metrics", "/healthz", "/readyz"):
                assert (await client.get(path)).status_code == 404
            assert (await client.get("/static/probe.txt")).text == "a static file"
            foreign = await client.get("/", headers={"Host": "evil.example"})
            assert foreign.status_code == 400
        async with httpx.AsyncClient() as plain:
            answer = await plain.get(f"http://{LOOPBACK}:{deployment.nginx.port + 1}/api/v1/clients/?x=1")
            assert answer.status_code == 301
            assert answer.headers["location"] == f"https://{HOST}/api/v1/clients/?x=1"

    async def test_sign_ins_of_a_network_are_limited_and_nothing_else_is(self, deployment, in_thread):
        tenant = (await in_thread(two_tenants))[0]
        headers = {"Authorization": f"Bearer {token_for(tenant.client_user)}"}
        async with deployment.http() as client:
            tried = await asyncio.gather(
                *(client.post("/api/v1/auth/token/", json={"username": f"n{n}"}) for n in range(45))
            )
            refused = [answer for answer in tried if answer.status_code == 429]
            assert {answer.status_code for answer in tried} == {400, 429}
            # nginx lets 31 of the network through at once; the portal itself refuses some of those where it is busy.
            by_nginx = [answer for answer in refused if answer.headers["Retry-After"] == "10"]
            assert len(by_nginx) >= 10
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
            others = await asyncio.gather(*(client.get("/api/v1/me", headers=headers) for _ in range(45)))
            assert {answer.status_code for answer in others} == {200}

    async def test_neighbours_ask_a_process_itself(self, deployment, in_thread):
        tenant = (await in_thread(two_tenants))[0]
        token = websockets.Subprotocol(f"bearer.{token_for(tenant.client_user)}")
        async with deployment.connect("/ws/engagement", subprotocols=[token]), httpx.AsyncClient() as client:
            texts = []
            for process in deployment.processes:
                answer = await client.get(f"http://{LOOPBACK}:{process.port}/metrics")
                assert answer.status_code == 200
                texts.append(answer.text)
            assert [total(text, "realtime_connections", scope="client") for text in texts] == [1, 1]
