"""The pages that say no."""

import pytest
from django.template.loader import render_to_string
from django.test import Client as Browser

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_nothing_there(client):
    answer = client.get("/nothing/")
    assert answer.status_code == 404
    assert "Not found" in answer.text


def test_a_broken_page_is_rendered_without_any_context():
    assert "Something broke on our side" in render_to_string("500.html")


def test_not_allowed():
    assert "Not allowed" in render_to_string("403.html")


def test_a_form_without_its_token_says_what_to_do(settings):
    visitor = Browser(enforce_csrf_checks=True)
    visitor.force_login(UserFactory())
    answer = visitor.post("/logout/")
    assert answer.status_code == 403
    assert "This form has expired" in answer.text
