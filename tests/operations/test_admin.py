"""The admin of delivery: every page opens, a tenant's staff see their tenant's rows, nothing can be edited, and what is
asked of processes reaches them."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from engagement.models import Alert, Interaction
from realtime.admin import base, connections
from realtime.models import Asked, Bookmark, DeadLetter, Event, LiveConnection, Log, Outbox, ServerProcess
from realtime.protocol import groups
from tests.conftest import StartPortal
from tests.factories import AlertFactory, ApplicationFactory, SuperuserFactory, UserFactory, two_tenants
from tests.live import wait_until
from tests.operations.test_metrics import place
from tests.sockets import Socket, token_for


@pytest.fixture(autouse=True)
def no_server_to_wait_for(request, monkeypatch):
    """A list waits for what processes tell of their connections; here is mostly none."""
    if request.cls is not TestOnARealServer:
        monkeypatch.setattr(connections, "REPORT_SECONDS", 0.05)


POSITIONS = itertools.count(1_000_000)
"""Of events made by hand: above those of what the publisher takes meanwhile."""

MODELS = [model for model in admin.site._registry if model.__module__.startswith("realtime.")]


def as_staff(user) -> Browser:
    user.is_staff = True
    user.save(update_fields=["is_staff"])  # access does not depend on it: nothing is told
    browser = Browser()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def url(model, page="changelist", *args):
    return reverse(f"admin:realtime_{model._meta.model_name}_{page}", args=args)


def shown(response) -> set:
    return {row.pk for row in response.context["cl"].result_list}


def connection_of(user, client=None, msp=None, *, process=None, **fields) -> LiveConnection:
    """Make an open connection of `user`, to a client or to all of an MSP's."""
    process = process or ServerProcess.objects.create(host="web1", pid=4711)
    return LiveConnection.objects.create(
        id=uuid.uuid4(),
        process=process,
        user=user,
        role=user.role,
        scope="client" if client else "msp",
        msp_id=client.msp_id if client else msp.pk,
        client_id=client.pk if client else None,
        address="192.0.2.1",
        encoding="compliance.v1",
        opened_at=timezone.now() - timedelta(minutes=5),
        **fields,
    )


def one_of_each(tenant) -> dict[type, object]:
    """Make a row of every model, all of them of a tenant's first client."""
    position = next(POSITIONS)
    place = {"client_id": tenant.client.pk, "msp_id": tenant.msp.pk}
    event = Event.objects.create(
        position=position,
        type="alert",
        client_seq=position,
        msp_seq=position,
        occurred_at=timezone.now(),
        data="{}",
        **place,
    )
    connection = connection_of(tenant.client_user, tenant.client)
    return {
        Event: event,
        Outbox: Outbox.objects.create(
            tx=uuid.uuid4(),
            kind="engagement",
            facts='{"subject": "application", "id": "' + str(uuid.uuid4()) + '"}',
            **place,
        ),
        DeadLetter: DeadLetter.objects.create(
            tx=uuid.uuid4(), kind="alert", facts="{", error_class="DecodeError", error="malformed", **place
        ),
        LiveConnection: connection,
        ServerProcess: connection.process,
    }


def key_of(event: Event) -> str:
    """Return the name of an event in addresses."""
    return f"{event.client_id}.{event.client_seq}"


@pytest.fixture
def tenants(transactional_db):
    return two_tenants()


@pytest.fixture
def mine(tenants):
    return tenants[0]


@pytest.fixture
def superuser(transactional_db):
    return as_staff(SuperuserFactory())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
class TestEveryPage:
    def test_opens_for_a_superuser(self, superuser, mine, model):
        row = one_of_each(mine)[model]
        for page in (url(model), f"{url(model)}?q=1", url(model, "change", row.pk)):
            assert superuser.get(page).status_code == 200, page

    def test_edits_nothing(self, superuser, mine, model):
        row = one_of_each(mine)[model]
        assert superuser.get(url(model, "add")).status_code == 403
        assert superuser.get(url(model, "delete", row.pk)).status_code == 403
        assert superuser.post(url(model, "change", row.pk), {}).status_code == 403

    def test_lists_do_not_query_by_row(
        self, superuser, mine, model, django_assert_max_num_queries, monkeypatch
    ):
        monkeypatch.setattr(connections, "REPORT_SECONDS", 0)  # nobody is there to tell figures
        for _ in range(6):
            one_of_each(mine)
        with django_assert_max_num_queries(20):
            superuser.get(url(model))

    def test_a_tenants_staff_see_their_own_rows_only(self, tenants, model):
        mine, other = tenants
        own, foreign = one_of_each(mine)[model], one_of_each(other)[model]
        browser = as_staff(mine.msp_admin)
        if model in {DeadLetter, Outbox, ServerProcess}:
            assert browser.get(url(model)).status_code == 403
            return
        seen = shown(browser.get(url(model)))
        assert own.pk in seen
        assert foreign.pk not in seen
        keys = [key_of(row) if model is Event else row.pk for row in (own, foreign)]
        assert browser.get(url(model, "change", keys[0])).status_code == 200
        assert browser.get(url(model, "change", keys[1])).status_code in (302, 403)

    def test_is_closed_to_staff_without_a_tenant(self, transactional_db, model):
        browser = as_staff(UserFactory(role=""))
        assert browser.get(url(model)).status_code == 403


class TestNumbersAcrossTenants:
    """How much happens at others can be counted by a number that all share: only superusers see those."""

    PLACE = 8_765_432_100

    @pytest.fixture
    def event(self, mine):
        place = {"position": self.PLACE + 1, "msp_seq": self.PLACE + 2, "client_seq": 7}
        return Event.objects.create(
            type="alert",
            client_id=mine.client.pk,
            msp_id=mine.msp.pk,
            occurred_at=timezone.now(),
            data="{}",
            **place,
        )

    @pytest.fixture(params=["client_user", "client_admin", "msp_user", "msp_admin"])
    def staff(self, request, mine):
        return as_staff(getattr(mine, request.param))

    def test_no_page_shows_them(self, staff, event):
        for page in (url(Event), f"{url(Event)}?q=7", url(Event, "change", key_of(event))):
            answer = staff.get(page)
            assert answer.status_code == 200
            assert str(self.PLACE)[:-3] not in answer.content.decode()
        assert key_of(event) in staff.get(url(Event)).content.decode()

    @pytest.mark.parametrize(
        "query", ["position__gte=1", "pk__gt=1", "msp_seq=1", "msp_seq__range=1,2", "position__in=1"]
    )
    def test_no_filter_tells_them(self, staff, event, query):
        assert staff.get(f"{url(Event)}?{query}").status_code == 400

    @pytest.mark.parametrize("number", [PLACE + 1, PLACE + 2])
    def test_no_search_and_no_address_finds_by_them(self, staff, event, number):
        assert shown(staff.get(f"{url(Event)}?q={number}")) == set()
        assert staff.get(url(Event, "change", number)).status_code == 302

    @pytest.mark.parametrize("key", ["7", "x.7", "{client}.", "{client}.x", "{client}.99", "{client}.-7"])
    def test_an_address_that_cannot_be_is_sent_back(self, staff, event, key):
        address = url(Event, "change", key.format(client=event.client_id))
        assert staff.get(address).status_code == 302

    def test_a_permission_does_not_open_the_outbox(self, mine):
        mine.client_admin.user_permissions.add(
            *Permission.objects.filter(codename__in=["view_outbox", "view_deadletter"])
        )
        browser = as_staff(mine.client_admin)
        for model in (Outbox, DeadLetter):
            assert browser.get(url(model)).status_code == 403

    def test_a_superuser_sees_them(self, superuser, event):
        html = superuser.get(url(Event, "change", event.pk)).content.decode()
        assert str(self.PLACE + 1) in html
        assert str(self.PLACE + 2) in html
        assert superuser.get(url(Event, "change", key_of(event))).status_code == 200


class TestTheEventLog:
    def test_the_payload_is_pretty_and_escaped(self, superuser, mine):
        AlertFactory(client=mine.client, details="<script>alert(1)</script>")
        place()
        event = Event.objects.get()
        html = superuser.get(url(Event, "change", event.pk)).content.decode()
        assert '<pre class="payload">{' in html
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html

    def test_it_filters_by_type_client_and_date_and_finds_positions(self, superuser, mine):
        AlertFactory(client=mine.client)
        AlertFactory(client=mine.clients[1])
        place()
        first, second = Event.objects.order_by("position")

        def found(query):
            return shown(superuser.get(f"{url(Event)}?{query}"))

        assert found("type=alert") == {first.pk, second.pk}
        assert found("type=interaction_update") == set()
        assert found(f"client={mine.client.pk}") == {first.pk}
        assert found("client=nonsense") == set()
        assert found(f"q={second.position}") == {second.pk}
        assert found("q=abc") == set()
        assert found("occurred_at__gte=2000-01-01+00:00:00%2B00:00") == {first.pk, second.pk}
        assert found("occurred_at__lt=2000-01-01+00:00:00%2B00:00") == set()

    def test_it_tells_how_many_could_and_did_receive_an_event(self, superuser, mine):
        AlertFactory(client=mine.client)
        place()
        event = Event.objects.get()
        connection_of(mine.client_user, mine.client)
        connection_of(mine.msp_user, msp=mine.msp)
        connection_of(mine.client_user, mine.client, closed_at=timezone.now() - timedelta(minutes=2))
        epoch = str(Log.current().epoch)
        for user, position in (
            (mine.client_user, event.client_seq),
            (mine.client_admin, event.client_seq - 1),
        ):
            Bookmark.objects.create(
                user=user, stream=groups.client(mine.client.pk), position=position, epoch=epoch
            )
        html = superuser.get(url(Event, "change", event.pk)).content.decode()
        assert figure(html, "connected_then") == "2"
        assert figure(html, "confirmed_by") == "1"

    def test_a_long_log_is_counted_up_to_a_bound(self, superuser, mine, monkeypatch):
        monkeypatch.setattr(base, "MOST_LISTED", 2)
        AlertFactory.create_batch(5, client=mine.client)
        place()
        assert superuser.get(url(Event)).context["cl"].result_count == 2


def figure(html: str, field: str) -> str:
    (found,) = re.findall(rf'field-{field}.*?<div class="readonly">(.*?)</div>', html, re.DOTALL)
    return found


class TestConnections:
    def test_a_clients_staff_do_not_learn_who_of_the_msp_watches(self, mine):
        own = connection_of(mine.client_user, mine.client)
        watching = connection_of(mine.msp_user, mine.client)
        seen = shown(as_staff(mine.client_admin).get(url(LiveConnection)))
        assert own.pk in seen
        assert watching.pk not in seen
        assert watching.pk in shown(as_staff(mine.msp_admin).get(url(LiveConnection)))

    def test_the_list_shows_open_ones_and_on_request_the_watch_log(self, superuser, mine):
        opened = connection_of(mine.client_user, mine.client)
        closed = connection_of(mine.client_user, mine.client, closed_at=timezone.now(), close_code=1000)
        silent = ServerProcess.objects.create(
            host="dead", pid=1, heartbeat_at=timezone.now() - timedelta(hours=1)
        )
        vanished = connection_of(mine.client_user, mine.client, process=silent)
        assert shown(superuser.get(url(LiveConnection))) == {opened.pk}
        assert shown(superuser.get(f"{url(LiveConnection)}?state=closed")) == {closed.pk}
        everything = {opened.pk, closed.pk, vanished.pk}
        assert shown(superuser.get(f"{url(LiveConnection)}?state=all")) == everything

    def test_a_look_at_the_list_asks_for_figures(self, superuser, mine, settings):
        connection = connection_of(mine.client_user, mine.client)
        superuser.get(url(LiveConnection))
        connection.refresh_from_db()
        assert connection.asked == Asked.REPORT

    @pytest.mark.parametrize(
        ("role", "allowed"),
        [("msp_admin", True), ("client_admin", True), ("msp_user", False), ("client_user", False)],
    )
    def test_who_may_disconnect(self, mine, role, allowed):
        connection = connection_of(mine.client_user, mine.client)
        form = {"action": "disconnect", "_selected_action": [str(connection.pk)]}
        as_staff(mine.users[role]).post(url(LiveConnection), form)
        connection.refresh_from_db()
        assert (connection.asked == Asked.CLOSE) is allowed

    def test_nobody_disconnects_anothers_tenant(self, tenants):
        mine, other = tenants
        connection = connection_of(other.client_user, other.client)
        form = {"action": "disconnect", "_selected_action": [str(connection.pk)]}
        as_staff(mine.msp_admin).post(url(LiveConnection), form)
        connection.refresh_from_db()
        assert connection.asked == Asked.NOTHING


class TestOverview:
    def data(self, browser):
        return browser.get(reverse("admin:realtime_overview_data")).json()

    def test_the_page_has_no_inline_script_or_style(self, superuser):
        answer = superuser.get(reverse("admin:realtime_overview"))
        html = answer.content.decode()
        assert "realtime_admin/overview.js" in html
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", html)
        assert "script-src 'self'" in answer["Content-Security-Policy"]

    def test_it_counts_what_the_viewer_sees(self, tenants, superuser):
        mine, other = tenants
        for tenant in tenants:
            AlertFactory(client=tenant.client)
            connection_of(tenant.client_user, tenant.client)
        connection_of(mine.client_user, mine.client)
        place()
        everything, own = self.data(superuser), self.data(as_staff(mine.msp_admin))
        assert everything["connections"] == 3
        assert own["connections"] == 2
        assert own["users"] == 1
        assert everything["events"]["by_type"] == {"alert": 2}
        assert own["events"]["by_type"] == {"alert": 1}
        assert sum(own["events"]["by_second"]) == 1
        assert own["clients"] == [{"name": mine.client.name, "connections": 2}]
        assert len(everything["processes"]) == 3
        assert own["processes"] is None
        assert other.client.name not in json.dumps(own)

    @pytest.mark.parametrize("page", ["realtime_overview", "realtime_overview_data", "engagement_test_event"])
    def test_it_is_closed_to_others(self, mine, page):
        assert as_staff(mine.client_user).get(reverse(f"admin:{page}")).status_code == 403
        assert Browser().get(reverse(f"admin:{page}")).status_code == 302


class TestATestEvent:
    def send(self, browser, **fields):
        form = {"kind": "alert", "severity": "high", "details": "from a test", "count": 3, "application": ""}
        return browser.post(reverse("admin:engagement_test_event"), form | fields)

    def test_an_alert_is_raised(self, mine):
        ApplicationFactory(client=mine.client, name="ChatGPT")
        assert (
            self.send(as_staff(mine.msp_admin), client=mine.client.pk, application="chatgpt").status_code
            == 302
        )
        alert = Alert.objects.get()
        assert (alert.client, alert.severity, alert.details) == (mine.client, "high", "from a test")
        assert alert.application.name == "ChatGPT"

    def test_an_interaction_is_recorded(self, mine):
        ApplicationFactory(client=mine.client)
        self.send(as_staff(mine.client_admin), client=mine.client.pk, kind="interaction")
        assert Interaction.objects.get().count == 3

    def test_another_tenants_client_is_no_choice(self, tenants):
        mine, other = tenants
        answer = self.send(as_staff(mine.msp_admin), client=other.client.pk)
        assert answer.context["form"].errors.keys() == {"client"}
        assert not Alert.objects.exists()

    def test_an_unknown_application_is_said_with_those_there_are(self, mine):
        ApplicationFactory(client=mine.client, name="Copilot")
        answer = self.send(as_staff(mine.msp_admin), client=mine.client.pk, application="Nope")
        assert "Copilot" in str(answer.context["form"].errors)


@pytest.mark.slow
class TestOnARealServer:
    async def test_disconnect_closes_the_socket_and_the_figures_are_told(
        self, portal_server: StartPortal, in_thread
    ):
        portal = await in_thread(
            portal_server, env={"REALTIME_HEARTBEAT": "1", "REALTIME_SWEEP_LOCAL": "0.1"}
        )
        tenant = (await in_thread(two_tenants))[0]
        browser = await in_thread(as_staff, tenant.msp_admin)
        async with Socket(f"{portal.ws_url}/ws/engagement", token=token_for(tenant.msp_user)) as socket:
            await in_thread(AlertFactory, client=tenant.client)
            await socket.events(1)
            row = LiveConnection.objects.filter(pk=socket.hello["connection_id"])
            await in_thread(wait_until, row.exists, "the connection has no row")

            def told() -> bool:
                html = browser.get(url(LiveConnection)).content.decode()
                return "1 / 0" in html

            await in_thread(wait_until, told, "the list never showed what was sent", 10)
            form = {"action": "disconnect", "_selected_action": [socket.hello["connection_id"]]}
            await in_thread(browser.post, url(LiveConnection), form)
            code, reason = await socket.closed(10)
            assert code == 4003
            assert reason.startswith("Disconnected by an administrator")

    async def test_drain_hands_over_and_stops_the_process(
        self, portal_server: StartPortal, in_thread, superuser
    ):
        portal = await in_thread(portal_server, env={"REALTIME_HEARTBEAT": "1"})
        tenant = (await in_thread(two_tenants))[0]
        async with Socket(f"{portal.ws_url}/ws/engagement", token=token_for(tenant.msp_user)) as socket:
            live = ServerProcess.objects.live().filter(pid=portal.pid)  # not those that other tests share
            await in_thread(wait_until, live.exists, "no process row")
            process = await in_thread(live.get)
            form = {"action": "drain", "_selected_action": [str(process.pk)]}
            await in_thread(superuser.post, url(ServerProcess), form)
            assert (await socket.closed(10))[0] == 1012
        await in_thread(wait_until, lambda: not portal.is_running(), "the process did not stop", 15)
