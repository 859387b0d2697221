"""The REST API through the front door."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.tokens import RefreshToken

from engagement import actions, figures
from engagement.api import base, urls
from engagement.api.alerts import AlertListView
from engagement.api.clients import DashboardView
from engagement.models import Alert, Engagement, Interaction, User
from tests.factories import (
    PASSWORD,
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    InteractionFactory,
    SuperuserFactory,
    UserFactory,
    two_tenants,
)

pytestmark = pytest.mark.django_db

V1 = "/api/v1"


def as_user(user: User) -> Browser:
    return Browser(headers={"Authorization": f"Bearer {RefreshToken.for_user(user).access_token}"})


def post(browser: Browser, path: str, body: object):
    return browser.post(f"{V1}{path}", json.dumps(body), content_type="application/json")


def patch(browser: Browser, path: str, body: object):
    return browser.patch(f"{V1}{path}", json.dumps(body), content_type="application/json")


@pytest.fixture
def tenants():
    return two_tenants()


@pytest.fixture
def mine(tenants):
    return tenants[0]


@pytest.fixture
def other(tenants):
    return tenants[1]


@pytest.fixture
def browser(mine):
    return as_user(mine.client_user)


class TestTokens:
    def sign_in(self, username, password=PASSWORD):
        return post(Browser(), "/auth/token/", {"username": username, "password": password})

    def test_a_token_obtained_with_a_password_opens_the_api(self, mine):
        answer = self.sign_in(mine.client_user.username)
        assert answer.status_code == 200
        browser = Browser(headers={"Authorization": f"Bearer {answer.json()['access']}"})
        assert browser.get(f"{V1}/me").json()["username"] == mine.client_user.username

    def test_wrong_password_unknown_and_inactive_user_answer_alike(self, mine):
        inactive = UserFactory(is_active=False)
        answers = [
            self.sign_in(mine.client_user.username, "wrong"),
            self.sign_in("nobody"),
            self.sign_in(inactive.username),
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.content for answer in answers}) == 1
        assert "Wrong username or password" in answers[0].json()["detail"]

    def test_too_many_failures_lock_the_door_with_a_clear_answer(self, mine, settings):
        settings.AXES_FAILURE_LIMIT = 3
        name = mine.client_user.username
        assert [self.sign_in(name, "wrong").status_code for _ in range(3)] == [401, 401, 429]
        locked = self.sign_in(name)
        assert locked.status_code == 429
        assert locked.headers["Content-Type"] == "application/json"
        assert locked.json() == {
            "detail": "Too many failed sign-ins: wait a while, then try again.",
            "code": "locked_out",
        }
        assert self.sign_in(mine.msp_user.username).status_code == 200

    def test_a_success_forgets_earlier_failures(self, mine, settings):
        settings.AXES_FAILURE_LIMIT = 3
        name = mine.client_user.username
        for _ in range(2):
            assert [self.sign_in(name, "wrong").status_code for _ in range(2)] == [401, 401]
            assert self.sign_in(name).status_code == 200

    def test_missing_fields_are_named(self):
        answer = post(Browser(), "/auth/token/", {"username": "ana"})
        assert answer.status_code == 400
        assert answer.json() == {
            "detail": "password: This field is required.",
            "code": "invalid",
            "errors": {"password": ["This field is required."]},
        }

    def test_refreshing(self, mine):
        refresh = str(RefreshToken.for_user(mine.client_user))
        answer = post(Browser(), "/auth/token/refresh/", {"refresh": refresh})
        assert answer.status_code == 200
        browser = Browser(headers={"Authorization": f"Bearer {answer.json()['access']}"})
        assert browser.get(f"{V1}/me").status_code == 200

    @pytest.mark.parametrize("what", ["deleted", "inactive", "new password", "access token", "nonsense"])
    def test_a_refresh_token_that_does_not_hold_is_401(self, what):
        user = UserFactory()
        token = str(RefreshToken.for_user(user))
        if what == "deleted":
            user.delete()
        elif what == "inactive":
            User.objects.update(is_active=False)
        elif what == "new password":
            user.set_password("another")
            user.save()
        elif what == "access token":
            token = str(RefreshToken.for_user(user).access_token)
        else:
            token = "x.y.z"
        answer = post(Browser(), "/auth/token/refresh/", {"refresh": token})
        assert answer.status_code == 401
        assert set(answer.json()) == {"detail", "code"}

    @pytest.mark.parametrize("token", ["x.y.z", "refresh", "deleted", "inactive"])
    def test_an_access_token_that_does_not_hold_is_401(self, token):
        user = UserFactory()
        tokens = RefreshToken.for_user(user)
        raw = {"x.y.z": "x.y.z", "refresh": str(tokens)}.get(token, str(tokens.access_token))
        if token == "deleted":
            user.delete()
        elif token == "inactive":
            User.objects.update(is_active=False)
        answer = Browser(headers={"Authorization": f"Bearer {raw}"}).get(f"{V1}/me")
        assert answer.status_code == 401
        assert set(answer.json()) == {"detail", "code"}


class TestMe:
    def test_of_each_kind_of_user(self, mine):
        answer = as_user(mine.client_user).get(f"{V1}/me/").json()
        assert answer == {
            "id": str(mine.client_user.pk),
            "username": mine.client_user.username,
            "name": mine.client_user.username,
            "email": mine.client_user.email,
            "role": "client_user",
            "scope": "client",
            "msp_id": str(mine.msp.pk),
            "msp": mine.msp.name,
            "client_id": str(mine.client.pk),
            "client": mine.client.name,
            "is_staff": False,
        }
        msp = as_user(mine.msp_admin).get(f"{V1}/me").json()
        assert (msp["scope"], msp["msp_id"], msp["client_id"]) == ("msp", str(mine.msp.pk), None)
        assert as_user(SuperuserFactory()).get(f"{V1}/me").json()["scope"] == "all"
        assert as_user(UserFactory(role="")).get(f"{V1}/me").json()["scope"] is None

    def test_by_session(self, mine):
        browser = Browser()
        browser.force_login(mine.msp_user, backend="django.contrib.auth.backends.ModelBackend")
        assert browser.get(f"{V1}/me").json()["role"] == "msp_user"

    def test_a_session_needs_a_csrf_token_to_write(self, mine):
        browser = Browser(enforce_csrf_checks=True)
        browser.force_login(mine.msp_user, backend="django.contrib.auth.backends.ModelBackend")
        alert = AlertFactory(client=mine.client)
        answer = post(browser, f"/alerts/{alert.pk}/acknowledge/", {})
        assert answer.status_code == 403
        assert "CSRF" in answer.json()["detail"]


class TestClients:
    def test_everybody_lists_their_own(self, mine, other):
        def listed(user):
            return {row["id"] for row in as_user(user).get(f"{V1}/clients/").json()["results"]}

        assert listed(mine.msp_user) == {str(client.pk) for client in mine.clients}
        assert listed(mine.client_user) == {str(mine.client.pk)}
        assert listed(UserFactory(role="")) == set()
        assert len(listed(SuperuserFactory())) == 4

    def test_one(self, browser, mine):
        answer = browser.get(f"{V1}/clients/{mine.client.pk}/").json()
        assert (answer["name"], answer["msp"], answer["status"]) == (
            mine.client.name,
            mine.msp.name,
            "active",
        )

    def test_pages(self, mine):
        ClientFactory.create_batch(3, msp=mine.msp)
        browser = as_user(mine.msp_admin)
        first = browser.get(f"{V1}/clients/?page_size=2").json()
        assert (first["count"], len(first["results"])) == (5, 2)
        assert browser.get(first["next"]).json()["results"][0]["id"] not in {
            row["id"] for row in first["results"]
        }

    def test_the_dashboard_is_the_figures(self, browser, mine):
        application = ApplicationFactory(client=mine.client)
        actions.record_interactions(
            mine.client, [actions.Use(application=application, count=4, user_ref="ana")]
        )
        for slash in ("", "/"):
            answer = browser.get(f"{V1}/clients/{mine.client.pk}/dashboard{slash}").json()
            expected = {
                "client_id": str(mine.client.pk),
                "client": mine.client.name,
                **figures.dashboard(mine.client.pk),
            }
            assert {name: answer[name] for name in expected} == expected
        assert answer["totals"]["interactions_today"] == 4

    def test_the_dashboard_reads_positions_before_its_data(self, mine, rf, monkeypatch):
        steps = []

        def positions_before(viewer, client_id):
            steps.append((viewer, client_id))
            return {"positions": {f"client.{client_id}": 7}, "epoch": "e"}

        monkeypatch.setattr(base, "positions_before", positions_before)
        monkeypatch.setattr(figures, "dashboard", lambda pk: steps.append(pk) or {"departments": []})
        request = rf.get(
            "/", headers={"Authorization": f"Bearer {RefreshToken.for_user(mine.client_user).access_token}"}
        )
        answer = DashboardView.as_view()(request, client_id=str(mine.client.pk))
        assert steps == [(mine.client_user, mine.client.pk), mine.client.pk]
        assert answer.data["positions"] == {f"client.{mine.client.pk}": 7}
        assert answer.data["epoch"] == "e"

    def test_applications(self, browser, mine):
        ApplicationFactory.create_batch(2, client=mine.client)
        ApplicationFactory()
        assert browser.get(f"{V1}/clients/{mine.client.pk}/applications").json() == figures.applications(
            mine.client.pk
        )


class TestInteractions:
    @pytest.fixture
    def application(self, mine):
        return ApplicationFactory(client=mine.client)

    @pytest.fixture
    def path(self, application):
        return f"/clients/{application.client_id}/applications/{application.pk}/interactions"

    def test_recording(self, browser, application, path):
        department = DepartmentFactory(client=application.client)
        InteractionFactory(client=application.client, application=application, count=10)
        body = {
            "interaction_count": 5,
            "department_id": str(department.pk),
            "user_ref": "ana",
            "flagged": True,
        }
        answer = post(browser, path, body)
        assert answer.status_code == 201
        assert answer.json() == {
            "app_id": str(application.pk),
            "interaction_count": 5,
            "total_daily_interactions": 15,
        }
        recorded = Interaction.objects.get(count=5)
        assert (recorded.department, recorded.user_ref, recorded.flagged) == (department, "ana", True)
        assert Engagement.objects.get(application=application).interactions == 5

    def test_one_use_is_enough(self, browser, path):
        assert post(browser, path + "/", {}).json()["interaction_count"] == 1

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"interaction_count": 0}, "interaction_count"),
            ({"interaction_count": 10**30}, "interaction_count"),
            ({"interaction_count": "many"}, "interaction_count"),
            ({"department_id": "x"}, "department_id"),
            ({"department_id": str(uuid.uuid4())}, "department_id"),
            ({"user_ref": "x" * 201}, "user_ref"),
            ({"user_ref": "a\x00b"}, "user_ref"),
            ([], "non_field_errors"),
        ],
    )
    def test_refusals_name_the_field(self, browser, path, body, field):
        answer = post(browser, path, body)
        assert answer.status_code == 400, answer.content
        assert set(answer.json()["errors"]) == {field}
        assert not Interaction.objects.exists()

    def test_a_foreign_department_reads_like_an_unknown_one(self, browser, path):
        answers = [
            post(browser, path, {"department_id": str(pk)}).content
            for pk in (DepartmentFactory().pk, uuid.uuid4())
        ]
        assert answers[0] == answers[1]

    def test_listing_newest_first_by_cursor(self, browser, application, path):
        now = timezone.now()
        rows = [
            InteractionFactory(
                client=application.client,
                application=application,
                occurred_at=now - timedelta(minutes=n // 2),
            )
            for n in range(5)
        ]
        InteractionFactory(client=application.client)
        InteractionFactory()
        page, seen = browser.get(f"{V1}{path}?page_size=2").json(), []
        while True:
            seen += page["results"]
            if not page["next"]:
                break
            page = browser.get(page["next"]).json()
        assert len(seen) == 5
        assert {row["id"] for row in seen} == {str(row.pk) for row in rows}
        assert [row["occurred_at"] for row in seen] == sorted(
            (row["occurred_at"] for row in seen), reverse=True
        )
        everything = browser.get(f"{V1}/clients/{application.client_id}/interactions").json()["results"]
        assert len(everything) == 6

    def test_filters(self, browser, application):
        client = application.client
        agent = AgentFactory(client=client)
        old = InteractionFactory(
            client=client, application=application, occurred_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        flagged = InteractionFactory(client=client, agent=agent, flagged=True, user_ref="ana")

        def listed(query):
            answer = browser.get(f"{V1}/clients/{client.pk}/interactions?{query}")
            assert answer.status_code == 200, answer.content
            return {row["id"] for row in answer.json()["results"]}

        assert listed(f"app_id={application.pk}") == {str(old.pk)}
        assert (
            listed(f"agent_id={agent.pk}")
            == listed("flagged=true")
            == listed("user_ref=ana")
            == {str(flagged.pk)}
        )
        assert listed("occurred_before=2026-02-01T00:00:00Z") == {str(old.pk)}
        assert listed("occurred_after=2026-02-01T00:00:00Z") == {str(flagged.pk)}

    @pytest.mark.parametrize("query", ["app_id=x", "occurred_after=yesterday", "cursor=cD14"])
    def test_bad_filters_and_cursors_are_400_or_404(self, browser, mine, query):
        answer = browser.get(f"{V1}/clients/{mine.client.pk}/interactions?{query}")
        assert answer.status_code in (400, 404)
        assert answer.json()["detail"]


class TestBulk:
    @pytest.fixture
    def path(self, mine):
        return f"/clients/{mine.client.pk}/interactions/bulk"

    def test_records_all(self, browser, mine, path):
        application, agent = ApplicationFactory(client=mine.client), AgentFactory(client=mine.client)
        department = DepartmentFactory(client=mine.client)
        body = [
            {
                "app_id": str(application.pk),
                "interaction_count": 3,
                "user_ref": "ana",
                "department_id": str(department.pk),
            },
            {"agent_id": str(agent.pk), "flagged": True, "occurred_at": "2026-03-02T23:30:00-05:00"},
        ]
        answer = post(browser, path, body)
        assert (answer.status_code, answer.json()) == (201, {"recorded": 2, "interaction_count": 4})
        assert Interaction.objects.get(agent=agent).occurred_at == datetime(2026, 3, 3, 4, 30, tzinfo=UTC)
        assert Engagement.objects.count() == 3

    @pytest.mark.slow
    def test_ten_thousand_at_once(self, browser, mine, path):
        applications = [
            str(application.pk) for application in ApplicationFactory.create_batch(5, client=mine.client)
        ]
        body = [{"app_id": applications[i % 5], "user_ref": f"user{i % 100}"} for i in range(10_000)]
        assert post(browser, path, body).json()["recorded"] == Interaction.objects.count() == 10_000
        too_many = post(browser, path, [*body, body[0]])
        assert too_many.status_code == 400
        assert "10000" in too_many.json()["detail"]

    @pytest.mark.parametrize(
        ("row", "why"),
        [
            ({}, "Row 1: give app_id or agent_id, one of them."),
            ({"app_id": "good", "agent_id": "good"}, "Row 1: give app_id or agent_id, one of them."),
            ({"app_id": str(uuid.UUID(int=0))}, "Row 1: this client has no application"),
            ({"app_id": "foreign"}, "Row 1: this client has no application"),
            ({"agent_id": str(uuid.UUID(int=0))}, "Row 1: this client has no agent"),
            (
                {"app_id": "good", "department_id": str(uuid.UUID(int=0))},
                "Row 1: this client has no department",
            ),
            ({"app_id": "good", "occurred_at": "0001-01-01T00:00:00+14:00"}, "Row 1: occurred_at"),
            ({"app_id": "good", "occurred_at": "2126-01-01T00:00:00Z"}, "Row 1: occurred_at"),
            ({"app_id": "good", "occurred_at": "2026-01-01T00:00:00"}, "[1].occurred_at"),
            ({"app_id": "good", "interaction_count": 0}, "[1].interaction_count"),
            ({"app_id": "good", "user_ref": "\x00"}, "[1].user_ref"),
            ({"app_id": "good", "colour": "red"}, "unknown field `colour`"),
            ({"app_id": 7}, "[1].app_id"),
            ("row", "[1]"),
        ],
    )
    def test_a_bad_row_is_named_and_takes_all_back(self, browser, mine, path, row, why):
        good = str(ApplicationFactory(client=mine.client).pk)
        foreign = str(ApplicationFactory().pk)
        if isinstance(row, dict):
            row = {name: {"good": good, "foreign": foreign}.get(value, value) for name, value in row.items()}
        answer = post(browser, path, [{"app_id": good}, row])
        assert answer.status_code == 400
        assert why in answer.json()["detail"]
        assert not Interaction.objects.exists()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b"[]",
            b"[",
            b"\xff",
            b"NaN",
            b"[" * 100_000,
            b'[{"interaction_count": ' + b"9" * 5000 + b"}]",
        ],
    )
    def test_what_is_no_list_of_rows_is_400(self, browser, path, body):
        answer = browser.post(f"{V1}{path}", body, content_type="application/json")
        assert answer.status_code == 400
        assert answer.json()["detail"]

    def test_a_body_that_is_too_large_is_413_and_another_type_415(self, browser, path):
        answer = browser.post(f"{V1}{path}", b" " * (8 * 1024 * 1024 + 1), content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert browser.post(f"{V1}{path}", b"x", content_type="text/csv").status_code == 415


class TestAlerts:
    def listed(self, browser, query=""):
        answer = browser.get(f"{V1}/alerts/?{query}")
        assert answer.status_code == 200, answer.content
        return [row["details"] for row in answer.json()["results"]]

    def test_an_alert_has_the_portals_shape(self, browser, mine):
        application = ApplicationFactory(client=mine.client, name="ChatGPT")
        alert = AlertFactory(
            client=mine.client, application=application, frameworks=["GDPR"], family="Data loss"
        )
        alert = actions.acknowledge_alert(alert, mine.msp_user)
        alert = actions.assign_alert(alert, mine.client_user, mine.msp_user)
        answer = browser.get(f"{V1}/alerts/{alert.pk}/").json()
        times = {
            "acknowledged_at": alert.acknowledged_at,
            "created_at": alert.created_at,
            "updated_at": alert.updated_at,
        }
        assert answer == {
            "id": str(alert.pk),
            "client_id": str(mine.client.pk),
            "severity": "high",
            "details": alert.details,
            "app": "ChatGPT",
            "app_id": str(application.pk),
            "agent_id": None,
            "asset_kind": "application",
            "family": "Data loss",
            "subtype": "",
            "users_affected": 0,
            "count": 1,
            "frameworks": ["GDPR"],
            "status": "Pending",
            "assignee": mine.client_user.username,
            "acknowledged_by": mine.msp_user.username,
            **{name: time.isoformat().replace("+00:00", "Z") for name, time in times.items()},
        }
        assert browser.get(f"{V1}/alerts/").json()["results"] == [answer]

    def test_an_alert_about_an_agent_names_the_agent(self, browser, mine):
        agent = AgentFactory(client=mine.client, name="Triage")
        alert = AlertFactory(client=mine.client, agent=agent)
        answer = browser.get(f"{V1}/alerts/{alert.pk}/").json()
        assert (answer["app"], answer["app_id"], answer["agent_id"]) == ("Triage", None, str(agent.pk))

    def test_filters(self, mine, browser):
        chat = ApplicationFactory(client=mine.client, name="ChatGPT")
        triage = AgentFactory(client=mine.client, name="Triage")
        day = datetime(2026, 3, 1, tzinfo=UTC)
        AlertFactory(client=mine.client, application=chat, severity="low", details="one", created_at=day)
        AlertFactory(
            client=mine.client,
            agent=triage,
            severity="critical",
            details="two",
            subtype="Source code",
            created_at=day + timedelta(days=1),
            status=Alert.Status.PENDING,
            assignee=mine.client_user,
        )
        AlertFactory(
            client=mine.client,
            application=chat,
            severity="high",
            details="three four",
            family="Data loss",
            created_at=day + timedelta(days=2),
            status=Alert.Status.AI_RESOLVED,
            acknowledged_by=mine.client_user,
            acknowledged_at=day,
        )
        for query, expected in {
            "": ["three four", "two", "one"],
            "severity=low": ["one"],
            "severity=low&severity=critical": ["two", "one"],
            "status=AI+Resolved": ["three four"],
            "open=true": ["two", "one"],
            "open=false": ["three four"],
            "app=chatgpt": ["three four", "one"],
            "app=Triage": ["two"],
            f"app_id={chat.pk}": ["three four", "one"],
            f"agent_id={triage.pk}": ["two"],
            f"assignee={mine.client_user.username}": ["two"],
            "acknowledged=true": ["three four"],
            "acknowledged=false": ["two", "one"],
            "created_after=2026-03-02T00:00:00Z": ["three four", "two"],
            "created_before=2026-03-02T00:00:00Z": ["one"],
            "search=SOURCE": ["two"],
            "search=loss+four": ["three four"],
            "search=loss+nothing": [],
            "search=triage": ["two"],
            "ordering=severity": ["one", "three four", "two"],
            "ordering=-severity": ["two", "three four", "one"],
            "ordering=created_at": ["one", "two", "three four"],
        }.items():
            assert self.listed(browser, query) == expected, query

    def test_by_client(self, mine, other):
        alerts = [AlertFactory(client=client) for client in (*mine.clients, other.client)]
        browser = as_user(mine.msp_user)
        assert len(self.listed(browser)) == 2
        assert self.listed(browser, f"client={mine.clients[1].pk}") == [alerts[1].details]
        assert (
            self.listed(browser, f"client={other.client.pk}")
            == self.listed(browser, f"client={uuid.uuid4()}")
            == []
        )

    @pytest.mark.parametrize("query", ["severity=awful", "client=x", "created_after=x", "ordering=password"])
    def test_bad_filters_are_400(self, browser, query):
        answer = browser.get(f"{V1}/alerts/?{query}")
        assert answer.status_code == 400
        assert query.split("=")[0] in answer.json()["errors"]

    def test_pages_do_not_repeat_a_row(self, browser, mine):
        same = timezone.now()
        AlertFactory.create_batch(7, client=mine.client, created_at=same)
        pages = [browser.get(f"{V1}/alerts/?page_size=3&page={page}").json() for page in (1, 2, 3)]
        assert [len(page["results"]) for page in pages] == [3, 3, 1]
        assert len({row["id"] for page in pages for row in page["results"]}) == 7
        assert browser.get(f"{V1}/alerts/?page=9").status_code == 404

    def test_queries_do_not_grow(self, browser, mine):
        def queries() -> int:
            AlertFactory.create_batch(5, client=mine.client, assignee=mine.client_user)
            with CaptureQueriesContext(connection) as captured:
                self.listed(browser)
            return len(captured)

        queries()  # what is read once in a process
        assert queries() == queries()

    def test_positions_join_the_page(self, mine, rf, monkeypatch):
        def positions_before(viewer, client_id):
            AlertFactory(client=mine.client, details="came meanwhile")
            return {"positions": {}}

        monkeypatch.setattr(base, "positions_before", positions_before)
        request = rf.get(
            "/", headers={"Authorization": f"Bearer {RefreshToken.for_user(mine.client_user).access_token}"}
        )
        answer = AlertListView.as_view()(request)
        assert answer.data["positions"] == {}
        assert [row["details"] for row in answer.data["results"]] == ["came meanwhile"]

    def test_changing_status_and_assignee(self, browser, mine):
        alert = AlertFactory(client=mine.client)
        path = f"/alerts/{alert.pk}/"
        for body, status, assignee in [
            ({"assignee": mine.msp_user.username}, "Pending", mine.msp_user.username),
            ({"status": "Complete"}, "Complete", mine.msp_user.username),
            ({"status": "Pending"}, "Pending", mine.msp_user.username),
            ({"status": "Unassigned"}, "Unassigned", None),
            ({"status": "AI Resolved"}, "AI Resolved", None),
            (
                {"status": "Pending", "assignee": mine.client_user.username},
                "Pending",
                mine.client_user.username,
            ),
            ({"assignee": None}, "Unassigned", None),
            ({}, "Unassigned", None),
        ]:
            answer = patch(browser, path, body)
            assert answer.status_code == 200, answer.content
            assert (answer.json()["status"], answer.json()["assignee"]) == (status, assignee)
            assert browser.get(f"{V1}{path}").json() == answer.json()

    def test_what_cannot_be_changed(self, browser, mine, other):
        alert = AlertFactory(client=mine.client)
        path = f"/alerts/{alert.pk}/"
        assert patch(browser, path, {"status": "Pending"}).status_code == 409
        assert patch(browser, path, {"status": "Done"}).status_code == 400
        neighbour = UserFactory(role="client_user", client=mine.clients[1])
        superuser = SuperuserFactory()
        unknown = patch(browser, path, {"assignee": "nobody"})
        assert unknown.status_code == 400
        for person in (other.msp_admin, neighbour, superuser):
            foreign = patch(browser, path, {"assignee": person.username})
            assert foreign.content.decode().replace(person.username, "nobody") == unknown.content.decode()
        actions.resolve_alert(alert, mine.client_user)
        conflict = patch(browser, path, {"assignee": mine.client_user.username})
        assert (conflict.status_code, conflict.json()["code"]) == (409, "invalid_transition")

    def test_acknowledging(self, browser, mine):
        alert = AlertFactory(client=mine.client)
        for user in (mine.client_user, mine.msp_admin):
            answer = post(as_user(user), f"/alerts/{alert.pk}/acknowledge/", {})
            assert answer.status_code == 200
            assert answer.json()["acknowledged_by"] == mine.client_user.username
        assert browser.get(f"{V1}/alerts/{alert.pk}/acknowledge/").status_code == 405


CLIENT_PATHS = [
    ("get", "/clients/{client}/"),
    ("get", "/clients/{client}/dashboard"),
    ("get", "/clients/{client}/interactions"),
    ("get", "/clients/{client}/applications"),
    ("get", "/clients/{client}/applications/{app}/interactions"),
    ("post", "/clients/{client}/applications/{app}/interactions"),
    ("post", "/clients/{client}/interactions/bulk"),
    ("get", "/alerts/{alert}/"),
    ("patch", "/alerts/{alert}/"),
    ("post", "/alerts/{alert}/acknowledge/"),
]
OPEN_PATHS = {"auth/token/", "auth/token/refresh/", "schema/", "schema/swagger/", "schema/redoc/"}
LIST_PATHS = {"clients/", "alerts/", "me"}


class TestIsolation:
    def ask(self, browser, method, path, **ids):
        body = [{"app_id": str(ids["app"])}] if path.endswith("bulk") else {"status": "Complete"}
        return getattr(browser, method)(
            V1 + path.format(**ids),
            *([] if method == "get" else [json.dumps(body)]),
            content_type="application/json",
        )

    @pytest.mark.parametrize(("method", "path"), CLIENT_PATHS)
    def test_a_foreign_an_unknown_and_a_malformed_id_answer_alike(self, mine, other, method, path):
        def rows(client):
            application = ApplicationFactory(client=client)
            alert = AlertFactory(client=client, application=application)
            return {"client": client.pk, "app": application.pk, "alert": alert.pk}

        own, neighbour, foreign = rows(mine.client), rows(mine.clients[1]), rows(other.client)
        unknown = {name: uuid.uuid4() for name in own}
        malformed = dict.fromkeys(own, "x")
        for user in (mine.client_user, mine.client_admin):
            answers = [
                self.ask(as_user(user), method, path, **ids)
                for ids in (neighbour, foreign, unknown, malformed)
            ]
            assert {answer.status_code for answer in answers} == {404}
            assert len({answer.content for answer in answers}) == 1
            assert self.ask(as_user(user), method, path, **own).status_code in (200, 201)
        for user in (mine.msp_user, mine.msp_admin):
            answers = [self.ask(as_user(user), method, path, **ids) for ids in (foreign, unknown, malformed)]
            assert {answer.status_code for answer in answers} == {404}
            assert len({answer.content for answer in answers}) == 1
            assert self.ask(as_user(user), method, path, **neighbour).status_code in (200, 201)
        for user in (UserFactory(role=""), UserFactory(role="", is_staff=True)):
            assert self.ask(as_user(user), method, path, **own).status_code == 404
        assert self.ask(as_user(SuperuserFactory()), method, path, **foreign).status_code in (200, 201)
        assert self.ask(Browser(), method, path, **own).status_code == 401
        assert Interaction.objects.filter(client=other.client).count() <= 1

    def test_an_application_of_another_client_of_the_same_msp(self, mine):
        application = ApplicationFactory(client=mine.clients[1])
        browser = as_user(mine.msp_admin)
        answers = [
            browser.get(f"{V1}/clients/{mine.client.pk}/applications/{pk}/interactions")
            for pk in (application.pk, uuid.uuid4())
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert answers[0].content == answers[1].content

    def test_no_route_is_left_out_of_the_matrix(self):
        def written(pattern) -> str:
            route = str(pattern.pattern)
            for name in ("client", "app", "alert"):
                route = route.replace(f"<str:{name}_id>", f"{{{name}}}").replace(
                    f"(?P<{name}_id>[^/]+)", f"{{{name}}}"
                )
            return route.removeprefix("^").removesuffix("(?:/)?$")

        tested = {path.removeprefix("/") for _, path in CLIENT_PATHS}
        assert {written(pattern) for pattern in urls.urlpatterns} == tested | OPEN_PATHS | LIST_PATHS

    @pytest.mark.parametrize("path", sorted(LIST_PATHS))
    def test_lists_need_credentials(self, path):
        answer = Browser().get(f"{V1}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


class TestBodies:
    @pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 50_000, b'{"username": NaN}', b'"\\ud800"'])
    def test_bad_json_is_400_without_credentials_too(self, body):
        answer = Browser().post(f"{V1}/auth/token/", body, content_type="application/json")
        assert answer.status_code == 400
        assert set(answer.json()) == {"detail", "code"}

    def test_a_large_body_is_413(self):
        answer = Browser().post(f"{V1}/auth/token/", b" " * 70_000, content_type="application/json")
        assert answer.status_code == 413


class TestDescription:
    def test_the_schema_is_served(self):
        answer = Browser().get(f"{V1}/schema/?format=json")
        assert answer.status_code == 200
        assert "/api/v1/alerts/" in answer.json()["paths"]

    @pytest.mark.parametrize(
        ("accept", "status"),
        [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 302),
            ("application/json, */*", 200),
            ("*/*", 200),
            ("application/vnd.oai.openapi", 200),
        ],
    )
    def test_a_browser_is_led_to_the_page_and_programs_get_the_schema(self, accept, status):
        answer = Browser().get(f"{V1}/schema/", headers={"accept": accept})
        assert (answer.status_code, answer.headers.get("Location")) == (
            status,
            f"{V1}/schema/swagger/" if status == 302 else None,
        )

    @pytest.mark.parametrize("page", ["swagger", "redoc"])
    def test_the_pages_run_no_inline_script_and_load_nothing_from_elsewhere(self, page):
        answer = Browser().get(f"{V1}/schema/{page}/")
        html = answer.content.decode()
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy + ";"
        assert "style-src 'self' 'unsafe-inline'" in policy
        assert "<script>" not in html
        assert "//fonts" not in html
        assert 'src="/static/' in html

    def test_swaggers_script_is_served_apart(self):
        answer = Browser().get(f"{V1}/schema/swagger/?script=")
        assert answer.headers["Content-Type"].startswith("application/javascript")
        assert b"SwaggerUIBundle" in answer.content
