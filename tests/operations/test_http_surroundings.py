"""What surrounds the views: probes by address, nothing cached, odd database addresses, a pooler, a full disk."""

from __future__ import annotations

import io

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError
from django.test import AsyncClient
from django.test import Client as Browser

from compliance_portal.settings import database
from engagement.admin.export import newest_first
from engagement.models import Alert
from realtime import health
from realtime.management.commands.serve import Command as Serve
from realtime.management.console import PortalCommand
from tests.factories import AlertFactory, UserFactory, two_tenants
from tests.sockets import token_for


@pytest.fixture
def fresh_health(monkeypatch):
    monkeypatch.setattr(health, "_written", {"at": float("-inf"), "ok": True})


@pytest.mark.django_db(transaction=True)
class TestProbes:
    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
    async def test_any_host_may_be_asked_for(self, path, settings, fresh_health):
        settings.ALLOWED_HOSTS = ["portal.example.com"]
        settings.SECURE_SSL_REDIRECT = True
        answer = await AsyncClient(headers={"Host": "10.1.2.3:8000"}, REMOTE_ADDR="127.0.0.1").get(path)
        assert answer.status_code == 200, answer.content

    def test_pages_still_ask_for_the_host(self, settings):
        settings.ALLOWED_HOSTS = ["portal.example.com"]
        assert Browser(headers={"Host": "10.1.2.3:8000"}).get("/login/").status_code == 400

    async def test_a_database_that_takes_no_writes_is_not_ready(self, monkeypatch, fresh_health):
        def full(*_, **__):
            raise OperationalError("could not extend file: No space left on device")

        assert (await AsyncClient().get("/readyz")).json()["database"] == "ok"
        monkeypatch.setattr(health, "_written", {"at": float("-inf"), "ok": True})
        monkeypatch.setattr("realtime.models.connections.ProcessQuerySet.update", full)
        answer = await AsyncClient().get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["database"] == "takes no writes"

    async def test_a_layer_that_brings_nothing_back_is_away(self, monkeypatch, settings):
        class Deaf:
            async def new_channel(self):
                return "deaf"

            async def group_add(self, *_):
                raise PermissionError("NOPERM this user has no permissions to access one of the channels")

            async def group_send(self, *_):
                return None

            async def receive(self, *_):
                raise RuntimeError

        monkeypatch.setattr(health.announcing, "is_shared", lambda: True)
        monkeypatch.setattr(health, "get_channel_layer", Deaf)
        assert await health.layer() == "away"

    async def test_a_layer_that_works_is_ok_and_keeps_nothing(self, monkeypatch):
        from channels.layers import get_channel_layer

        def kept() -> list[set[str]]:
            inner = getattr(get_channel_layer(), "_layers", None)
            found = [layer.channels for layer in inner.values()] if inner else [get_channel_layer().groups]
            return [set(names) for names in found]

        monkeypatch.setattr(health.announcing, "is_shared", lambda: True)
        assert await health.layer() == "ok"
        before = kept()
        for _ in range(3):
            assert await health.layer() == "ok"
        assert kept() == before


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    ["/login/", "/alerts/", "/api/v1/alerts/", "/api/v1/me", "/admin/engagement/alert/", "/nothing", "/app/"],
)
def test_nothing_is_kept(path):
    tenant = two_tenants()[0]
    browser = Browser(headers={"Authorization": f"Bearer {token_for(tenant.msp_admin)}"})
    browser.force_login(tenant.msp_admin, backend="django.contrib.auth.backends.ModelBackend")
    assert "no-store" in browser.get(path)["Cache-Control"]


class TestDatabaseAddress:
    def test_a_pool_keeps_connections_as_long_as_the_address_says(self):
        config = database("postgres://u:p@h/d?conn_max_age=600")
        assert "CONN_MAX_AGE" not in config
        assert config["OPTIONS"]["pool"]["max_lifetime"] == 600
        assert database("postgres://u:p@h/d")["OPTIONS"]["pool"]["max_lifetime"] == 1800

    @pytest.mark.parametrize(
        "url", ["postgres://u:p@h/d?atomic_requests=true", "sqlite:////tmp/d?atomic_requests=true"]
    )
    def test_no_transaction_is_around_a_request(self, url):
        assert database(url)["ATOMIC_REQUESTS"] is False

    def test_a_pooler_gets_no_plans_and_no_cursors(self, monkeypatch):
        monkeypatch.setenv("DATABASE_PREPARE_AFTER", "0")
        config = database("postgres://u:p@h/d")
        assert config["DISABLE_SERVER_SIDE_CURSORS"]
        assert config["OPTIONS"]["prepare_threshold"] is None

    @pytest.mark.parametrize(
        "error", [psycopg.errors.DuplicatePreparedStatement, psycopg.errors.InvalidCursorName]
    )
    def test_a_command_behind_a_pooler_says_what_to_set(self, error):
        class Command(PortalCommand):
            requires_system_checks = []

            def handle(self, *args, **options):
                raise ProgrammingError("it exists") from error("it exists")

        with pytest.raises(CommandError, match="needs DATABASE_PREPARE_AFTER=0"):
            call_command(Command())

    def test_a_commands_error_does_not_steer_the_terminal(self):
        class Command(PortalCommand):
            requires_system_checks = []

            def handle(self, *args, **options):
                raise CommandError("no client \x1b[2J\u202e")

        with pytest.raises(CommandError) as refused:
            call_command(Command())
        assert str(refused.value) == r"no client \u001b[2J\u202e"


@pytest.mark.django_db
def test_an_export_reads_page_by_page_and_leaves_nothing_out(monkeypatch):
    monkeypatch.setattr("engagement.admin.export.ROWS_AT_A_TIME", 3)
    client = two_tenants()[0].client
    same = AlertFactory(client=client).created_at
    AlertFactory.create_batch(6, client=client, created_at=same)
    AlertFactory.create_batch(3, client=client)
    rows = list(newest_first(Alert.objects.all()))
    assert [row.pk for row in rows] == [row.pk for row in Alert.objects.order_by("-created_at", "-pk")]
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("host", "debug", "warned"),
    [("0.0.0.0", True, True), ("::", True, True), ("127.0.0.1", True, False), ("0.0.0.0", False, False)],
)
def test_serving_development_to_others_warns(settings, host, debug, warned):
    settings.DEBUG = debug
    command = Serve(stderr=io.StringIO(), no_color=True)
    command._warn_of_debug(host)
    assert ("WARNING: DEBUG is on" in command.stderr._out.getvalue()) is warned


@pytest.mark.django_db
def test_events_are_paged_by_bytes_too(monkeypatch):
    from realtime.api import views
    from realtime.models import Event, Stream

    monkeypatch.setattr(views, "MAX_BYTES", 1000)
    user = UserFactory(role="client_user")
    key = user.client_id
    now = AlertFactory().created_at
    Event.objects.bulk_create(
        Event(
            position=10_000_000 + n, type="alert", client_id=key, client_seq=n, msp_id=None, msp_seq=None,
            occurred_at=now, data=f'"{"x" * 398}"',
        )
        for n in range(1, 6)
    )  # fmt: skip
    Stream.objects.create(name=f"client.{key}", position=5)
    browser, after, sizes = Browser(headers={"Authorization": f"Bearer {token_for(user)}"}), 0, []
    while after < 5:
        page = browser.get(f"/api/v1/clients/{key}/events?after={after}").json()
        sizes.append(len(page["events"]))
        after = page["events"][-1]["seq"]
    assert sizes == [2, 2, 1]
    monkeypatch.setattr(views, "MAX_BYTES", 10)
    assert len(browser.get(f"/api/v1/clients/{key}/events?after=0").json()["events"]) == 1
