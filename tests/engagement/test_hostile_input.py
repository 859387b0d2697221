"""Numbers, texts and searches beyond reason, at every HTTP door: refused in words, never HTTP 500."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client as Browser
from django.urls import get_resolver, reverse

from engagement.admin.scoping import BoundedSearch
from engagement.searching import MAX_WORDS
from tests.factories import (
    AlertFactory,
    ApplicationFactory,
    EngagementFactory,
    InteractionFactory,
    SuperuserFactory,
    two_tenants,
)
from tests.sockets import token_for

pytestmark = pytest.mark.django_db

V1 = "/api/v1"

EXTREMES = [
    "99999999999",
    "-1",
    "9223372036854775808",
    "-9223372036854775809",
    "1e30",
    "1e400",
    "9" * 3000,
    "NaN",
    "Infinity",
    "0x10",
    "٣",  # a digit to `str.isdigit`
    "²",
    "\0",
    "a\0b",
    "\ud800",
    "💥",
    "[]",
    "{}",
    "null",
    "",
    " ",
    "%",
    "'",
    "99999999999-01-01",
    "0000-00-00",
    "9999-12-31T23:59:59+23:59",
    "0001-01-01T00:00:00+23:59",
    "00000000-0000-0000-0000-000000000000",
    "x" * 3900,
]
SEARCHED = [
    model
    for model, model_admin in admin.site._registry.items()
    if isinstance(model_admin, BoundedSearch) and model_admin.search_fields
]
MANY_WORDS = " ".join(f"w{n}" for n in range(MAX_WORDS + 1))


def in_url(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"))


@pytest.fixture
def mine():
    return two_tenants()[0]


@pytest.fixture
def application(mine):
    return ApplicationFactory(client=mine.client)


@pytest.fixture
def api(mine):
    token = token_for(mine.msp_admin)
    return Browser(raise_request_exception=False, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def superuser():
    browser = Browser(raise_request_exception=False)
    browser.force_login(SuperuserFactory(), backend="django.contrib.auth.backends.ModelBackend")
    return browser


@pytest.fixture
def visitor(mine):
    browser = Browser(raise_request_exception=False)
    browser.force_login(mine.msp_admin, backend="django.contrib.auth.backends.ModelBackend")
    return browser


class TestSearch:
    @pytest.mark.parametrize("name", ["search", "q"])
    def test_the_api_finds_by_either_name(self, api, mine, name):
        AlertFactory(client=mine.client, details="keys leaked")
        AlertFactory(client=mine.client, details="odd hours")
        answer = api.get(f"{V1}/alerts/", {name: "leaked keys leaked"})
        assert [alert["details"] for alert in answer.json()["results"]] == ["keys leaked"]

    @pytest.mark.parametrize("name", ["search", "q"])
    def test_the_page_finds_by_either_name(self, visitor, mine, name):
        AlertFactory(client=mine.client, details="keys leaked")
        AlertFactory(client=mine.client, details="odd hours")
        answer = visitor.get("/alerts/", {name: "leaked"})
        assert [alert["details"] for alert in answer.context["alerts"]] == ["keys leaked"]

    @pytest.mark.parametrize("text", [MANY_WORDS, "x" * 201])
    def test_the_api_says_how_much_it_takes(self, api, text):
        answer = api.get(f"{V1}/alerts/", {"search": text})
        assert answer.status_code == 400
        assert "at most" in answer.json()["detail"]

    def test_the_page_says_so_and_finds_nothing(self, visitor, mine):
        AlertFactory(client=mine.client)
        answer = visitor.get("/alerts/", {"q": MANY_WORDS})
        assert answer.status_code == 200
        assert answer.context["alerts"] == []
        assert f"at most {MAX_WORDS} words" in answer.text

    @pytest.mark.parametrize("model", SEARCHED, ids=lambda model: model._meta.label)
    def test_every_list_of_the_admin_site_says_so(self, superuser, model):
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer = superuser.get(url, {"q": MANY_WORDS})
        assert answer.status_code == 200
        assert f"at most {MAX_WORDS} words" in answer.text
        assert answer.context["cl"].result_count == 0

    def test_so_does_a_search_while_typing(self, superuser):
        query = {"app_label": "engagement", "model_name": "alert", "field_name": "client", "term": MANY_WORDS}
        answer = superuser.get(reverse("admin:autocomplete"), query)
        assert answer.status_code == 200
        assert answer.json()["results"] == []

    @pytest.mark.parametrize("path", [f"{V1}/alerts/", "/alerts/", "/admin/engagement/alert/"])
    def test_thousands_of_words_are_not_looked_at(self, superuser, path):
        assert superuser.get(path, {"q": "word " * 7500}).status_code == 414


class TestUnknownParameters:
    def test_the_answer_names_those_there_are(self, api):
        answer = api.get(f"{V1}/alerts/?severty=high")
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(
            "severty: No such query parameter here: it takes acknowledged, "
        )
        assert "severity" in answer.json()["detail"]

    def test_a_view_without_any_says_so(self, api):
        assert "it takes none" in api.get(f"{V1}/me?verbose=1").json()["detail"]

    def test_nobody_learns_them_who_may_not_ask(self):
        assert Browser().get(f"{V1}/alerts/?severty=high").status_code == 401


QUERIES = {
    "alerts/": (
        "severity", "status", "open", "client", "app", "app_id", "agent_id", "assignee", "acknowledged",
        "created_after", "created_before", "search", "q", "ordering", "page", "page_size",
    ),
    "clients/": ("page", "page_size"),
    "clients/{client}/events": ("after", "limit"),
    "clients/{client}/interactions": (
        "app_id", "agent_id", "department_id", "user_ref", "flagged", "occurred_after", "occurred_before", "cursor",
        "page_size",
    ),
    "ws/presence": ("client",),
}  # fmt: skip


class TestExtremes:
    @pytest.mark.parametrize(("path", "name"), [(path, name) for path in QUERIES for name in QUERIES[path]])
    def test_no_value_of_a_query_parameter_makes_a_fault(self, api, mine, path, name):
        url = f"{V1}/{path.format(client=mine.client.pk)}"
        for value in EXTREMES:
            answer = api.get(f"{url}?{name}={in_url(value)}")
            assert answer.status_code in {200, 400, 404, 410}, (
                value,
                answer.status_code,
                answer.content[:300],
            )
            if "\0" in value:
                assert answer.status_code == 400

    @pytest.mark.parametrize("name", ["q", "severity", "status", "client", "page", "other"])
    def test_nor_one_of_the_alerts_page(self, visitor, mine, name):
        AlertFactory(client=mine.client)
        for value in EXTREMES:
            answer = visitor.get(f"/alerts/?{name}={in_url(value)}")
            assert answer.status_code == (400 if "\0" in value else 200), (value, answer.status_code)

    @pytest.mark.parametrize("value", EXTREMES)
    def test_nor_one_in_a_path(self, api, visitor, mine, value):
        part = in_url(value)
        for path in (
            f"{V1}/clients/{part}/",
            f"{V1}/clients/{part}/events",
            f"{V1}/alerts/{part}/",
            f"{V1}/clients/{mine.client.pk}/applications/{part}/interactions",
            f"/clients/{part}/",
            f"/app/{part}",
            f"/{part}",
        ):
            for browser in (api, visitor):
                assert browser.get(path).status_code < 500, path

    @pytest.mark.parametrize(
        "count",
        ["NaN", "Infinity", "1e400", "1e30", "-1", "0", "1.5", "9" * 5000, '"5"', "null", "[]", "true"],
    )
    def test_nor_a_number_in_a_body(self, api, mine, application, count):
        client = f"{V1}/clients/{mine.client.pk}"
        for path, body in (
            (
                f"{client}/applications/{application.pk}/interactions",
                f'{{"interaction_count": {count}}}',
            ),
            (
                f"{client}/interactions/bulk",
                f'[{{"app_id": "{application.pk}", "interaction_count": {count}}}]',
            ),
        ):
            answer = api.post(path, body, content_type="application/json")
            assert answer.status_code in {400, 201}, (path, answer.status_code, answer.content[:300])

    @pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x" * 10_000, "\x1b[2J", "\u202e"])
    def test_nor_a_text_in_a_body(self, api, mine, application, text):
        client = f"{V1}/clients/{mine.client.pk}"
        alert = AlertFactory(client=mine.client)
        refused = "\0" in text or len(text) > 200 or text == "\ud800"
        for method, path, body in (
            ("post", f"{client}/applications/{application.pk}/interactions", {"user_ref": text}),
            ("post", f"{client}/interactions/bulk", [{"app_id": str(application.pk), "user_ref": text}]),
            ("patch", f"{V1}/alerts/{alert.pk}/", {"assignee": text}),
            ("patch", f"{V1}/alerts/{alert.pk}/", {"status": text}),
            ("post", f"{V1}/auth/token/", {"username": text, "password": text}),
        ):
            answer = getattr(api, method)(path, json.dumps(body), content_type="application/json")
            assert answer.status_code < 500, (path, answer.content[:300])
            if refused:
                assert answer.status_code in {400, 401}, (path, answer.status_code)


NOBODY = "00000000-0000-4000-8000-000000000000"
"""The id of no row; the same in each worker, since it is part of the names of tests."""


def doors(patterns: Iterable[Any], before: str = "") -> Iterator[str]:
    """Yield the address of each page and each door of the API, with ids of nothing."""
    for each in patterns:
        address = before + str(each.pattern).replace("^", "").replace("(?:/)?$", "")
        if hasattr(each, "url_patterns"):
            yield from doors(each.url_patterns, address)
        else:
            yield re.sub(r"<[^>]+>", NOBODY, re.sub(r"\(\?P(<\w+>)[^)]*\)", r"\1", address))


DOORS = [f"/{door}" for door in doors(get_resolver().url_patterns) if not door.startswith("admin/")]


@pytest.mark.parametrize("door", [door for door in DOORS if door != "/readyz"])
def test_no_method_makes_a_fault_anywhere(api, visitor, door):
    """OPTIONS of the page to try the API on was HTTP 500."""
    for browser in (api, visitor):
        for method in ("OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE"):
            answer = browser.generic(method, door, b"[]", content_type="application/json")
            assert answer.status_code < 500, (method, answer.status_code)


def filters_of(model: type[models.Model]) -> Iterator[str]:
    """Yield what an address of this model's list may filter by, allowed or not."""
    for field in model._meta.get_fields():
        if field.auto_created or field.many_to_many:
            continue
        yield from (field.name, f"{field.name}__exact", f"{field.name}__in", f"{field.name}__gt")
        yield from (f"{field.name}__isnull", f"{field.name}__year", f"{field.name}__lookup__none")
        if isinstance(field, models.DateField):
            yield from (f"{field.name}__{part}" for part in ("month", "day", "gte", "lt", "date"))
        if field.is_relation:
            yield from (f"{field.name}__id__exact", f"{field.name}__pk__in")
    yield from (
        "p",
        "o",
        "all",
        "e",
        "_facets",
        "_to_field",
        "_popup",
        "q",
        "client",
        "state",
        "type",
        "_changelist_filters",
    )


MODELS = list(admin.site._registry)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_no_filter_of_the_admin_site_makes_a_fault(superuser, mine, model):
    """A few names, each with another value: all with all takes minutes. HOSTILE_EVERY=1 tries each name."""
    AlertFactory(client=mine.client)
    InteractionFactory(client=mine.client)
    EngagementFactory(client=mine.client)
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    names = itertools.islice(filters_of(model), 0, None, int(os.environ.get("HOSTILE_EVERY", "6")))
    for name, value in zip(names, itertools.cycle(EXTREMES), strict=False):
        answer = superuser.get(f"{url}?{name}={in_url(value)}")
        assert answer.status_code in {200, 302, 400}, (name, value, answer.status_code)
        if "\0" in value:
            assert answer.status_code == 400


@pytest.mark.parametrize(
    "query", ["created_at__year=99999999999", "created_at__gte=99999999999-01-01", "severity=%00"]
)
def test_a_filter_that_cannot_be_is_400(superuser, query):
    assert superuser.get(f"/admin/engagement/alert/?{query}").status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_no_choice_for_an_action_makes_a_fault(superuser, model):
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    for value in (value for value in EXTREMES[::9] if value != "\ud800"):
        answer = superuser.post(url, {"action": "delete_selected", "_selected_action": value, "post": "yes"})
        assert answer.status_code in {200, 302, 400, 403}, (value, answer.status_code)
        assert superuser.get(f"{url}{in_url(value)}/change/").status_code < 500, value
