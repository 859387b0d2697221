"""The admin site: every page opens, a tenant's staff stay in their tenant, alerts are worked off."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.urls import reverse

from engagement import actions, models
from engagement.admin.export import defused
from engagement.models import MSP, Agent, Alert, Application, Client, Engagement, Interaction, User
from realtime.models import ServerProcess
from tests.factories import (
    PASSWORD,
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    EngagementFactory,
    InteractionFactory,
    SuperuserFactory,
    UserFactory,
    two_tenants,
)

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model.__module__.startswith("engagement.")]


def as_staff(user: User) -> Browser:
    if not user.is_staff:
        user.is_staff = True
        user.save()
    browser = Browser()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def url(model, page="changelist", *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def rows(response) -> set:
    return {row.pk for row in response.context["cl"].result_list}


def messages_of(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def one_of_each(client) -> dict[type, object]:
    """A row of every model, all of them of one client."""
    application = ApplicationFactory(client=client)
    return {
        MSP: client.msp,
        Client: client,
        User: UserFactory(role="client_user", client=client),
        models.Department: DepartmentFactory(client=client),
        Application: application,
        Agent: AgentFactory(client=client),
        Interaction: InteractionFactory(client=client, application=application),
        Engagement: EngagementFactory(client=client, application=application),
        Alert: AlertFactory(client=client, application=application),
    }


@pytest.fixture
def tenants():
    return two_tenants()


@pytest.fixture
def mine(tenants):
    return tenants[0]


@pytest.fixture
def superuser():
    return as_staff(SuperuserFactory())


class TestPages:
    def test_every_model_is_registered(self, mine):
        assert set(one_of_each(mine.client)) == set(OURS)

    @pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
    def test_every_page_opens(self, superuser, mine, model):
        row = one_of_each(mine.client)[model]
        for page in (
            url(model),
            f"{url(model)}?q=a",
            url(model, "add"),
            url(model, "change", row.pk),
            url(model, "history", row.pk),
            url(model, "delete", row.pk),
        ):
            assert superuser.get(page).status_code == 200, page

    @pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
    def test_lists_do_not_query_by_row(self, superuser, mine, model, django_assert_max_num_queries):
        for client in ClientFactory.create_batch(6, msp=mine.msp):
            one_of_each(client)
        with django_assert_max_num_queries(12):
            superuser.get(url(model))

    def test_the_style_sheet_is_a_file_and_no_page_has_inline_styles(self, superuser, mine):
        AlertFactory(client=mine.client, severity="critical")
        html = superuser.get(url(Alert)).content.decode()
        assert "engagement/admin.css" in html
        assert '<span class="severity severity-critical">Critical</span>' in html
        assert "<style" not in html
        assert " style=" not in html


@pytest.mark.once
class TestScoping:
    @pytest.fixture
    def world(self, tenants):
        """Rows of my client, of my MSP's other client, and of another MSP's."""
        mine, other = tenants
        return {
            "mine": one_of_each(mine.client),
            "neighbour": one_of_each(mine.clients[1]),
            "foreign": one_of_each(other.client),
        }

    def seen(self, role):
        return {"msp": {"mine", "neighbour"}, "client": {"mine"}}[role.split("_")[0]]

    @pytest.mark.slow
    @pytest.mark.parametrize("role", ["msp_admin", "msp_user", "client_admin", "client_user"])
    def test_lists_and_pages_show_own_rows_only(self, mine, world, role, subtests):
        browser = as_staff(mine.users[role])
        for model in OURS:
            with subtests.test(model=model.__name__):
                self.check_own_rows_only(browser, mine, world, model, role)

    def check_own_rows_only(self, browser, mine, world, model, role):
        shown = rows(browser.get(url(model)))
        for place, of_each in world.items():
            visible = place in self.seen(role) or (model is MSP and of_each[MSP] == mine.msp)
            assert (of_each[model].pk in shown) is visible
            for page in ("change", "history", "delete"):
                answer = browser.get(url(model, page, of_each[model].pk))
                if visible:
                    assert answer.status_code in (200, 403)  # whether they may is for another test
                    assert page != "change" or answer.status_code == 200
                else:
                    assert answer.status_code in (302, 403)

    @pytest.mark.parametrize("role", ["msp_admin", "client_admin"])
    @pytest.mark.parametrize(
        ("app_model", "field"),
        [
            (Alert, "client"),
            (Alert, "application"),
            (Alert, "agent"),
            (Interaction, "department"),
            (Agent, "associated_apps"),
            (User, "msp"),
            (User, "client"),
            (Client, "msp"),
        ],
    )
    def test_autocompletion_offers_own_rows_only(self, mine, world, app_model, field, role):
        browser = as_staff(mine.users[role])
        answer = browser.get(
            reverse("admin:autocomplete"),
            {
                "app_label": "engagement",
                "model_name": app_model._meta.model_name,
                "field_name": field,
                "term": "",
            },
        )
        assert answer.status_code == 200
        related = app_model._meta.get_field(field).remote_field.model
        offered = {entry["id"] for entry in answer.json()["results"]}
        allowed = {str(of_each[related].pk) for place, of_each in world.items() if place in self.seen(role)}
        assert allowed <= offered
        assert str(world["foreign"][related].pk) not in offered
        if role == "client_admin" and related is not MSP:
            assert str(world["neighbour"][related].pk) not in offered

    def test_filters_offer_own_rows_only(self, mine, world):
        def choices(user):
            answer = as_staff(user).get(url(Alert))
            return {
                title: {str(choice["display"]) for choice in spec.choices(answer.context["cl"])}
                for spec in answer.context["cl"].filter_specs
                for title in [str(spec.title)]
            }

        offered = choices(mine.msp_user)
        assert offered["client"] == {"All", *(client.name for client in mine.clients)}
        foreign = world["foreign"][Client]
        for names in choices(mine.client_user).values():
            assert not {mine.clients[1].name, foreign.name, foreign.msp.name} & names

    def test_filtering_by_a_foreign_client_shows_nothing(self, mine, world):
        browser = as_staff(mine.msp_user)
        assert rows(browser.get(url(Alert), {"client__id__exact": str(world["foreign"][Client].pk)})) == set()

    def test_forms_refuse_foreign_choices(self, mine, world):
        browser = as_staff(mine.msp_admin)
        foreign = world["foreign"]
        answer = browser.post(
            url(Application, "add"),
            {"client": foreign[Client].pk, "name": "X", "status": "Permitted", "risk_tolerance": 5},
        )
        assert "client" in answer.context["adminform"].form.errors
        own = world["mine"]
        answer = browser.post(
            url(Agent, "change", own[Agent].pk),
            {"name": "X", "associated_apps": [str(foreign[Application].pk)]},
        )
        assert "associated_apps" in answer.context["adminform"].form.errors
        assert not own[Agent].associated_apps.exists()

    def test_rows_of_two_clients_do_not_mix_not_even_for_a_superuser(self, superuser, mine):
        application = ApplicationFactory(client=mine.clients[1])
        answer = superuser.post(
            url(Alert, "add"),
            {
                "client": mine.client.pk,
                "application": application.pk,
                "asset_kind": "application",
                "severity": "low",
                "users_affected": 0,
                "count": 1,
                "frameworks": "[]",
            },
        )
        assert "belongs to another client" in str(answer.context["adminform"].form.errors["application"])

    def test_a_saved_row_stays_with_its_client(self, mine):
        application = ApplicationFactory(client=mine.client)
        as_staff(mine.msp_admin).post(
            url(Application, "change", application.pk),
            {"client": mine.clients[1].pk, "name": "Renamed", "status": "Permitted", "risk_tolerance": 5},
        )
        application.refresh_from_db()
        assert (application.name, application.client) == ("Renamed", mine.client)

    def test_deleting_foreign_rows_by_action_deletes_nothing(self, mine, world):
        browser = as_staff(mine.msp_admin)
        foreign = world["foreign"][Application]
        browser.post(
            url(Application), {"action": "delete_selected", "_selected_action": [foreign.pk], "post": "yes"}
        )
        assert Application.objects.filter(pk=foreign.pk).exists()

    @pytest.mark.parametrize(
        ("role", "model", "add", "change", "delete"),
        [
            ("msp_admin", Client, True, True, False),
            ("msp_user", Client, False, False, False),
            ("client_admin", Client, False, False, False),
            ("msp_admin", Application, True, True, True),
            ("client_admin", Application, True, True, True),
            ("msp_user", Application, False, False, False),
            ("client_user", Application, False, False, False),
            ("msp_admin", MSP, False, False, False),
            ("msp_admin", Interaction, False, False, False),
            ("msp_admin", Engagement, False, False, False),
            ("client_user", Alert, False, True, False),
            ("msp_admin", Alert, True, True, True),
            ("msp_user", User, False, False, False),
            ("client_admin", User, True, True, True),
        ],
    )
    def test_what_a_role_may_do(self, mine, rf, role, model, add, change, delete):
        request = rf.get("/")
        request.user = mine.users[role]
        site = admin.site._registry[model]
        assert not site.has_view_permission(request)  # not staff yet
        request.user.is_staff = True
        assert site.has_view_permission(request)
        assert site.has_module_permission(request)
        permissions = (
            site.has_add_permission(request),
            site.has_change_permission(request),
            site.has_delete_permission(request),
        )
        assert permissions == (add, change, delete)

    def test_staff_without_a_role_see_no_rows_whatever_they_were_granted(self, world):
        clerk = UserFactory(role="", is_staff=True)
        browser = as_staff(clerk)
        assert browser.get(url(Alert)).status_code == 403
        clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="engagement"))
        assert rows(browser.get(url(Alert))) == set()


class TestUsers:
    ADD = {"usable_password": "true", "password1": "A-long-passphrase-7", "password2": "A-long-passphrase-7"}

    def change(self, browser, user, **values):
        form = browser.get(url(User, "change", user.pk)).context["adminform"].form
        current = {
            name: value
            for name, value in form.initial.items()
            if name in form.fields and value not in (None, False)
        }
        return browser.post(url(User, "change", user.pk), current | values)

    def test_a_superuser_makes_a_user_who_can_sign_in(self, superuser, mine):
        answer = superuser.post(
            url(User, "add"), self.ADD | {"username": "new", "role": "client_user", "client": mine.client.pk}
        )
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        user = User.objects.get(username="new")
        assert user.check_password("A-long-passphrase-7")
        assert (user.role, user.client) == ("client_user", mine.client)

    def test_role_and_tenant_must_agree(self, superuser, mine):
        answer = superuser.post(
            url(User, "add"), self.ADD | {"username": "new", "role": "msp_user", "client": mine.client.pk}
        )
        assert "An MSP role needs an MSP" in str(answer.context["adminform"].form.errors)

    def test_the_password_form_works(self, mine):
        browser = as_staff(mine.msp_admin)
        answer = browser.post(
            reverse("admin:auth_user_password_change", args=[mine.client_user.pk]),
            {"usable_password": "true", "password1": "Another-phrase-8", "password2": "Another-phrase-8"},
        )
        assert answer.status_code == 302
        mine.client_user.refresh_from_db()
        assert mine.client_user.check_password("Another-phrase-8")

    def test_a_foreign_users_and_a_superusers_password_is_out_of_reach(self, tenants):
        mine, other = tenants
        own_superuser = UserFactory(role="msp_admin", msp=mine.msp, is_superuser=True)
        for role in ("msp_admin", "client_admin"):
            browser = as_staff(mine.users[role])
            for user in (other.client_user, own_superuser, SuperuserFactory()):
                browser.post(
                    reverse("admin:auth_user_password_change", args=[user.pk]),
                    {
                        "usable_password": "true",
                        "password1": "Another-phrase-8",
                        "password2": "Another-phrase-8",
                    },
                )
                user.refresh_from_db()
                assert user.check_password(PASSWORD)

    def test_an_msps_staff_give_nobody_rights_beyond_the_role(self, mine):
        browser = as_staff(mine.msp_admin)
        for user in (mine.msp_admin, mine.client_user):
            answer = self.change(
                browser,
                user,
                is_superuser="on",
                groups=["1"],
                user_permissions=["1"],
                is_staff="on",
                is_active="on",
            )
            assert answer.status_code == 302, answer.context["adminform"].form.errors
            user.refresh_from_db()
            assert user.is_staff
            assert not user.is_superuser
            assert not user.user_permissions.exists()
        browser.post(
            url(User, "add"),
            self.ADD
            | {
                "username": "new",
                "role": "msp_admin",
                "msp": mine.msp.pk,
                "is_superuser": "on",
                "is_staff": "on",
            },
        )
        assert not User.objects.get(username="new").is_superuser

    def test_an_msps_staff_move_nobody_to_another_msp(self, tenants):
        mine, other = tenants
        browser = as_staff(mine.msp_admin)
        answer = self.change(browser, mine.msp_user, msp=other.msp.pk)
        assert "msp" in answer.context["adminform"].form.errors
        answer = self.change(browser, mine.client_user, client=other.client.pk)
        assert "client" in answer.context["adminform"].form.errors
        assert self.change(browser, mine.client_user, client=mine.clients[1].pk).status_code == 302
        assert User.objects.get(pk=mine.client_user.pk).client == mine.clients[1]

    def test_a_clients_staff_cannot_make_people_of_the_msp(self, mine):
        browser = as_staff(mine.client_admin)
        for values in (
            {"role": "msp_admin", "msp": mine.msp.pk},
            {"role": "client_user", "client": mine.clients[1].pk},
        ):
            answer = browser.post(url(User, "add"), self.ADD | {"username": "new"} | values)
            assert answer.status_code == 200
        assert (
            browser.post(
                url(User, "add"),
                self.ADD | {"username": "new", "role": "client_user", "client": mine.client.pk},
            ).status_code
            == 302
        )

    def test_a_client_is_not_handed_to_another_msp(self, tenants):
        mine, other = tenants
        as_staff(mine.msp_admin).post(
            url(Client, "change", mine.client.pk),
            {"msp": other.msp.pk, "name": "Renamed", "status": "active", "subscription_tier": "basic"},
        )
        mine.client.refresh_from_db()
        assert (mine.client.name, mine.client.msp) == ("Renamed", mine.msp)


class TestAlerts:
    def act(self, browser, action, alerts, **extra):
        return browser.post(
            url(Alert),
            {"action": action, "_selected_action": [str(alert.pk) for alert in alerts], **extra},
            follow=True,
        )

    def test_assign_complete_reopen_acknowledge(self, mine):
        me = mine.msp_user
        browser = as_staff(me)
        alerts = AlertFactory.create_batch(2, client=mine.client)
        for action, message, status in [
            ("assign_to_me", "Assigned 2 alerts.", "Pending"),
            ("mark_complete", "Completed 2 alerts.", "Complete"),
            ("reopen", "Reopened 2 alerts.", "Pending"),
            ("acknowledge", "Acknowledged 2 alerts.", "Pending"),
        ]:
            assert messages_of(self.act(browser, action, alerts)) == [message]
            assert set(Alert.objects.values_list("status", "assignee")) == {(status, me.pk)}
        assert set(Alert.objects.values_list("acknowledged_by", flat=True)) == {me.pk}

    def test_what_is_refused_is_said_and_the_rest_done(self, mine):
        alerts = AlertFactory.create_batch(3, client=mine.client)
        actions.resolve_alert(alerts[0], mine.msp_admin)
        told = messages_of(self.act(as_staff(mine.msp_user), "assign_to_me", alerts))
        assert told == ["Assigned 2 alerts.", "This alert is Complete: reopen it before you assign it."]

    def test_foreign_alerts_are_not_touched(self, tenants):
        mine, other = tenants
        alert = AlertFactory(client=other.client)
        self.act(as_staff(mine.msp_admin), "mark_complete", [alert])
        assert Alert.objects.get().status == "Unassigned"

    def test_every_change_is_saved_so_that_listeners_hear(self, mine, monkeypatch):
        saved = []
        save = Alert.save
        monkeypatch.setattr(
            Alert, "save", lambda self, **kwargs: (saved.append(self.pk), save(self, **kwargs))[1]
        )
        alert = AlertFactory(client=mine.client)
        saved.clear()
        self.act(as_staff(mine.msp_user), "acknowledge", [alert])
        assert saved == [alert.pk]

    def edit(self, browser, alert, **values):
        form = {
            "asset_kind": "application",
            "severity": alert.severity,
            "details": alert.details,
            "users_affected": 0,
            "count": 1,
            "frameworks": "[]",
            "initial-frameworks": json.dumps(alert.frameworks),
            "status": alert.status,
            "application": alert.application_id or "",
            "assignee": alert.assignee_id or "",
        }
        return browser.post(url(Alert, "change", alert.pk), form | values)

    def test_the_form_follows_the_rules_of_the_actions(self, mine):
        browser = as_staff(mine.client_user)
        alert = AlertFactory(client=mine.client)
        answer = self.edit(browser, alert, status="Pending")
        assert "name an assignee" in str(answer.context["adminform"].form.errors)
        assert self.edit(browser, alert, assignee=mine.msp_user.pk, severity="low").status_code == 302
        alert.refresh_from_db()
        assert (alert.status, alert.assignee, alert.severity) == ("Pending", mine.msp_user, "low")
        assert self.edit(browser, alert, status="Complete").status_code == 302
        alert.refresh_from_db()
        answer = self.edit(browser, alert, assignee=mine.client_user.pk)
        assert "reopen it before" in str(answer.context["adminform"].form.errors)

    def test_the_form_offers_those_who_see_the_client(self, mine):
        alert = AlertFactory(client=mine.client)
        form = as_staff(mine.msp_admin).get(url(Alert, "change", alert.pk)).context["adminform"].form
        assert set(form.fields["assignee"].queryset) == set(mine.users.values())

    def test_an_assignee_who_sees_the_client_no_more_stays(self, tenants):
        mine, other = tenants
        alert = AlertFactory(client=mine.client, status="Pending", assignee=other.msp_user)
        assert self.edit(as_staff(mine.msp_admin), alert, severity="low").status_code == 302
        alert.refresh_from_db()
        assert (alert.assignee, alert.severity) == (other.msp_user, "low")

    @pytest.mark.parametrize(
        ("text", "saved"), [("", []), ("[]", []), ('["GDPR"]', ["GDPR"]), ('{"a": 1}', None), ("[1]", None)]
    )
    def test_frameworks_are_a_list_of_names(self, mine, text, saved):
        alert = AlertFactory(client=mine.client, frameworks=["SOC 2"])
        answer = self.edit(as_staff(mine.msp_admin), alert, frameworks=text)
        alert.refresh_from_db()
        if saved is None:
            assert "list of names" in str(answer.context["adminform"].form.errors["frameworks"])
            assert alert.frameworks == ["SOC 2"]
        else:
            assert alert.frameworks == saved

    def test_adding_one(self, mine):
        browser = as_staff(mine.msp_admin)
        answer = browser.post(
            url(Alert, "add"),
            {
                "client": mine.client.pk,
                "asset_kind": "application",
                "severity": "high",
                "details": "By hand",
                "users_affected": 1,
                "count": 1,
                "frameworks": "[]",
            },
        )
        assert answer.status_code == 302
        assert Alert.objects.get().details == "By hand"

    def test_filters_search_and_dates(self, mine):
        browser = as_staff(mine.msp_admin)
        old = AlertFactory(
            client=mine.client, severity="low", created_at=datetime(2025, 5, 1, tzinfo=UTC), details="Paste"
        )
        new = AlertFactory(client=mine.clients[1], severity="critical", status="Complete")
        assert rows(browser.get(url(Alert), {"severity__exact": "low"})) == {old.pk}
        assert rows(browser.get(url(Alert), {"status__exact": "Complete"})) == {new.pk}
        assert rows(browser.get(url(Alert), {"client__id__exact": str(mine.client.pk)})) == {old.pk}
        assert rows(browser.get(url(Alert), {"client__msp__id__exact": str(mine.msp.pk)})) == {old.pk, new.pk}
        assert rows(browser.get(url(Alert), {"created_at__year": "2025"})) == {old.pk}
        assert rows(browser.get(url(Alert), {"q": "paste"})) == {old.pk}

    def test_export(self, mine):
        application = ApplicationFactory(client=mine.client, name="+ChatGPT")
        AlertFactory(
            client=mine.client,
            application=application,
            details='=HYPERLINK("x"), "quoted"\nsecond line',
            frameworks=["GDPR", "SOC 2"],
            assignee=mine.msp_user,
            status="Pending",
        )
        AlertFactory(client=mine.clients[1])
        AlertFactory()
        answer = as_staff(mine.msp_user).post(
            url(Alert),
            {
                "action": "export_csv",
                "select_across": "1",
                "_selected_action": [str(Alert.objects.first().pk)],
            },
        )
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="alerts-')
        [*lines] = csv.DictReader(answer.getvalue().decode().splitlines(keepends=True))
        assert len(lines) == 2
        line = next(line for line in lines if line["app"] == "'+ChatGPT")
        assert line["details"] == '\'=HYPERLINK("x"), "quoted"\nsecond line'
        assert (line["frameworks"], line["assignee"], line["client"]) == (
            "GDPR, SOC 2",
            mine.msp_user.username,
            mine.client.name,
        )

    @pytest.mark.django_db(transaction=True)
    async def test_export_under_asgi_is_streamed(self, mine, async_client):
        from asgiref.sync import sync_to_async

        def prepare():
            as_staff(mine.msp_user)
            return AlertFactory.create_batch(3, client=mine.client)

        alerts = await sync_to_async(prepare)()
        await async_client.aforce_login(mine.msp_user, backend="django.contrib.auth.backends.ModelBackend")
        answer = await async_client.post(
            url(Alert), {"action": "export_csv", "_selected_action": [str(alert.pk) for alert in alerts]}
        )
        text = b"".join([part async for part in answer.streaming_content]).decode()
        assert len(text.splitlines()) == 4

    @pytest.mark.parametrize(
        "cell",
        [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\tx",
            "\rx",
            "\nx",
            " =1",
            "\xa0=1",
            "＝1",
            "　＋1",
            "－1",
            "＠a",
            "\u200b=1",
            " " * 500 + "=1",
        ],
    )
    def test_formulas_are_defused(self, cell):
        assert defused(cell) == f"'{cell}"

    @pytest.mark.parametrize("cell", ["plain", "", 5, -5, "a=b"])
    def test_other_cells_are_left_alone(self, cell):
        assert defused(cell) == cell


class TestInteractions:
    def test_adding_and_deleting_keep_the_roll_ups_right(self, superuser, mine):
        application = ApplicationFactory(client=mine.client)

        def total():
            return Engagement.objects.get(application=application, day=date(2026, 3, 2)).interactions

        def add(count):
            answer = superuser.post(
                url(Interaction, "add"),
                {
                    "client": mine.client.pk,
                    "application": application.pk,
                    "count": count,
                    "user_ref": "ana",
                    "occurred_at_0": "2026-03-02",
                    "occurred_at_1": "12:00:00",
                },
            )
            assert answer.status_code == 302, answer.context["adminform"].form.errors

        for count in (5, 2, 1):
            add(count)
        assert total() == 8
        superuser.post(url(Interaction, "delete", Interaction.objects.get(count=5).pk), {"post": "yes"})
        assert total() == 3
        left = [str(pk) for pk in Interaction.objects.values_list("pk", flat=True)]
        superuser.post(
            url(Interaction), {"action": "delete_selected", "_selected_action": left, "post": "yes"}
        )
        assert total() == 0

    def test_an_interaction_is_not_edited(self, superuser, mine):
        interaction = InteractionFactory(client=mine.client, count=1)
        assert superuser.post(url(Interaction, "change", interaction.pk), {"count": 9}).status_code == 403


@pytest.mark.parametrize("model", [AccessAttempt, AccessLog, AccessFailureLog, ServerProcess])
def test_no_permission_opens_what_counts_every_tenants_people(model):
    """A client's administrator who was granted everything saw who signs in, and from where, at every tenant."""
    row = (
        ServerProcess.objects.create(host="a", pid=1)
        if model is ServerProcess
        else model.objects.create(
            username="somebody else's",
            ip_address="10.0.0.9",
            **({"failures_since_start": 1} if model is AccessAttempt else {}),
        )
    )
    staff = two_tenants()[0].client_admin
    staff.user_permissions.set(Permission.objects.all())
    browser = as_staff(staff)
    for address in (url(model), url(model, "change", row.pk), url(model, "history", row.pk)):
        assert browser.get(address).status_code == 403, address
    assert model._meta.app_label not in {
        app["app_label"] for app in browser.get("/admin/").context["app_list"]
    } or (model is ServerProcess)
    superuser = as_staff(SuperuserFactory())
    assert row.pk in rows(superuser.get(url(model)))
    assert superuser.get(url(model, "change", row.pk)).status_code == 200
