"""The tenant-isolation matrix: who, whose, by which door; and the one table of what must come of it.

`actors` × `targets` × doors. What is expected of each cell is computed from `VISIBLE`, not from what the product
says.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from engagement.models import MSP, Agent, Alert, Application, Client, User
from realtime.events import publisher
from tests.factories import (
    AgentFactory,
    AlertFactory,
    ApplicationFactory,
    ClientFactory,
    DepartmentFactory,
    EngagementFactory,
    InteractionFactory,
    MSPFactory,
    SuperuserFactory,
    UserFactory,
)

OWN, SIBLING, FOREIGN, UNKNOWN, MALFORMED = "own", "sibling", "foreign", "unknown", "malformed"
FOURTH = "fourth"
TARGETS = (OWN, SIBLING, FOREIGN, UNKNOWN, MALFORMED)
"""Clients, as seen from the first MSP and its first client. The fourth is the foreign one's sibling."""

TENANTS: dict[str, frozenset[str]] = {
    "msp_admin": frozenset({OWN, SIBLING}),
    "msp_user": frozenset({OWN, SIBLING}),
    "client_admin": frozenset({OWN}),
    "client_user": frozenset({OWN}),
}
"""Whose streams those with a tenant may follow, and what they see everywhere else."""

VISIBLE: dict[str, frozenset[str]] = TENANTS | {
    "superuser": frozenset({OWN, SIBLING, FOREIGN, FOURTH}),
    "no role": frozenset(),
    "inactive": frozenset(),
    "anonymous": frozenset(),
}
"""What everybody sees over REST and in the admin site."""

REFUSALS = {
    "superuser": "no_tenant",
    "no role": "no_tenant",
    "inactive": "user_inactive",
    "anonymous": "authentication_required",
}
"""Why those without a stream get no socket."""


@dataclass
class Rows:
    """What a client owns; `mark` stands in the name of each row, and nowhere else."""

    mark: str
    client: Client
    application: Application
    agent: Agent
    alert: Alert
    user: User

    @property
    def secrets(self) -> list[str]:
        """What must not be seen by those who do not see the client."""
        rows = (self.client, self.application, self.agent, self.alert, self.user)
        return [self.mark, *(str(row.pk) for row in rows)]


@dataclass
class World:
    """Two MSPs with two clients each, and everybody who may come."""

    msps: dict[str, MSP]
    rows: dict[str, Rows]
    users: dict[str, User | None]

    def key(self, target: str) -> str:
        """Return the id of a target."""
        if target == UNKNOWN:
            return "0b9f7d3e-5a55-4c1b-9f5e-3d1c2b4a6978"
        return "nonsense" if target == MALFORMED else str(self.rows[target].client.pk)

    def row_key(self, target: str, kind: str) -> str:
        """Return the id of a target's application, agent or alert."""
        return str(getattr(self.rows[target], kind).pk) if target in self.rows else self.key(target)

    def msp_key(self, target: str) -> str:
        """Return the id of a target's MSP."""
        if target in (OWN, SIBLING):
            return str(self.msps[OWN].pk)
        return str(self.msps[FOREIGN].pk) if target == FOREIGN else self.key(target)

    def leaked(self, actor: str, text: str) -> list[str]:
        """Return what of `text` this actor may not know."""
        unseen = [rows for target, rows in self.rows.items() if target not in VISIBLE[actor]]
        secrets = [secret for rows in unseen for secret in rows.secrets]
        if FOREIGN not in VISIBLE[actor]:
            secrets += [str(self.msps[FOREIGN].pk), self.msps[FOREIGN].name]
        return [secret for secret in secrets if secret in text]


def make_world() -> World:
    """Make it."""
    msps = {OWN: MSPFactory(name="First MSP"), FOREIGN: MSPFactory(name="zq-second-msp")}
    rows = {
        OWN: make_rows("zq-own-mark", msps[OWN]),
        SIBLING: make_rows("zq-sibling-mark", msps[OWN]),
        FOREIGN: make_rows("zq-foreign-mark", msps[FOREIGN]),
        FOURTH: make_rows("zq-fourth-mark", msps[FOREIGN]),
    }
    people: dict[str, User | None] = {
        role: UserFactory(
            role=role,
            is_staff=True,
            **({"msp": msps[OWN]} if role.startswith("msp") else {"client": rows[OWN].client}),
        )
        for role in TENANTS
    }
    people |= {
        "superuser": SuperuserFactory(),
        "no role": UserFactory(role="", is_staff=True),
        "inactive": UserFactory(role="msp_admin", msp=msps[OWN], is_staff=True, is_active=False),
        "anonymous": None,
        "foreign msp_admin": UserFactory(role="msp_admin", msp=msps[FOREIGN], username="zq-second-msp-admin"),
    }
    publisher.flush(10)  # what has happened so far is told before anybody listens
    return World(msps, rows, people)


def make_rows(mark: str, msp: MSP) -> Rows:
    """Make a client with one of everything."""
    client = ClientFactory(msp=msp, name=f"{mark} client")
    application = ApplicationFactory(client=client, name=f"{mark} application")
    agent = AgentFactory(client=client, name=f"{mark} agent", associated_apps=[application])
    department = DepartmentFactory(client=client, name=f"{mark} department")
    user = UserFactory(role="client_admin", client=client, username=f"{mark}-person")
    InteractionFactory(
        client=client, application=application, department=department, user_ref=f"{mark} employee"
    )
    EngagementFactory(client=client, application=application, interactions=3)
    EngagementFactory(client=client, department=department, interactions=3)
    EngagementFactory(client=client, agent=agent, interactions=3)
    alert = AlertFactory(client=client, application=application, details=f"{mark} details")
    return Rows(mark, client, application, agent, alert, user)


# HTTP doors


@dataclass(frozen=True)
class Door:
    """A URL and method. `seen` is the status for who sees the target; `refused` by actor where it is not the rule's."""

    method: str
    name: str
    seen: int
    kwargs: Callable[[World, str], dict[str, str]] | None = None
    body: Any = None
    form: dict[str, str] | None = None
    refused: dict[str, int] | None = None
    public: bool = False
    shell: bool = False
    """Answers alike whatever its path says: a script reads it."""
    query: Callable[[World, str], dict[str, str]] | None = None

    @property
    def is_targeted(self) -> bool:
        """True where the URL names somebody's row."""
        return self.kwargs is not None


def _client(world: World, target: str) -> dict[str, str]:
    return {"client_id": world.key(target)}


def _application(world: World, target: str) -> dict[str, str]:
    return {"client_id": world.key(target), "app_id": world.row_key(target, "application")}


def _alert(world: World, target: str) -> dict[str, str]:
    return {"alert_id": world.row_key(target, "alert")}


NO_TENANT = {"no role": 403, "superuser": 403}
NOT_SIGNED_IN = {"anonymous": 401, "inactive": 401}

API: list[Door] = [
    Door("post", "api-token", 400, body={}, public=True),
    Door("post", "api-token-refresh", 400, body={}, public=True),
    Door("get", "api-schema", 200, public=True),
    Door("get", "api-swagger", 200, public=True),
    Door("get", "api-redoc", 200, public=True),
    Door("get", "healthz", 200, public=True),
    Door("get", "readyz", 200, public=True),
    Door("get", "metrics", 200, public=True),  # to this machine: `tests.operations` has the rest
    Door("get", "api-ws-schema", 200, public=True),
    Door("get", "api-ws-schema-page", 200, public=True),
    Door("get", "api-me", 200),
    Door("get", "api-clients", 200),
    Door("get", "api-client", 200, _client),
    Door("get", "api-dashboard", 200, _client),
    Door("get", "api-applications", 200, _client),
    Door("get", "api-interactions", 200, _client),
    Door("post", "api-interactions-bulk", 400, _client, body=[]),
    Door("get", "api-application-interactions", 200, _application),
    Door("post", "api-application-interactions", 201, _application, body={"interaction_count": 1}),
    Door("get", "api-alerts", 200),
    Door("get", "api-alerts", 200, query=lambda world, target: {"client": world.key(target)}),
    Door("get", "api-alert", 200, _alert),
    Door("patch", "api-alert", 200, _alert, body={"assignee": None}),
    Door("post", "api-alert-acknowledge", 200, _alert, body={}),
    Door("get", "api-events", 200, _client),
    Door("get", "api-ws-stats", 200),
    Door("get", "api-ws-presence", 200),
    Door("post", "api-ws-ticket", 201, body={}, refused=NO_TENANT),
]

PAGES: list[Door] = [
    Door("get", "login", 200, public=True),
    Door("get", "favicon", 302, public=True),
    Door("get", "overview", 200),
    Door("get", "overview-data", 200),
    Door("get", "client", 200, _client),
    Door("get", "client-activity", 200, _client),
    Door("get", "alerts", 200),
    Door("get", "alerts", 200, query=lambda world, target: {"client": world.key(target)}),
    Door("post", "alert-deed", 302, _alert, form={"deed": "acknowledge"}),
    Door("get", "app", 200),
    Door("get", "app-path", 200, lambda world, target: {"path": f"clients/{world.key(target)}"}, shell=True),
    Door("post", "logout", 302, public=True),
]


def url_names() -> Iterator[tuple[str, URLPattern]]:
    """Yield every URL pattern of the portal with its name; the admin site's are walked by its own test."""

    def walk(patterns: list[Any], namespace: str) -> Iterator[tuple[str, URLPattern]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                if pattern.namespace != "admin":
                    yield from walk(pattern.url_patterns, pattern.namespace or namespace)
            else:
                yield (f"{namespace}:{pattern.name}" if namespace else str(pattern.name)), pattern

    yield from walk(get_resolver().url_patterns, "")


def methods(pattern: URLPattern) -> set[str]:
    """Return the methods that a view answers and that do or show something."""
    view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
    if view is None:
        return {"get"}
    names = set(view.http_method_names) - {"options", "head", "trace", "put"}
    return {name for name in names if hasattr(view, name)}


def stray_id() -> str:
    """Return an id that nobody has."""
    return str(uuid.uuid4())
