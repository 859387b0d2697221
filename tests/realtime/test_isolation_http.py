"""Tenant isolation over HTTP: every role × every target × every endpoint, page and admin view."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client as Browser
from django.urls import NoReverseMatch, reverse

from engagement.models import MSP, Alert, Client, User
from tests.realtime.matrix import (
    API,
    FOREIGN,
    FOURTH,
    NOT_SIGNED_IN,
    OWN,
    PAGES,
    SIBLING,
    TARGETS,
    TENANTS,
    UNKNOWN,
    VISIBLE,
    Door,
    World,
    make_world,
    methods,
    stray_id,
    url_names,
)
from tests.sockets import token_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),  # whitenoise, before `collectstatic`
]


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()


def test_no_cell_is_untested():
    """A new endpoint or page needs its row in the matrix: this fails until it has one."""
    wanted = {(name, method) for name, pattern in url_names() for method in methods(pattern)}
    tested = {(door.name, door.method) for door in (*API, *PAGES)}
    # Signing in is tested with the pages: it shows nobody's data.
    assert wanted - tested - {("login", "post"), ("None", "get")} == set()
    assert tested - wanted == set()


def browser_of(world: World, actor: str, *, session: bool) -> Browser:
    user = world.users[actor]
    if user is None:
        return Browser(raise_request_exception=False)
    if not session:
        return Browser(raise_request_exception=False, headers={"Authorization": f"Bearer {token_for(user)}"})
    browser = Browser(raise_request_exception=False)
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


def knock(browser: Browser, world: World, door: Door, target: str) -> Any:
    """Make the request; None where the target's id does not even fit the URL."""
    try:
        url = reverse(door.name, kwargs=door.kwargs(world, target) if door.kwargs else None)
    except NoReverseMatch:
        return None
    if door.query is not None:
        return browser.get(url, door.query(world, target))
    if door.method == "get":
        return browser.get(url)
    if door.form is not None:
        return browser.post(url, door.form)
    return getattr(browser, door.method)(url, json.dumps(door.body), content_type="application/json")


def expected_of_api(door: Door, actor: str, target: str) -> set[int]:
    if door.public:
        return {door.seen, 401} if actor == "inactive" else {door.seen}
    if actor in NOT_SIGNED_IN:
        return {NOT_SIGNED_IN[actor]}
    if door.refused and actor in door.refused:
        return {door.refused[actor]}
    if door.is_targeted and target not in VISIBLE[actor]:
        return {404}
    return {door.seen, 400} if door.query is not None and target not in VISIBLE[actor] else {door.seen}


@pytest.mark.slow
def test_the_api_shows_and_does_what_the_table_says_and_no_more(world):
    wrong, leaks = [], []
    for actor in VISIBLE:
        browser = browser_of(world, actor, session=False)
        for door in API:
            for target in TARGETS if door.is_targeted or door.query else (OWN,):
                response = knock(browser, world, door, target)
                cell = (actor, door.method, door.name, target)
                assert response is not None, (
                    f"{cell}: the URL does not take any id: unknown and malformed must answer alike"
                )
                if response.status_code not in expected_of_api(door, actor, target):
                    wrong.append((*cell, response.status_code, response.content[:200]))
                if found := world.leaked(actor, response.content.decode()):
                    leaks.append((*cell, found))
    assert wrong == []
    assert leaks == []


def test_lists_hold_exactly_what_the_viewer_sees(world):
    for actor in VISIBLE:
        if actor in NOT_SIGNED_IN:
            continue
        browser = browser_of(world, actor, session=False)
        seen = {world.key(target) for target in VISIBLE[actor]}
        clients = {row["id"] for row in browser.get("/api/v1/clients/").json()["results"]}
        alerts = {row["client_id"] for row in browser.get("/api/v1/alerts/").json()["results"]}
        assert (clients, alerts) == (seen, seen), actor


@pytest.mark.slow
def test_foreign_unknown_and_malformed_are_answered_word_for_word_alike(world):
    for actor in TENANTS:
        browser = browser_of(world, actor, session=False)
        for door in API:
            if not door.is_targeted:
                continue
            unseen = [target for target in TARGETS if target not in VISIBLE[actor]]
            answers = {target: knock(browser, world, door, target) for target in unseen}
            said = {(answer.status_code, answer.content) for answer in answers.values()}
            assert len(said) == 1, (actor, door.name, {target: a.content for target, a in answers.items()})


def test_nothing_foreign_is_changed_by_any_door(world):
    def state() -> Any:
        rows = world.rows[FOREIGN]
        return list(Alert.objects.filter(client=rows.client).values()), rows.client.interactions.count()

    before = state()
    for actor in VISIBLE:
        if FOREIGN in VISIBLE[actor]:
            continue
        for session, doors in ((False, API), (True, PAGES)):
            if session and actor == "inactive":
                continue
            browser = browser_of(world, actor, session=session)
            for door in doors:
                if door.is_targeted and door.method != "get":
                    knock(browser, world, door, FOREIGN)
    assert state() == before


@pytest.mark.parametrize("foreign", [FOREIGN, UNKNOWN])
def test_an_own_client_does_not_open_another_clients_rows(world, foreign):
    """The path's client is seen, but what is named below it, or in the body, is another's."""
    browser = browser_of(world, "client_admin", session=False)
    own, other = world.key(OWN), world.row_key(foreign, "application")
    path = f"/api/v1/clients/{own}/applications/{other}/interactions"
    assert browser.get(path).status_code == 404
    assert browser.post(path, "{}", content_type="application/json").status_code == 404
    said = set()
    for key in (other, stray_id()):
        response = browser.post(
            f"/api/v1/clients/{own}/interactions/bulk",
            json.dumps([{"app_id": key}]),
            content_type="application/json",
        )
        assert response.status_code == 400
        said.add(response.content.decode().replace(key, "…"))
    assert len(said) == 1
    mine = world.row_key(OWN, "alert")
    said = set()
    for name in (world.rows[SIBLING].user.username, "nobody at all"):
        response = browser.patch(
            f"/api/v1/alerts/{mine}/", json.dumps({"assignee": name}), content_type="application/json"
        )
        assert response.status_code == 400
        said.add(response.content.decode().replace(name, "…"))
    assert len(said) == 1


@pytest.mark.slow
@pytest.mark.once
def test_pages_show_what_the_table_says_and_no_more(world):
    wrong, leaks = [], []
    for actor in VISIBLE:
        if actor == "inactive":
            continue  # cannot sign in; a session from before is refused like an anonymous one
        for door in PAGES:
            for target in TARGETS if door.is_targeted or door.query else (OWN,):
                response = knock(browser_of(world, actor, session=True), world, door, target)
                if response is None:
                    continue
                cell = (actor, door.method, door.name, target)
                if response.status_code not in expected_of_page(door, actor, target):
                    wrong.append((*cell, response.status_code, response.content[:200]))
                asked = world.key(target)  # may come back in the page's own links
                if found := [
                    secret for secret in world.leaked(actor, response.content.decode()) if secret != asked
                ]:
                    leaks.append((*cell, found))
    assert wrong == []
    assert leaks == []


def expected_of_page(door: Door, actor: str, target: str) -> set[int]:
    if door.public:
        return {door.seen, 302}  # who is signed in already goes on
    if actor not in TENANTS:
        return {302} if actor in ("anonymous", "superuser") else {403}
    if door.is_targeted and not door.shell and target not in VISIBLE[actor]:
        return {404}
    if door.name == "overview" and actor.startswith("client"):
        return {302}
    return {door.seen}


def test_a_session_ends_with_its_user(world):
    browser = browser_of(world, "msp_admin", session=True)
    assert browser.get("/").status_code == 200
    User.objects.filter(pk=world.users["msp_admin"].pk).update(is_active=False)
    assert browser.get("/").status_code == 302
    assert browser.get("/api/v1/clients/").status_code in (401, 403)


# The admin site: walked by its registry, so that a new admin is tested the day it is registered


def owner(row: Model) -> str | None:
    """Return the id of the client, or of the MSP, that a row belongs to."""
    if isinstance(row, Client | MSP):
        return str(row.pk)
    for name in ("client_id", "msp_id"):
        if getattr(row, name, None):
            return str(getattr(row, name))
    return None


@pytest.mark.slow
@pytest.mark.once
def test_staff_find_in_the_admin_site_what_is_theirs_and_a_superuser_everything(world):
    leaks, opened = [], []
    foreign = {world.key(FOREIGN), world.msp_key(FOREIGN), str(world.rows[FOURTH].client.pk)}
    for actor in (*TENANTS, "no role"):
        browser = browser_of(world, actor, session=True)
        hidden = foreign | ({world.key(SIBLING)} if SIBLING not in VISIBLE[actor] else set())
        for model, site in admin.site._registry.items():
            where = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            paths = [
                reverse(f"{where}_changelist"),
                f"{reverse(f'{where}_changelist')}?q=zq",
                reverse(f"{where}_add"),
            ]
            if site.search_fields:
                field = (
                    f"app_label={model._meta.app_label}&model_name={model._meta.model_name}&field_name=client"
                )
                paths.append(f"{reverse('admin:autocomplete')}?term=zq&{field}")
            for path in paths:
                response = browser.get(path)
                assert response.status_code in (200, 302, 403), (actor, path, response.status_code)
                if found := world.leaked(actor, response.content.decode()):
                    leaks.append((actor, path, found))
        for model in admin.site._registry:
            where = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            for row in model._default_manager.all():
                if owner(row) not in hidden:
                    continue
                for view in ("change", "delete", "history"):
                    response = browser.get(reverse(f"{where}_{view}", args=[row.pk]))
                    if response.status_code == 200:
                        opened.append((actor, view, repr(row)))
    assert leaks == []
    assert opened == []
    browser = browser_of(world, "superuser", session=True)
    for model in admin.site._registry:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert browser.get(path).status_code == 200, path
    assert "zq-foreign-mark" in browser.get(reverse("admin:engagement_client_changelist")).content.decode()


def test_who_is_no_staff_sees_no_admin_site(world):
    User.objects.filter(role__in=TENANTS).update(is_staff=False)
    for actor in (*TENANTS, "anonymous"):
        assert browser_of(world, actor, session=True).get("/admin/engagement/alert/").status_code == 302
