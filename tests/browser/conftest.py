"""A signed-in browser page that fails its test for any error it meets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from engagement.models import User
from tests.factories import PASSWORD
from tests.servers import PortalServer

SHOTS = Path(__file__).resolve().parents[2] / "test-results" / "screenshots"
TIMEOUT_MS = 15_000
PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "only-for-tests-0123456789-0123456789-0123456789-0123456789",
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECURE_SSL_REDIRECT": "false",
}
"""Settings under which errors have the portal's own pages."""

OpenPage = Callable[..., Page]


class Errors(list[str]):
    """What went wrong in a browser: console errors (a violated Content-Security-Policy is one) and exceptions."""

    def listen(self, page: Page) -> None:
        page.on("console", lambda message: self.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.append(str(error)))

    @contextmanager
    def expected(self, *words: str) -> Iterator[None]:
        """Allow errors that hold one of `words`: what Chromium says of a server that is down."""
        before = len(self)
        yield
        self[before:] = [error for error in self[before:] if not any(word in error for word in words)]


@pytest.fixture
def errors() -> Iterator[Errors]:
    met = Errors()
    yield met
    assert met == []


@pytest.fixture
def contexts(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    made: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        context = chromium.new_context(**options)
        context.set_default_timeout(TIMEOUT_MS)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def sign_in(contexts: Callable[..., BrowserContext], errors: Errors) -> OpenPage:
    """Sign in at a server by the form, in a browser context of its own, and go on to `path`."""

    def sign_in(server: PortalServer, user: User, path: str = "/", **options: object) -> Page:
        page = contexts(**options).new_page()
        errors.listen(page)
        page.goto(f"{server.url}{path}")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{server.url}/**")
        return page

    return sign_in


def shoot(page: Page, name: str, **options: object) -> None:
    """Keep a screenshot as an artefact of the run."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", **options)
