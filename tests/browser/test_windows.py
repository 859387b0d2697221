"""Two windows of one browser with two users, and browsers that block storage, on a real server."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from engagement import actions
from engagement.models import User
from tests.factories import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TIMEOUT = 20_000
CONFLICTS = ("409", "401", "WebSocket connection")
"""What Chromium says of a request that was refused because somebody else is signed in."""
BLOCKED = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, {
    get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
  });
for (const name of ["BroadcastChannel", "Notification", "matchMedia"]) delete window[name];
window.matchMedia = undefined;
"""


def live(page: Page) -> Page:
    page.wait_for_selector('.status[data-state="live"]', timeout=TIMEOUT)
    return page


def change_user(page: Page, user: User) -> None:
    """Sign out in a window, and in as another user."""
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    live(page)


@pytest.mark.parametrize("path", ["/", "/app/"])
def test_a_page_never_goes_on_as_another_user(mine, portal_server, sign_in, errors, path):
    first, second = mine.msp_user, mine.client_user
    alert = actions.raise_alert(mine.client, severity="high", details="Key pasted")
    page = live(sign_in(portal_server(), first, path))
    other = page.context.new_page()
    other.goto(page.url)
    live(other)
    with errors.expected(*CONFLICTS):
        change_user(other, second)
        # Its socket was closed with the session, and its next one is refused: the page is loaded anew, as the second's.
        retry = page.get_by_role("button", name="Try now")
        if retry.is_visible():
            retry.click(timeout=TIMEOUT)
        page.wait_for_selector(f'meta[name="user"][content="{second.pk}"]', state="attached", timeout=TIMEOUT)
        live(page)
    alert.refresh_from_db()
    assert alert.acknowledged_by is None
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(page.locator("body")).to_contain_text(f"Seen by {second.username}", timeout=TIMEOUT)


@pytest.mark.parametrize("path", ["/", "/alerts/", "/app/", "/app/alerts"])
def test_every_page_works_where_storage_is_blocked(mine, portal_server, sign_in, path):
    actions.raise_alert(mine.client, severity="high", details="Key pasted")
    server = portal_server()
    page = sign_in(server, mine.msp_user)
    page.add_init_script(BLOCKED)
    page.goto(f"{server.url}{path}")
    live(page)
    expect(page.locator("body")).to_contain_text("Key pasted", timeout=TIMEOUT)
