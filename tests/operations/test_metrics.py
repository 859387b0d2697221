"""`/metrics`: who may see it, what it says, and how several processes add up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from django.test import Client as Browser
from django.test import override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from realtime import metrics, metrics_endpoint
from realtime.events import placing
from realtime.models import Event, Log, Outbox
from realtime.protocol.closing import CloseCode
from tests.conftest import StartPortal
from tests.factories import AlertFactory, UserFactory
from tests.live import wait_until
from tests.sockets import Socket, token_for


def place() -> None:
    """Place what was recorded. The log's row first: a shared server of this run may be making it at this moment."""
    Log.current()
    placing.place(100, "default")


TOKEN = "a-token-for-prometheus-0123456789"
ROOT = Path(__file__).resolve().parents[2]


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample of an exposition, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(text: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that carry these labels."""
    return sum(
        value
        for (found, carried), value in samples(text).items()
        if found == name and labels.items() <= dict(carried).items()
    )


@pytest.mark.django_db(transaction=True)
class TestWhoMaySeeThem:
    def get(self, **headers: str) -> int:
        return Browser().get("/metrics", **headers).status_code

    def test_this_machine_may(self):
        assert self.get(REMOTE_ADDR="127.0.0.1") == 200
        assert self.get(REMOTE_ADDR="::1") == 200

    @pytest.mark.parametrize("address", ["10.0.0.7", "203.0.113.5", "", "unix"])
    def test_others_may_not(self, address):
        assert self.get(REMOTE_ADDR=address) == 403

    @pytest.mark.parametrize(
        "header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"]
    )
    def test_a_proxy_on_this_machine_makes_nobody_local(self, header):
        assert self.get(REMOTE_ADDR="127.0.0.1", **{header: "127.0.0.1"}) == 403

    def test_the_token_lets_in_from_anywhere(self):
        with override_settings(METRICS_TOKEN=TOKEN):
            assert self.get(REMOTE_ADDR="10.0.0.7", HTTP_AUTHORIZATION=f"Bearer {TOKEN}") == 200
            assert self.get(REMOTE_ADDR="10.0.0.7", HTTP_AUTHORIZATION="Bearer wrong") == 403
            assert self.get(REMOTE_ADDR="10.0.0.7", HTTP_AUTHORIZATION=f"Basic {TOKEN}") == 403
            assert self.get(REMOTE_ADDR="10.0.0.7") == 403

    def test_no_token_set_is_no_empty_token(self):
        with override_settings(METRICS_TOKEN=""):
            assert self.get(REMOTE_ADDR="10.0.0.7", HTTP_AUTHORIZATION="Bearer ") == 403


@pytest.mark.django_db(transaction=True)
class TestState:
    def read(self) -> str:
        return Browser().get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()

    def test_the_outbox_age_is_that_of_the_oldest_unplaced_change(self):
        AlertFactory()
        place()
        Outbox.objects.all().delete()
        assert total(self.read(), "realtime_outbox_age_seconds") == 0
        old = timezone.now() - timezone.timedelta(seconds=90)
        Outbox.objects.create(tx="0" * 32, kind="alert", facts="{}", recorded_at=old)
        Outbox.objects.create(tx="1" * 32, kind="alert", facts="{}")
        text = self.read()
        assert 90 <= total(text, "realtime_outbox_age_seconds") < 120
        assert total(text, "realtime_outbox_rows") == 2

    def test_the_log_and_the_services_are_told(self):
        AlertFactory()
        place()
        text = self.read()
        assert total(text, "realtime_log_position") >= Event.objects.count() >= 1
        assert total(text, "realtime_database_up") == 1
        assert total(text, "realtime_channel_layer_up") == 1

    async def test_a_database_that_is_away_is_told_and_nothing_made_up(self, monkeypatch):
        def away(layer_up: bool) -> metrics_endpoint.State:
            from django.db import OperationalError

            raise OperationalError("away")

        monkeypatch.setattr(metrics_endpoint, "_read_rows", away)
        state = await metrics_endpoint.read_state()
        text = metrics_endpoint.exposition(state).decode()
        assert total(text, "realtime_database_up") == 0
        assert "realtime_outbox_age_seconds" not in text


def test_a_close_code_that_a_client_made_up_makes_no_series():
    assert metrics.code_label(4777) == "other"
    assert {metrics.code_label(code) for code in CloseCode} == {str(int(code)) for code in CloseCode}


def test_every_metric_says_what_it_is_and_is_named_as_prometheus_wants():
    for name, metric in vars(metrics).items():
        if not hasattr(metric, "_documentation"):
            continue
        assert re.fullmatch(r"realtime_[a-z_]+", metric._name), name
        assert metric._documentation.strip(), name


PROCESS = """
import sys
from realtime import metrics
metrics.doubles.inc(int(sys.argv[1]))
metrics.connections.labels("msp", sys.argv[2]).set(int(sys.argv[1]))
metrics.to_hub.observe(0.02)
"""


def run_process(folder: Path, count: int, name: str) -> None:
    subprocess.run(
        [sys.executable, "-c", PROCESS, str(count), name],
        cwd=ROOT,
        env={**os.environ, metrics_endpoint.FILES: str(folder)},
        check=True,
        timeout=60,
    )


def test_counters_of_processes_add_up_and_outlive_them_gauges_go_with_them(tmp_path, monkeypatch):
    run_process(tmp_path, 2, "a")
    run_process(tmp_path, 3, "b")
    monkeypatch.setenv(metrics_endpoint.FILES, str(tmp_path))
    text = metrics_endpoint.exposition(metrics_endpoint.State(layer_up=True)).decode()
    assert total(text, "realtime_doubles_dropped_total") == 5
    assert total(text, "realtime_commit_to_hub_seconds_count") == 2
    assert "realtime_connections{" not in text  # both are gone


@pytest.mark.slow
async def test_two_processes_of_one_serve_answer_for_both(portal_server: StartPortal, in_thread):
    portal = await in_thread(portal_server, processes=2)
    user = await in_thread(UserFactory)
    sockets = []
    for _ in range(6):
        socket = Socket(f"{portal.ws_url}/ws/engagement", token=token_for(user))
        sockets.append(await socket.__aenter__())
    try:

        def counted() -> bool:
            text = httpx.get(f"{portal.url}/metrics").text
            opened = total(text, "realtime_connections_opened_total", scope="msp")
            return opened == total(text, "realtime_connections", scope="msp") == 6

        await in_thread(wait_until, counted, "the six connections never showed in /metrics", 15)
        text = (await in_thread(httpx.get, f"{portal.url}/metrics")).text
        processes = {
            dict(labels)["process"]
            for (name, labels), _ in samples(text).items()
            if name == "realtime_process_start_time_seconds"
        }
        assert 1 <= len(processes) <= 2  # a process shows with its first socket
    finally:
        for socket in sockets:
            await socket.raw.close()
