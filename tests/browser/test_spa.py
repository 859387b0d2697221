"""The single-page dashboard in a real browser, on a real server; this process is the backend job that saves."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from engagement import actions
from engagement.models import Alert, Client
from realtime.models import Event, Log
from tests.browser import truth
from tests.browser.conftest import SERVER_IS_DOWN, use
from tests.factories import ApplicationFactory, DepartmentFactory, SuperuserFactory, UserFactory

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TIMEOUT = 15_000
SETTLED = 30_000
"""Until a page has fetched what events do not carry."""
DURATIONS = """performance.getEntriesByType("resource").filter(({ name }) => name.includes("/api/v1/"))
  .map(({ duration }) => duration)"""


def live(page: Page) -> Page:
    page.wait_for_selector('.status[data-state="live"]', timeout=TIMEOUT)
    page.wait_for_selector("h1")
    return page


def details(page: Page) -> Any:
    return page.locator(".feed .alert-details")


def total(page: Page, name: str) -> Any:
    return page.locator(f"[data-total={name}]")


def field(page: Page, client: Client, name: str) -> Any:
    return page.locator(f'tr[data-client="{client.pk}"] [data-field={name}]')


def equals_the_database(page: Page, client: Client) -> None:
    """Expect a client's view to show what a fresh reading of the database says, once it has settled."""
    assert truth.settle(page, partial(truth.client_in_spa, client), SETTLED / 1000) == []


def test_a_client_sees_what_happens_at_once(mine, portal_server, sign_in):
    page = live(sign_in(portal_server(), mine.client_user, "/app/"))
    use(mine, 700)
    expect(total(page, "interactions_today")).to_have_text("700", timeout=TIMEOUT)
    alert = actions.raise_alert(mine.client, severity="critical", details="Customer list pasted")
    expect(details(page).first).to_have_text("Customer list pasted", timeout=TIMEOUT)
    expect(page.locator(".toast-title")).to_have_text("Critical alert")
    expect(total(page, "open_alerts")).to_have_text("1")
    equals_the_database(page, mine.client)
    page.locator(".feed").get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".feed")).to_contain_text(f"Seen by {mine.client_user.username}")
    page.locator(".feed").get_by_role("button", name="Assign").click()
    page.get_by_role("combobox").fill(mine.msp_user.username)
    page.keyboard.press("Enter")
    expect(page.locator(".feed")).to_contain_text(f"Pending · {mine.msp_user.username}")
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.assignee) == (mine.client_user, mine.msp_user)


def test_a_refusal_is_told(mine, tenants, portal_server, sign_in, errors):
    page = live(sign_in(portal_server(), mine.client_user, "/app/"))
    actions.raise_alert(mine.client, severity="low", details="Ours")
    page.locator(".feed").get_by_role("button", name="Assign").click()
    page.get_by_role("combobox").fill(tenants[1].msp_user.username)
    with errors.expected("400"):
        page.keyboard.press("Enter")
        expect(page.locator(".toast-text").first).to_contain_text("sees this client")
    assert Alert.objects.get().assignee is None


def test_an_msp_sees_all_its_clients_and_never_a_foreign_one(mine, tenants, portal_server, sign_in, errors):
    foreign = tenants[1]
    ApplicationFactory(client=foreign.client, name="ChatGPT")
    DepartmentFactory(client=foreign.client, name="Finance")
    page = live(sign_in(portal_server(), mine.msp_user, "/app/"))
    heard: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
    page.reload()
    live(page)
    expect(page.locator("tr[data-client]")).to_have_count(2)
    use(foreign, 13)
    actions.raise_alert(foreign.client, severity="critical", details="Not yours to see")
    use(mine, 42)
    actions.raise_alert(mine.clients[1], severity="high", details="At the other client")
    expect(field(page, mine.client, "interactions_today")).to_have_text("42", timeout=TIMEOUT)
    expect(field(page, mine.client, "active_users")).to_have_text("1", timeout=SETTLED)
    expect(details(page)).to_have_text(["At the other client"])
    expect(total(page, "interactions_today")).to_have_text("42")
    assert heard
    assert not any("Not yours" in frame or str(foreign.client.pk) in frame for frame in heard)
    with errors.expected("404"):
        page.goto(page.url + f"clients/{foreign.client.pk}/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


def test_a_killed_server_leaves_no_hole_and_no_double(mine, portal_server, sign_in, errors):
    server = portal_server()
    page = live(sign_in(server, mine.client_user, "/app/"))
    use(mine, 7)
    actions.raise_alert(mine.client, severity="low", details="Before")
    expect(details(page)).to_have_count(1, timeout=TIMEOUT)
    loads: list[str] = []
    page.on("load", lambda loaded: loads.append(loaded.url))
    with errors.expected(*SERVER_IS_DOWN):
        for turn in range(2):
            server.kill()
            expect(page.locator(".status")).not_to_have_attribute("data-state", "live", timeout=TIMEOUT)
            for index in range(5):
                actions.raise_alert(mine.client, severity="high", details=f"Meanwhile {turn}.{index}")
            use(mine, 70, who=f"person{turn}")
            actions.resolve_alert(Alert.objects.order_by("created_at").first(), mine.msp_user)
            server.start()
            page.wait_for_selector('.status[data-state="live"]', timeout=SETTLED)
    actions.raise_alert(mine.client, severity="low", details="After")
    expect(details(page).first).to_have_text("After", timeout=TIMEOUT)
    told = details(page).all_text_contents()
    assert sorted(told) == sorted(Alert.objects.values_list("details", flat=True))
    equals_the_database(page, mine.client)
    assert loads == []
    page.get_by_role("link", name="Connection:").click()
    expect(page.locator("[data-total=reconnects]")).to_have_text("2")
    expect(page.locator("[data-total=replayed]")).not_to_have_text("0")


def test_another_life_of_the_log_is_fetched_anew(mine, portal_server, sign_in, errors):
    """After a restore of the database the positions mean nothing: a resync, and the numbers are right."""
    server = portal_server()
    page = live(sign_in(server, mine.client_user, "/app/"))
    use(mine, 5)
    expect(total(page, "interactions_today")).to_have_text("5", timeout=TIMEOUT)
    with errors.expected(*SERVER_IS_DOWN):
        server.kill()
        use(mine, 6)
        Event.objects.all().delete()
        Log.objects.all().delete()
        server.start()
        page.wait_for_selector('.status[data-state="live"]', timeout=SETTLED)
    use(mine, 7)
    equals_the_database(page, mine.client)


def test_signing_out_closes_the_sockets_of_all_tabs(mine, portal_server, sign_in, errors):
    page = live(sign_in(portal_server(), mine.msp_user, "/app/"))
    other = page.context.new_page()
    sockets: list[Any] = []
    other.on("websocket", lambda socket: sockets.append(socket))
    other.goto(page.url)
    live(other)
    page.locator(".menu summary").click()
    with errors.expected("401"):  # the other tab may just be asking for something
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login/**")
        expect(other.locator(".status")).to_have_attribute("data-state", "stale", timeout=TIMEOUT)
    assert [socket.is_closed() for socket in sockets] == [True]


def test_two_tabs_show_the_same(mine, portal_server, sign_in):
    page = live(sign_in(portal_server(), mine.client_user, "/app/"))
    other = page.context.new_page()
    other.goto(page.url)
    live(other)
    actions.raise_alert(mine.client, severity="high", details="To both")
    for tab in (page, other):
        tab.bring_to_front()
        expect(details(tab).first).to_have_text("To both", timeout=TIMEOUT)
    page.bring_to_front()
    page.locator(".feed").get_by_role("button", name="Acknowledge").click()
    other.bring_to_front()
    expect(other.locator(".feed")).to_contain_text(f"Seen by {mine.client_user.username}", timeout=TIMEOUT)


def test_a_slow_network_shows_the_same_a_little_later(mine, portal_server, sign_in):
    server = portal_server()
    page = live(sign_in(server, mine.client_user, "/app/"))
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    bytes_a_second = 400 * 1024 / 8  # what Chromium's own preset calls slow 3G
    slow = {"latency": 400, "downloadThroughput": bytes_a_second, "uploadThroughput": bytes_a_second}
    devtools.send("Network.emulateNetworkConditions", {"offline": False, **slow})
    page.reload()
    live(page)
    assert min(page.evaluate(DURATIONS)) >= slow["latency"]
    for number in range(20):
        actions.raise_alert(mine.client, severity="low", details=f"Slowly {number}")
        use(mine, 10)
    expect(details(page).first).to_have_text("Slowly 19", timeout=SETTLED)
    equals_the_database(page, mine.client)


def test_thousands_of_alerts_by_keyboard(mine, portal_server, sign_in):
    Alert.objects.bulk_create(
        [Alert(client=mine.client, severity="low", details=f"Alert {index}") for index in range(3000)],
        batch_size=500,
    )
    page = live(sign_in(portal_server(), mine.msp_user, "/app/alerts/"))
    expect(page.locator(".centre-count")).to_have_text("3,000")
    assert page.locator(".virtual-row").count() < 60
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    chosen = page.locator('.virtual-row[aria-selected="true"] [data-alert]').get_attribute("data-alert")
    assert page.locator("[data-detail]").get_attribute("data-detail") == chosen
    page.keyboard.press("a")
    expect(page.locator(".detail")).to_contain_text(f"{mine.msp_user.username}, ")
    assert Alert.objects.get(pk=chosen).acknowledged_by == mine.msp_user
    page.keyboard.press("c")
    expect(page.locator(".centre-count")).to_have_text("2,999")
    assert Alert.objects.get(pk=chosen).status == "Complete"
    box = page.locator(".virtual")
    for _ in range(25):  # to the end, which is loaded as it comes into sight
        box.evaluate("box => box.scrollTo(0, box.scrollHeight)")
        page.wait_for_timeout(150)
    last = page.locator(".virtual-row").last
    expect(last).to_have_attribute("aria-posinset", "2999")
    assert page.locator(".virtual-row").count() < 60
    page.keyboard.press("/")
    page.keyboard.type("Alert 2718")
    expect(page.locator(".centre-count")).to_have_text("1")
    assert "q=Alert+2718" in page.url


def test_a_storm_is_one_toast_and_the_list_stays_where_it_is(mine, portal_server, sign_in):
    Alert.objects.bulk_create(
        [Alert(client=mine.client, severity="low", details=f"Old {index}") for index in range(200)]
    )
    page = live(sign_in(portal_server(), mine.msp_user, "/app/alerts/"))
    page.locator(".virtual").evaluate("box => box.scrollTo(0, 680)")
    page.wait_for_timeout(200)
    in_sight = """box => document.elementFromPoint(200, box.getBoundingClientRect().top + 20)
        .closest("[data-alert]").dataset.alert"""
    before = page.locator(".virtual").evaluate(in_sight)
    Alert.objects.bulk_create(
        [Alert(client=mine.client, severity="high", details=f"Storm {index}") for index in range(120)]
    )
    expect(page.locator(".centre-count")).to_have_text("320", timeout=TIMEOUT)
    expect(page.locator(".toast-title")).to_have_text("120 new alerts", timeout=TIMEOUT)
    assert page.locator(".toast").count() == 1
    assert page.locator(".virtual").evaluate(in_sight) == before


@pytest.mark.parametrize("encoding", ["Compressed JSON", "MessagePack"])
def test_another_encoding_goes_on_from_the_same_place(mine, portal_server, sign_in, encoding):
    page = live(sign_in(portal_server(), mine.client_user, "/app/"))
    use(mine, 3)
    expect(total(page, "interactions_today")).to_have_text("3", timeout=TIMEOUT)
    page.get_by_role("link", name="Connection:").click()
    received: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(frame)))
    page.get_by_label(encoding).check()
    live(page)
    use(mine, 4)
    actions.raise_alert(mine.client, severity="low", details="Long enough to be compressed. " * 60)
    page.get_by_role("link", name="Dashboard").click()
    expect(total(page, "interactions_today")).to_have_text("7", timeout=TIMEOUT)
    equals_the_database(page, mine.client)
    assert any(isinstance(frame, bytes) for frame in received)


def test_who_has_no_place_is_sent_on(transactional_db, portal_server, sign_in):
    server = portal_server()
    page = sign_in(server, SuperuserFactory(), "/app/")
    expect(page).to_have_url(f"{server.url}/admin/")
    page.wait_for_load_state("networkidle")


def test_the_admin_list_and_form_are_live(mine, portal_server, sign_in):
    staff = UserFactory(role="msp_admin", msp=mine.msp, is_staff=True)
    alert = actions.raise_alert(mine.client, severity="low", details="There already")
    server = portal_server()
    page = sign_in(server, staff)
    page.goto(f"{server.url}/admin/engagement/alert/")
    page.wait_for_selector('#live[data-state="live"]')
    actions.assign_alert(alert, staff, staff)
    expect(page.locator("#result_list .field-status")).to_have_text("Pending", timeout=TIMEOUT)
    box = page.locator("input.action-select").first
    box.check()
    for index in range(3):
        actions.raise_alert(mine.client, severity="high", details=f"New {index}")
    expect(page.locator("#live-news")).to_have_text("3 new alerts", timeout=TIMEOUT)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(4)
    expect(page.locator(".action-counter")).to_have_text("1 of 4 selected")
    page.locator("#result_list tbody").get_by_role("link", name="There already").click()
    page.wait_for_selector('#live[data-state="live"]')
    page.locator("[name=details]").fill("Being written")
    actions.resolve_alert(alert, mine.msp_user)
    expect(page.locator("#live-news")).to_have_text("Changed just now: status.", timeout=TIMEOUT)
    expect(page.locator("[name=status]")).to_have_value("Complete")
    expect(page.locator("[name=details]")).to_have_value("Being written")


def test_the_admin_of_a_superuser_looks_now_and_then(mine, portal_server, sign_in):
    server = portal_server()
    page = sign_in(server, SuperuserFactory())
    page.wait_for_url("**/admin/")
    page.goto(f"{server.url}/admin/engagement/alert/")
    expect(page.locator("#live-state")).to_contain_text("every 10 s")
    actions.raise_alert(mine.client, severity="high", details="New")
    expect(page.locator("#live-news")).to_have_text("1 new alert", timeout=SETTLED)
