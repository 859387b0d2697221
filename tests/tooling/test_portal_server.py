"""The portal as a process of its own, on the database of the tests."""

import httpx
import pytest
from playwright.sync_api import Browser

from tests.conftest import StartPortal
from tests.servers import ServerError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("server", "warm"), [("daphne", True), ("daphne", False), ("uvicorn", True)])
def test_answers_again_after_kill_pause_and_restart(
    portal_server: StartPortal, server: str, warm: bool
) -> None:
    portal = portal_server(server=server, warm=warm)
    first = portal.pid
    portal.kill()
    portal.start()
    portal.pause()
    with pytest.raises(httpx.TimeoutException):
        httpx.get(portal.url, timeout=0.3)
    portal.resume()
    portal.restart()
    assert httpx.get(portal.url, follow_redirects=True).status_code == httpx.codes.OK
    assert portal.pid != first


def test_a_server_that_cannot_start_says_why(portal_server: StartPortal) -> None:
    with pytest.raises(ServerError, match=r"(?s)Portal cannot start: it ended with status .*SECRET_KEY"):
        portal_server(env={"DEBUG": "false", "SECRET_KEY": ""})


@pytest.mark.browser
def test_chromium_opens_a_page(portal_server: StartPortal, chromium: Browser) -> None:
    page = chromium.new_page()
    answer = page.goto(portal_server().url)
    assert answer
    assert answer.ok
