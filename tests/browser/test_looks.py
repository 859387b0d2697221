"""Every page, wide and narrow, light and dark: no error, nothing wider than the window, and a screenshot to look at."""

from itertools import product

import pytest
from django.core.management import call_command
from playwright.sync_api import expect

from engagement.models import Client, User
from tests.browser.conftest import PRODUCTION, shoot
from tests.factories import hashed_password

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZES = {"wide": {"width": 1440, "height": 1000}, "narrow": {"width": 360, "height": 780}}


@pytest.fixture
def demo(transactional_db) -> Client:
    call_command("seed_demo", force=True, verbosity=0)
    User.objects.update(password=hashed_password())
    return Client.objects.get(name="Harbor Dental")


def test_pages(demo, portal_server, sign_in, contexts, errors, subtests):
    server = portal_server(env=PRODUCTION)
    for size, theme in product(SIZES, ("light", "dark")):
        with subtests.test(size=size, theme=theme):
            look_at_pages(demo, server, sign_in, contexts, errors, size, theme)


def look_at_pages(demo, server, sign_in, contexts, errors, size, theme):
    look = {"viewport": SIZES[size], "color_scheme": theme}
    stranger = contexts(**look).new_page()
    errors.listen(stranger)
    stranger.goto(f"{server.url}/login/")
    shoot(stranger, f"login-{size}-{theme}")
    page = sign_in(server, User.objects.get(username="msp_admin"), **look)
    for name, path in {
        "overview": "/",
        "client": f"/clients/{demo.pk}/",
        "alerts": "/alerts/?status=any",
    }.items():
        page.goto(f"{server.url}{path}")
        page.wait_for_selector('#status[data-state="live"]')
        assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"]
        shoot(page, f"{name}-{size}-{theme}", full_page=True)
    with errors.expected("404"):
        page.goto(f"{server.url}/nothing/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    shoot(page, f"not-found-{size}-{theme}")


def test_the_theme_is_kept_and_the_keyboard_reaches_the_content_at_once(demo, portal_server, sign_in):
    page = sign_in(portal_server(), User.objects.get(username="msp_admin"), color_scheme="light")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.get_by_role("button", name="Switch theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
