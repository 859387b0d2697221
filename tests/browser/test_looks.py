"""Every page and every view of the SPA, wide and on a phone, light and dark.

No finding of axe-core (contrast is one of its rules), nothing wider than the window, nothing that jumps, no error in
the console (a violated Content-Security-Policy is one); and a screenshot to look at.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from engagement.models import Alert, Client, User
from tests.browser.conftest import PRODUCTION, needs_node_modules, shoot
from tests.factories import PASSWORD, UserFactory
from tests.servers.portal import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZES = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
LIVE = '.status[data-state="live"]'
PAGES = {
    "overview": "/",
    "client": "/clients/{client}/",
    "alerts": "/alerts/?status=any",
    "alerts-none": "/alerts/?q=nothing+like+this",
    "spa-overview": "/app/",
    "spa-client": "/app/clients/{client}/",
    "spa-alerts": "/app/alerts/?status=any",
    "spa-alerts-none": "/app/alerts/?q=nothing+like+this",
    "spa-alert": "/app/alerts/?status=any&alert={alert}",
    "spa-connection": "/app/connection/",
    "spa-nothing": "/app/nothing/",
}
COMES_LATER = {"overview": "#people li", "spa-overview": ".people li", "spa-alert": ".detail .button"}
SHIFT_ALLOWED = 0.1
"""What Lighthouse calls good (web.dev/articles/cls)."""

WATCH_SHIFTS = """window.__shift = 0;
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) window.__shift += value;
}).observe({ type: "layout-shift", buffered: true });"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return needs_node_modules(ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page(demo, axe, portal_server, sign_in, contexts, errors, size, theme):
    server = portal_server(env=PRODUCTION)
    UserFactory(username="nobody", role="")
    look = Look(axe, f"{size}-{theme}", SIZES[size]["width"])
    options = {"viewport": SIZES[size], "color_scheme": theme, "reduced_motion": "reduce"}
    page = sign_in(server, User.objects.get(username="msp_admin"), **options)
    page.add_init_script(WATCH_SHIFTS)
    look_at_pages(page, server.url, demo, look)
    look_at_what_opens(page, server.url, look)
    stranger = contexts(**options).new_page()
    errors.listen(stranger)
    with errors.expected("403", "404"):
        look_at_doors(page, stranger, server.url, look)


def look_at_pages(page: Page, url: str, demo: Client, look: Look) -> None:
    alert = Alert.objects.filter(client=demo).latest("created_at")
    for name, path in PAGES.items():
        page.goto(url + path.format(client=demo.pk, alert=alert.pk))
        page.wait_for_selector(LIVE)
        page.wait_for_selector("h1")
        expect(page.locator(".skeleton")).to_have_count(0)
        if name in COMES_LATER:
            page.wait_for_selector(COMES_LATER[name])
        look(page, name, whole=name not in {"spa-alerts", "spa-alert"})


def look_at_what_opens(page: Page, url: str, look: Look) -> None:
    page.goto(f"{url}/app/")
    page.wait_for_selector(LIVE)
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Jump to").wait_for()
    look(page, "spa-jump")
    page.goto(f"{url}/")
    page.locator("#account summary").click()
    look(page, "menu")


def look_at_doors(page: Page, stranger: Page, url: str, look: Look) -> None:
    """The pages that say no, and the one that lets in."""
    page.goto(f"{url}/nothing/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    look(page, "not-found")
    stranger.add_init_script(WATCH_SHIFTS)
    stranger.goto(f"{url}/login/")
    look(stranger, "login")
    for password in ("wrong", PASSWORD):
        stranger.get_by_label("Username").fill("nobody")
        stranger.get_by_label("Password").fill(password)
        stranger.get_by_role("button", name="Sign in").click()
        stranger.get_by_text("Wrong username" if password == "wrong" else "No access yet").wait_for()
        look(stranger, "login-refused" if password == "wrong" else "no-tenant")


class Look:
    """Looks at pages of one size and theme."""

    def __init__(self, axe: str, suffix: str, width: int) -> None:
        self.axe, self.suffix, self.width = axe, suffix, width

    def __call__(self, page: Page, name: str, *, whole: bool = True) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= self.width, name
        shoot(page, f"{name}-{self.suffix}", full_page=whole)
        assert page.evaluate("window.__shift") < SHIFT_ALLOWED, name
        page.evaluate(self.axe)
        violations = page.evaluate("axe.run().then(({ violations }) => violations)")
        findings = [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in violations
            for node in violation["nodes"]
        ]
        assert findings == [], name


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
