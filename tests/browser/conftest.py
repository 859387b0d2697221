"""A signed-in browser page that fails its test for any error it meets."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command
from playwright.sync_api import Browser, BrowserContext, Page

from engagement import actions
from engagement.models import Client, User
from tests.factories import (
    PASSWORD,
    AgentFactory,
    ApplicationFactory,
    DepartmentFactory,
    Tenant,
    hashed_password,
    two_tenants,
)
from tests.servers import PortalServer

SHOTS = Path(__file__).resolve().parents[2] / "test-results" / "screenshots"
TIMEOUT_MS = 30_000
PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "only-for-tests-0123456789-0123456789-0123456789-0123456789",
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECURE_SSL_REDIRECT": "false",
}
"""Settings under which errors have the portal's own pages."""

SERVER_IS_DOWN = (
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_EMPTY_RESPONSE",  # it went while it was asked
    "WebSocket connection",
)
"""What Chromium says of a server that is down."""

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


@pytest.fixture
def tenants(transactional_db: None) -> tuple[Tenant, Tenant]:
    return two_tenants()


@pytest.fixture
def mine(tenants: tuple[Tenant, Tenant]) -> Tenant:
    """A tenant that something can happen at: its client has an application, a department and an agent."""
    tenant = tenants[0]
    ApplicationFactory(client=tenant.client, name="ChatGPT")
    DepartmentFactory(client=tenant.client, name="Finance")
    AgentFactory(client=tenant.client, name="Claims Coder")
    return tenant


@pytest.fixture
def demo(transactional_db: None) -> Client:
    """One of the demo's clients."""
    call_command("seed_demo", force=True, verbosity=0, days=10)
    User.objects.update(password=hashed_password())
    return Client.objects.get(name="Harbor Dental")


def use(tenant: Tenant, count: int, who: str = "ana") -> None:
    """Record uses of `mine`'s application."""
    application = tenant.client.applications.get(name="ChatGPT")
    department = tenant.client.departments.get(name="Finance")
    actions.record_interactions(
        tenant.client,
        [actions.Use(application=application, department=department, count=count, user_ref=who)],
    )


def needs_node_modules(path: Path) -> Path:
    """Return `path` in frontend/node_modules; where it is missing skip the test, in CI fail it."""
    if not path.exists():
        without = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        without(f"{path.name} is not installed: run `npm ci` in frontend/.")
    return path
