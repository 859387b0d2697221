"""Django's side of `formats.json`; Vitest reads the same file for the script's."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from engagement.templatetags import portal

FORMATS = json.loads((Path(__file__).parent / "formats.json").read_text())


def cases(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("value", "written"), FORMATS[name])


@cases("change")
def test_change(value, written):
    assert portal.change(value) == written


@cases("direction")
def test_direction(value, written):
    assert portal.direction(value) == written


@cases("count")
def test_whole_numbers(value, written):
    assert portal.number(value) == written


@cases("decimal")
def test_decimals(value, written):
    assert portal.number(float(value)) == written


@cases("since")
def test_ages(value, written):
    assert portal.since(value) == written


@pytest.mark.parametrize(("icon", "name", "sign"), FORMATS["glyph"])
def test_signs(icon, name, sign):
    assert portal.glyph({"icon": icon, "application": name}, "application") == sign


@pytest.mark.parametrize("filter_", [portal.number, portal.ago, portal.clock])
def test_what_is_missing_is_written_as_nothing(filter_):
    assert filter_(None) == ""
    assert filter_("") == ""


@pytest.mark.parametrize(
    ("cookie", "theme"), [("dark", "dark"), ("light", "light"), ('"><script>', "auto"), (None, "auto")]
)
def test_only_known_themes_are_rendered(cookie, theme):
    cookies = {} if cookie is None else {"theme": cookie}
    assert portal.theme({"request": SimpleNamespace(COOKIES=cookies)}) == theme


def test_a_page_without_request_follows_the_system():
    assert portal.theme({}) == "auto"
