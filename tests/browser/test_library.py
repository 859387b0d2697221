"""The client library in a real browser, on a real server: the examples, tokens, tabs that share a socket.

It is loaded, built from `frontend/tests/browser/harness.tsx`, into a document of the portal: its address, its policy.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from engagement import actions
from realtime.protocol.inbound import MAX_CLIENTS
from tests.browser.conftest import SERVER_IS_DOWN, needs_node_modules, use
from tests.factories import PASSWORD, ClientFactory
from tests.servers import PortalServer
from tests.servers.portal import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TIMEOUT = 15_000
COMEBACK = 45_000
"""Until a client that waits 3, 6, 12 s between its attempts is back."""
TOKEN_SECONDS = 6
LOAD = """() => new Promise((resolve, reject) => {
  document.body.innerHTML = '<div id="root"></div>';
  const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/harness/harness.css" });
  const script = Object.assign(document.createElement("script"), { type: "module", src: "/harness/harness.js" });
  Object.assign(script, { onload: resolve, onerror: reject });
  document.body.append(style, script);
})"""


def until(page: Page, condition: str, timeout: float = TIMEOUT) -> None:
    """Wait until a condition holds in the page, whose policy forbids what `wait_for_function` does."""
    for _ in range(int(timeout / 100)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not so within {timeout / 1000:g} s: {condition}")


class Sockets:
    """The sockets that a page opens from now on, and the text frames on them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.opened = 0
        self.received: list[str] = []
        self.sent: list[str] = []
        page.on("websocket", self._listen)

    def _listen(self, socket: Any) -> None:
        self.opened += 1
        socket.on("framereceived", lambda frame: self.received.append(str(frame)))
        socket.on("framesent", lambda frame: self.sent.append(str(frame)))

    def wait_for(self, type_: str, times: int = 1, timeout: float = TIMEOUT) -> None:
        """Wait until so many frames of a type have come."""
        for _ in range(int(timeout / 100)):
            if sum(f'"type":"{type_}"' in frame for frame in self.received) >= times:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{times} {type_} frames did not come; {self.received}")


FOLLOW = """async (clients) => {
  Object.assign(window, { heard: [] });
  window.client = new WebSocketClient("/ws/engagement", null, {
    scope: "selected", reconnectDelayMs: 500, maxReconnectAttempts: 50,
  });
  client.on("alert", ({ data }) => heard.push(data.details));
  await client.connect();
  for (const client_id of clients) client.send({ type: "subscribe", client_id });
}"""

OpenHarness = Callable[..., Sockets]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built page, in a folder."""
    vite = needs_node_modules(ROOT / "frontend" / "node_modules" / ".bin" / "vite")
    folder = tmp_path_factory.mktemp("harness")
    command = [vite, "build", "--mode", "harness", "--outDir", folder, "--logLevel", "warn"]
    subprocess.run(command, cwd=ROOT / "frontend", check=True, timeout=120)
    return folder


@pytest.fixture
def open_harness(built: Path) -> OpenHarness:
    """Load it: `open_harness(page, server, "example=MSPDashboard")`; return the sockets that it opens."""

    def open_harness(page: Page, server: PortalServer, query: str = "") -> Sockets:
        page.route(
            "**/harness/*", lambda route: route.fulfill(path=built / route.request.url.rpartition("/")[2])
        )
        page.goto(f"{server.url}/healthz?{query}")
        sockets = Sockets(page)
        page.evaluate(LOAD)
        return sockets

    return open_harness


# --- the examples (frontend/src/examples/)


def test_example_1_shows_the_latest_figures(mine, portal_server, sign_in, open_harness):
    server = portal_server()
    page = sign_in(server, mine.client_user)
    open_harness(page, server, f"example=EngagementDashboard&client={mine.client.pk}")
    expect(page.get_by_text("Status: Connected")).to_be_visible(timeout=TIMEOUT)
    use(mine, 70)
    expect(page.locator("pre")).to_contain_text('"application": "ChatGPT"', timeout=TIMEOUT)
    expect(page.locator("pre")).to_contain_text('"interactions_per_day": 10')


def test_example_2_counts_every_interaction_once(mine, portal_server, sign_in, open_harness, errors):
    server = portal_server()
    page = sign_in(server, mine.client_user)
    sockets = open_harness(page, server, f"example=InteractionCounter&client={mine.client.pk}")
    sockets.wait_for("connection")
    counted = page.locator("#root")
    use(mine, 5)
    expect(counted).to_have_text("Total Interactions: 5", timeout=TIMEOUT)
    with errors.expected(*SERVER_IS_DOWN):
        server.kill()
        use(mine, 7)
        server.start()
        expect(counted).to_have_text("Total Interactions: 12", timeout=COMEBACK)
    use(mine, 1)
    expect(counted).to_have_text("Total Interactions: 13", timeout=TIMEOUT)


def test_example_3_toasts_alerts(mine, portal_server, sign_in, open_harness):
    server = portal_server()
    page = sign_in(server, mine.client_user)
    open_harness(page, server, "example=AlertNotifications")
    expect(page.get_by_text("WebSocket Status: Active")).to_be_visible(timeout=TIMEOUT)
    actions.raise_alert(mine.client, severity="high", details="Customer list pasted")
    toast = page.locator("[data-sonner-toast]", has_text="Customer list pasted")
    expect(toast).to_contain_text("New Alert", timeout=TIMEOUT)
    expect(toast).to_have_attribute("data-type", "error")


def test_example_4_monitors_clients(mine, portal_server, sign_in, open_harness):
    """Its clients are called `client-1` to `client-3`: the server refuses each, and the connection lives on."""
    server = portal_server()
    page = sign_in(server, mine.msp_user)
    sockets = open_harness(page, server, "example=MSPDashboard")
    expect(page.locator("#root")).to_have_text("Monitoring 3 clients")
    sockets.wait_for("error", times=3)
    for name in ("client-1", "client-2", "client-3"):
        assert any('"subscribe"' in frame and f'"{name}"' in frame for frame in sockets.sent)
    assert sockets.opened == 1


def test_two_hundred_clients_are_followed_and_the_others_named(
    mine, portal_server, sign_in, open_harness, errors
):
    """Stale ids, ids that are none and one too many cost the others nothing, also after the server went."""
    clients = ClientFactory.create_batch(MAX_CLIENTS, msp=mine.msp)
    names = [str(client.pk) for client in clients]
    bad = [str(uuid.uuid4()) for _ in range(20)] + ["client-1"]
    server = portal_server()
    page = sign_in(server, mine.msp_user)
    sockets = open_harness(page, server)
    page.evaluate(FOLLOW, [*bad, *names])
    until(page, "Object.keys(client.getSnapshot().positions).length === 200")
    assert page.evaluate("client.getSnapshot().refused") == dict.fromkeys(bad, "not_found") | {
        "client-1": "invalid_message"
    }
    actions.raise_alert(clients[-1], severity="high", details="before")
    until(page, "heard.length === 1")
    with errors.expected(*SERVER_IS_DOWN):
        server.kill()
        actions.raise_alert(clients[0], severity="high", details="meanwhile")
        server.start()
        until(page, "heard.length === 2", COMEBACK)
    actions.raise_alert(clients[-1], severity="high", details="after")
    until(page, "heard.length === 3")
    assert page.evaluate("heard") == ["before", "meanwhile", "after"]
    assert len(page.evaluate("Object.keys(client.getSnapshot().refused)")) == len(bad)
    assert (
        sum('"subscribe"' in frame for frame in sockets.sent) <= 8
    )  # two connections: a list or two and a single one each


# --- Tokens

SHORT_LIFE = {"ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS), "REALTIME_EXPIRY_GRACE": "0"}

SIGN_IN = """async ({ username, password }) => {
  const post = async (path, body) => (await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  })).json();
  let { access, refresh } = await post("/api/v1/auth/token/", { username, password });
  Object.assign(window, { asked: [], mayRefresh: true, heard: [], codes: new Set() });
  const getToken = async (request) => {
    asked.push(request.refresh);
    if (!request.refresh) return access;
    if (!mayRefresh) throw new Error("The token server is away.");
    ({ access, refresh = refresh } = await post("/api/v1/auth/token/refresh/", { refresh }));
    return access;
  };
  const options = { getToken, reconnectDelayMs: 500, maxReconnectAttempts: 50 };
  window.client = new WebSocketClient("/ws/engagement", null, options);
  client.on("alert", ({ data }) => heard.push(data.details));
  client.subscribe(() => codes.add(client.getSnapshot().error?.closeCode));
  await client.connect();
}"""


@pytest.fixture
def with_token(mine, portal_server, contexts, errors, open_harness) -> Callable[[], tuple[Page, Sockets]]:
    """A page without a session whose client logs in by tokens that live `TOKEN_SECONDS`."""

    def with_token() -> tuple[Page, Sockets]:
        page = contexts().new_page()
        errors.listen(page)
        sockets = open_harness(page, portal_server(env=SHORT_LIFE))
        page.evaluate(SIGN_IN, {"username": mine.client_user.username, "password": PASSWORD})
        return page, sockets

    return with_token


def test_a_token_is_renewed_in_place_before_it_expires(mine, with_token):
    page, sockets = with_token()
    until(page, "asked.filter(Boolean).length >= 3", TOKEN_SECONDS * 5000)
    actions.raise_alert(mine.client, severity="low", details="Three tokens later")
    until(page, "heard.includes('Three tokens later')")
    assert sum('"authenticate"' in frame for frame in sockets.sent) >= 2
    assert sockets.opened == 1


def test_an_expired_token_is_refreshed_and_nothing_is_missed(mine, with_token, errors):
    page, sockets = with_token()
    page.evaluate("mayRefresh = false")
    until(page, "codes.has(4001)", TOKEN_SECONDS * 1000 + TIMEOUT)
    actions.raise_alert(mine.client, severity="low", details="While nobody was let in")
    page.evaluate("mayRefresh = true")
    until(page, "heard.includes('While nobody was let in')")
    actions.raise_alert(mine.client, severity="low", details="After")
    until(page, "heard.includes('After')")
    assert page.evaluate("heard") == ["While nobody was let in", "After"]
    assert sockets.opened == 2


# --- Tabs

SHARE = """async () => {
  window.heard = [];
  window.client = createClient("/ws/engagement", null, { shareAs: "somebody" });
  client.on("alert", ({ data }) => heard.push(data.details));
  await client.connect();
}"""


def test_two_tabs_share_a_socket_and_the_second_takes_over(mine, portal_server, sign_in, open_harness):
    server = portal_server()
    first = sign_in(server, mine.client_user)
    second = first.context.new_page()
    tabs = {}
    for tab in (first, second):
        tabs[tab] = open_harness(tab, server)
        tab.evaluate(SHARE)
    assert [tabs[tab].opened for tab in (first, second)] == [1, 0]
    assert [tab.evaluate("client.isLeader") for tab in (first, second)] == [True, False]
    actions.raise_alert(mine.client, severity="low", details="To both")
    for tab in (first, second):
        until(tab, "heard.includes('To both')")
    first.close()
    actions.raise_alert(mine.client, severity="low", details="Between leaders")
    until(second, "heard.includes('Between leaders')")
    actions.raise_alert(mine.client, severity="low", details="To the new leader")
    until(second, "heard.includes('To the new leader')")
    assert second.evaluate("heard") == ["To both", "Between leaders", "To the new leader"]
    assert tabs[second].opened == 1
