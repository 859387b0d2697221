"""MSPs, their clients and users, the users' credentials; and who may see what, by a model of its own.

The model is written anew from the rules and asks the rows, so that it is no copy of the code under test.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cache
from uuid import UUID

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from engagement.models import MSP, Client, User
from tests.simulation.database import Database

MSPS = {"north": UUID(int=1), "south": UUID(int=2)}
CLIENTS = {"acme": UUID(int=11), "bolt": UUID(int=12), "cargo": UUID(int=13)}
OWNERS = {"acme": "north", "bolt": "north", "cargo": "south"}
USERS = {
    "nina": ("msp_admin", "north"),
    "nils": ("msp_user", "north"),
    "sara": ("msp_admin", "south"),
    "ada": ("client_admin", "acme"),
    "abe": ("client_user", "acme"),
    "bea": ("client_user", "bolt"),
    "carl": ("client_user", "cargo"),
}
USER_IDS = {name: UUID(int=101 + number) for number, name in enumerate(USERS)}
NAMES = {str(key): name for table in (MSPS, CLIENTS, USER_IDS) for name, key in table.items()}


def fill() -> None:
    """Make the rows that every run begins with."""
    for name, key in MSPS.items():
        MSP.objects.create(id=key, name=name)
    for name, key in CLIENTS.items():
        Client.objects.create(id=key, name=name, msp_id=MSPS[OWNERS[name]])
    for name, (role, tenant) in USERS.items():
        of = {"msp_id": MSPS[tenant]} if role.startswith("msp") else {"client_id": CLIENTS[tenant]}
        user = User.objects.create(
            id=USER_IDS[name], username=name, role=role, password=f"md5$a${name}0", **of
        )
        PASSWORDS[user.pk] = user.password
        SESSIONS[user.pk] = [sign_in(user) for _ in range(SESSIONS_READY)]


PASSWORDS: dict[UUID, str] = {}
SESSIONS_READY = 5
SESSIONS: dict[UUID, list[str]] = {}
"""Sessions of each user that are there from the beginning."""


def sign_in(user: User) -> str:
    """Return the key of a new session, as Django's login makes it."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


@dataclass(frozen=True)
class Credential:
    """What a user shows, and what it hangs on: it holds while all of that stands."""

    kind: str
    value: str = field(repr=False)
    user: UUID
    password: str
    session: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class Person:
    """A row of a user."""

    name: str
    is_active: bool
    role: str
    msp: UUID | None
    client: UUID | None
    password: str


@cache
def uuid(text: str | None) -> UUID | None:
    """Return a key as SQLite holds it."""
    return UUID(text) if text else None


class Tenants:
    """The rows that decide who may see what, as they are now."""

    def __init__(self, database: Database, grace: float) -> None:
        self._database = database
        self._grace = grace
        self.people: dict[UUID, Person] = {}
        self.owners: dict[UUID, UUID] = {}
        self.session_data: dict[str, str] = {}
        self.sessions: Collection[str] = ()
        self.read()

    def read(self) -> bool:
        """Read the rows. Return whether they have changed."""
        rows = self._database.rows
        before = self.people, self.owners, self.sessions
        people = rows(
            "SELECT id, username, is_active, role, msp_id, client_id, password FROM engagement_user"
        )
        self.people = {
            uuid(key): Person(name, bool(active), role, uuid(msp), uuid(client), password)  # type: ignore[misc]
            for key, name, active, role, msp, client, password in people
        }
        self.owners = {uuid(key): uuid(msp) for key, msp in rows("SELECT id, msp_id FROM engagement_client")}  # type: ignore[misc]
        self.session_data = dict(rows("SELECT session_key, session_data FROM django_session"))
        self.sessions = self.session_data.keys()
        return before != (self.people, self.owners, self.sessions)

    def holds(self, credential: Credential) -> bool:
        """Return whether everything that a credential hangs on still stands, but for its time."""
        person = self.people.get(credential.user)
        return (
            person is not None
            and person.is_active
            and bool(person.role)
            and person.password == credential.password
            and (credential.session is None or credential.session in self.sessions)
        )

    def expired_for(self, credential: Credential) -> float:
        """Return how many seconds ago a credential ended by its time and the grace for it; negative while it lasts."""
        return -1.0 if credential.expires_at is None else time.time() - credential.expires_at - self._grace

    def tenant(self, user: UUID) -> tuple[str, UUID] | None:
        """Return the MSP or the client that a user belongs to."""
        person = self.people.get(user)
        if person is None or not person.is_active:
            return None
        if person.role.startswith("msp") and person.msp is not None:
            return "msp", person.msp
        if person.role.startswith("client") and person.client in self.owners:
            return "client", person.client  # type: ignore[return-value]
        return None

    def visible(self, user: UUID) -> frozenset[UUID]:
        """Return the clients that a user may see."""
        tenant = self.tenant(user)
        if tenant is None:
            return frozenset()
        kind, key = tenant
        if kind == "client":
            return frozenset({key})
        return frozenset(client for client, owner in self.owners.items() if owner == key)


__all__ = [
    "CLIENTS",
    "MSPS",
    "NAMES",
    "USERS",
    "USER_IDS",
    "Credential",
    "Tenants",
    "fill",
    "replace",
    "sign_in",
]
