"""The pages move by themselves: a real browser, a real server, and this process as the backend job that saves."""

import pytest
from playwright.sync_api import Page, expect

from engagement import actions
from engagement.models import Alert
from tests.browser.conftest import PRODUCTION, SERVER_IS_DOWN, use
from tests.factories import AlertFactory, ApplicationFactory

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIVE = '#status[data-state="live"]'
TIMEOUT = 15_000
SETTLED = 30_000
"""Until a page has fetched what events do not carry."""


def live(page: Page) -> Page:
    page.wait_for_selector(LIVE)
    return page


def feed(page: Page):
    return page.locator("#feed > li .alert-details")


def test_an_alert_saved_by_another_process_appears_with_a_toast(mine, portal_server, sign_in):
    page = live(sign_in(portal_server(), mine.client_user))
    alert = actions.raise_alert(mine.client, severity="critical", details="Customer list pasted")
    expect(feed(page).first).to_have_text("Customer list pasted", timeout=TIMEOUT)
    expect(page.locator(".toast-title")).to_have_text("Critical alert")
    expect(page.locator("[data-total=open_alerts_total]")).to_have_text("1")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#feed [data-field=seen]")).to_have_text(f"Seen by {mine.client_user.username}")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_hidden()
    alert.refresh_from_db()
    assert alert.acknowledged_by == mine.client_user


def test_figures_move(mine, portal_server, sign_in):
    page = live(sign_in(portal_server(), mine.client_user))
    use(mine, 700)
    row = page.locator("#applications tbody tr")
    expect(row.locator("[data-field=interactions_per_day]")).to_have_text("100.0", timeout=TIMEOUT)
    expect(row.locator("[data-field=utilization]")).to_have_text("High")
    expect(page.locator("[data-total=interactions_today]")).to_have_text("700")
    expect(page.locator("#departments tbody [data-field=interactions]")).to_have_text("700")
    expect(page.locator("[data-total=active_users_today]")).to_have_text("1", timeout=SETTLED)
    ApplicationFactory(client=mine.client, name="Claude")
    claude = mine.client.applications.get(name="Claude")
    actions.record_interactions(mine.client, [actions.Use(application=claude)])
    expect(page.locator("#applications tbody tr [data-field=application]")).to_have_text(
        ["ChatGPT", "Claude"]
    )


def test_the_overview_moves_for_every_client_of_the_msp(mine, portal_server, sign_in):
    page = live(sign_in(portal_server(), mine.msp_user))
    row = page.locator(f'#clients tr[data-client="{mine.client.pk}"]')
    use(mine, 42)
    expect(row.locator("[data-field=interactions_today]")).to_have_text("42", timeout=TIMEOUT)
    actions.raise_alert(mine.clients[1], severity="high", details="At the other client")
    expect(feed(page).first).to_have_text("At the other client", timeout=TIMEOUT)
    expect(page.locator("#feed [data-field=client]").first).to_have_text(mine.clients[1].name)
    page.get_by_label("Filter clients").fill(mine.client.name)
    expect(page.locator("#clients tbody tr:visible")).to_have_count(1)


def test_pages_tell_who_is_connected(mine, portal_server, sign_in):
    server = portal_server()
    page = live(sign_in(server, mine.msp_user))
    expect(page.locator(".watchers-text")).to_have_text("1 person watching", timeout=SETTLED)
    theirs = live(sign_in(server, mine.client_user))
    people = page.locator("#people .people-name [data-field=user]")
    expect(people).to_have_text([mine.msp_user.username, mine.client_user.username], timeout=SETTLED)
    row = page.locator(f'#clients tr[data-client="{mine.client.pk}"]')
    expect(row.locator("[data-field=viewers]")).to_have_text("· 1 viewer")
    expect(theirs.locator(".watchers-text")).to_have_text("2 people watching", timeout=SETTLED)
    expect(theirs.locator("#watchers .avatar")).to_have_count(
        1
    )  # a client's user learns that the MSP watches, not who
    theirs.close()
    expect(people).to_have_text([mine.msp_user.username], timeout=SETTLED)
    expect(row.locator("[data-field=viewers]")).to_have_text("")


def test_a_storm_is_one_toast(mine, portal_server, sign_in):
    page = live(sign_in(portal_server(), mine.client_user))
    Alert.objects.bulk_create(
        [Alert(client=mine.client, severity="low", details=f"Storm {index}") for index in range(120)]
    )
    expect(page.locator(".toast-title")).to_have_text("120 new alerts", timeout=TIMEOUT)
    assert page.locator(".toast").count() == 1
    expect(page.locator("[data-total=open_alerts_total]")).to_have_text("120", timeout=SETTLED)
    assert page.locator("#feed > li").count() == 30


def test_a_restarted_server_leaves_no_hole_and_no_double(mine, portal_server, sign_in, errors):
    server = portal_server()
    page = live(sign_in(server, mine.client_user))
    actions.raise_alert(mine.client, severity="low", details="Before")
    expect(feed(page)).to_have_count(1, timeout=TIMEOUT)
    with errors.expected(*SERVER_IS_DOWN):
        server.kill()
        expect(page.locator("#status")).to_have_attribute("data-state", "reconnecting", timeout=TIMEOUT)
        expect(page.locator("#status-text")).to_contain_text("Reconnecting in")
        for index in range(5):
            actions.raise_alert(mine.client, severity="low", details=f"Meanwhile {index}")
        use(mine, 70)
        server.start()
        live(page)
    actions.raise_alert(mine.client, severity="low", details="After")
    expected = ["After", *(f"Meanwhile {index}" for index in reversed(range(5))), "Before"]
    expect(feed(page)).to_have_text(expected, timeout=TIMEOUT)
    expect(page.locator("[data-total=open_alerts_total]")).to_have_text("7", timeout=SETTLED)
    expect(page.locator("[data-total=interactions_today]")).to_have_text("70", timeout=SETTLED)


def test_a_client_user_never_sees_the_other_clients(tenants, mine, portal_server, sign_in, errors):
    page = live(sign_in(portal_server(env=PRODUCTION), mine.client_user))
    for client in (mine.clients[1], *tenants[1].clients):
        actions.raise_alert(client, severity="critical", details="Not for you")
    actions.raise_alert(mine.client, severity="low", details="For you")
    expect(feed(page)).to_have_text(["For you"], timeout=TIMEOUT)
    assert "Not for you" not in page.content()
    with errors.expected("404"):
        page.goto(page.url.replace(str(mine.client.pk), str(mine.clients[1].pk)))
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


def test_the_alert_centre(mine, portal_server, sign_in):
    AlertFactory(client=mine.client, details="There before", severity="high")
    page = live(sign_in(portal_server(), mine.msp_user, "/alerts/"))
    actions.raise_alert(mine.clients[1], severity="critical", details="Just arrived")
    details = page.locator("#alert-rows .alert-details")
    expect(details).to_have_text(["Just arrived", "There before"], timeout=TIMEOUT)
    row = page.locator("#alert-rows tr").first
    row.get_by_role("button", name="Assign to me").click()
    expect(row.locator("[data-field=status]")).to_have_text("Pending")
    expect(row.locator("[data-field=people]")).to_have_text(mine.msp_user.username)
    row.get_by_role("button", name="Complete").click()
    expect(row.locator("[data-field=status]")).to_have_text("Complete")
    assert Alert.objects.get(details="Just arrived").status == Alert.Status.COMPLETE
    row.get_by_role("button", name="Reopen").click()
    expect(row.locator("[data-field=status]")).to_have_text("Pending")
    page.get_by_label("Severity").select_option("high")
    page.get_by_role("button", name="Apply").click()
    live(page)
    actions.raise_alert(mine.client, severity="low", details="Too mild")
    actions.raise_alert(mine.client, severity="high", details="Bad enough")
    expect(details).to_have_text(["Bad enough", "There before"], timeout=TIMEOUT)


def test_signing_out_ends_what_the_page_is_told(mine, portal_server, sign_in):
    server = portal_server()
    page = live(sign_in(server, mine.client_user))
    page.locator("#account summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(f"{server.url}/clients/{mine.client.pk}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_without_javascript_the_pages_are_whole(mine, portal_server, sign_in):
    alert = AlertFactory(client=mine.client, details="Read me")
    page = sign_in(portal_server(), mine.client_user, java_script_enabled=False)
    expect(page.locator("#departments tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".message")).to_have_text("You have acknowledged the alert.")
    alert.refresh_from_db()
    assert alert.acknowledged_by == mine.client_user
