"""People whose access changes at random moments of their sockets' lives, and an oracle: what each may be told.

Each person has an MSP of their own with two clients, and another MSP with one, to which users and clients are moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import websockets
from django.contrib.auth import logout
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.http import HttpRequest
from websockets.asyncio.client import ClientConnection, connect

from engagement.models import Alert, Client, User
from realtime.auth import tickets
from tests.factories import ClientFactory, MSPFactory, UserFactory
from tests.realtime.doors import GENERAL, client_route, cookie, session_of, token_ending_in
from tests.sockets import token_for

RECHECK = 0.4
"""Seconds: REALTIME_RECHECK_SECONDS of the servers of this test."""
UNTOLD = RECHECK + 2.0
"""Seconds after which a change that nothing tells of has been found, on a busy machine."""
PROMPT = 2.0
"""Seconds from a change that is told to the close, and to the last event, on a busy machine."""
SPAN = 0.8
"""Seconds in which a round's handshakes, resumes, renewals and changes happen."""
TRIES = 4
"""Handshakes of one socket: it comes back, resuming, when it is closed."""

CREDENTIALS = ("token", "session", "ticket", "ticket of a session", "renewed token", "renewed session")


@dataclass(frozen=True)
class Access:
    """What access depends on. `owners`: the MSP of each client, by `a1`, `a2`, `b1`."""

    is_active: bool = True
    password: int = 0
    session: bool = True
    is_msp: bool = True
    place: str = "a"
    """Which MSP the user is of; of a client's user, the client."""
    owners: tuple[tuple[str, str], ...] = (("a1", "a"), ("a2", "a"), ("b1", "b"))

    def shows(self, client: str, credential: str, route: str | None) -> bool:
        """Return whether a socket with this credential may be told of a client's events."""
        if not self.is_active or self.password or ("session" in credential and not self.session):
            return False
        if route not in (None, client):
            return False
        return dict(self.owners)[client] == self.place if self.is_msp else client == self.place

    def shows_anything(self, credential: str, route: str | None) -> bool:
        """Return whether a socket may be open."""
        clients = dict(self.owners) if route is None else [route]
        # An MSP without clients still has a stream.
        return any(self.shows(client, credential, route) for client in clients) or (
            route is None
            and replace(self, owners=((self.place, self.place),)).shows(self.place, credential, None)
        )


@dataclass
class Period:
    """Access as it was from when a change began to when the next one was committed, and found where none was told."""

    access: Access
    begin: float = 0.0
    end: float = float("inf")
    found: float = float("inf")


@dataclass
class Taken:
    """An event that a socket was sent: of which client, saved when, by a handshake begun when."""

    client: str
    saved: float
    asked: float
    at: float
    number: str


@dataclass
class Watching:
    """One socket of a person, over all its handshakes."""

    credential: str
    route: str | None
    ask: Callable[[dict[str, int]], tuple[str, dict[str, Any]]]
    """From positions to the address and options of a handshake."""
    delay: float
    renews_at: float | None
    resumes_at: float | None
    token: str = ""
    taken: list[Taken] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    is_open: bool = False
    raw: ClientConnection | None = None


_numbers = itertools.count()


class Person:
    """A user, their tenants, sockets and history of access. Make it in a thread: it writes to the database."""

    def __init__(self, chance: random.Random, ws_url: str, origin: str) -> None:
        self.chance, self._ws_url, self._origin = chance, ws_url, origin
        self.msps = {"a": MSPFactory(), "b": MSPFactory()}
        self.clients = {name: ClientFactory(msp=self.msps[name[0]]) for name in ("a1", "a2", "b1")}
        self.names = {str(client.pk): name for name, client in self.clients.items()}
        is_msp = chance.random() < 0.7
        belongs = {"msp": self.msps["a"]} if is_msp else {"client": self.clients["a1"]}
        self.user = UserFactory(role="msp_user" if is_msp else "client_user", **belongs)
        self.session = session_of(self.user)
        self.history = [Period(Access(is_msp=is_msp, place="a" if is_msp else "a1"))]
        self.sockets = [self._socket() for _ in range(3)]
        self.changes = chance.sample(list(CHANGES), chance.choice([1, 1, 2]))
        self.moments = sorted(chance.random() * SPAN for _ in self.changes)

    def _socket(self) -> Watching:
        chance, credential = self.chance, self.chance.choice(CREDENTIALS)
        route = chance.choice([None, None, "a1"])
        path = GENERAL if route is None else client_route(self.clients[route].pk)
        token = token_ending_in(self.user, 30) if credential == "renewed token" else token_for(self.user)
        used: list[bool] = []

        def ask(positions: dict[str, int]) -> tuple[str, dict[str, Any]]:
            parameters, options = [], {}
            if positions:
                parameters.append("positions=" + ",".join(f"{name}:{seq}" for name, seq in positions.items()))
            subprotocols = ["compliance.v1"]
            if credential.startswith("ticket"):
                key = self.session if "session" in credential else ""
                if used:
                    raise LookupError("a ticket is used once")
                used.append(True)
                parameters.append(f"ticket={made[key]}")
            elif "session" in credential:
                options = {"additional_headers": cookie(self.session), "origin": self._origin}
            else:
                subprotocols.append(f"bearer.{token}")
            return f"{self._ws_url}{path}?{'&'.join(parameters)}", {**options, "subprotocols": subprotocols}

        made = {}
        if credential.startswith("ticket"):
            key = self.session if "session" in credential else ""
            made[key] = tickets.issue(self.user.pk, session_key=key)
        return Watching(
            credential,
            route,
            ask,
            delay=chance.random() * SPAN * chance.choice([0, 1]),
            renews_at=chance.random() * SPAN if credential.startswith("renewed") else None,
            resumes_at=chance.random() * SPAN if chance.random() < 0.3 else None,
            token=token_for(self.user),
        )

    # What happens

    def change(self, name: str) -> None:
        """Make a change of access and note it."""
        access, is_told, write = CHANGES[name](self.history[-1].access)
        begin = time.monotonic()
        write(self)
        now = time.monotonic()
        self.history[-1].end, self.history[-1].found = now, now if is_told else now + UNTOLD
        self.history.append(Period(access, begin))

    def save(self, name: str, saved: dict[str, float]) -> str:
        """Save an alert of a client; note when that began. Return its number, which is what it says."""
        number = str(next(_numbers))
        saved[number] = time.monotonic()
        Alert.objects.create(client_id=self.clients[name].pk, severity="low", details=number)
        return number

    async def watch(self, socket: Watching, saved: dict[str, float], ended: asyncio.Event) -> None:
        """Be a socket until all has ended."""
        await asyncio.sleep(socket.delay)
        positions: dict[str, int] = {}
        for attempt in range(TRIES):
            if ended.is_set():
                return
            try:
                url, options = socket.ask(positions if attempt else {})
            except LookupError:
                return
            asked = time.monotonic()
            async with connect(
                url, compression=None, ping_interval=None, open_timeout=30, close_timeout=2, **options
            ) as raw:
                await self._take(raw, socket, asked, positions, saved)
            await asyncio.sleep(0.05 + self.chance.random() * 0.2)

    async def _take(
        self,
        raw: ClientConnection,
        socket: Watching,
        asked: float,
        positions: dict[str, int],
        saved: dict[str, float],
    ) -> None:
        saying = asyncio.ensure_future(self._say(raw, socket, positions))
        socket.raw = raw
        try:
            while True:
                frame = json.loads(await raw.recv())
                now = time.monotonic()
                match frame["type"]:
                    case "connection":
                        socket.is_open = True
                        positions.update(frame["positions"])
                    case "error":
                        socket.refusals.append(frame["code"])
                for event in frame.get("messages", [frame]):
                    if "seq" in event and event["type"] == "alert":
                        positions[event["stream"]] = event["seq"]
                        number, client = event["data"]["details"], self.names[event["client_id"]]
                        socket.taken.append(Taken(client, saved[number], asked, now, number))
        except websockets.ConnectionClosed:
            socket.is_open = False
        finally:
            saying.cancel()
            with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
                await saying

    async def _say(self, raw: ClientConnection, socket: Watching, positions: dict[str, int]) -> None:
        """Renew, and resume from the beginning, each at its moment."""
        frames = []
        if socket.renews_at is not None:
            frames.append((socket.renews_at, lambda: {"type": "authenticate", "token": socket.token}))
        if socket.resumes_at is not None:
            frames.append(
                (socket.resumes_at, lambda: {"type": "resume", "positions": dict.fromkeys(positions, 0)})
            )
        begin = time.monotonic()
        for moment, frame in sorted(frames, key=lambda each: each[0]):
            await asyncio.sleep(max(0.0, begin + moment - time.monotonic()))
            await raw.send(json.dumps(frame()))

    # What may be

    def wrongs(self, finals: dict[str, str]) -> list[str]:
        """Return what a socket was told that it must not be, or was not told.

        `finals`: the number of the last alert of each client.
        """
        return [wrong for socket in self.sockets for wrong in self._wrongs(socket, finals)]

    def _wrongs(self, socket: Watching, finals: dict[str, str]) -> list[str]:
        told = f"{socket.credential}, {socket.route or 'general'}; {self._said()}"
        found = [
            f"told of {event.client}, saved {event.saved:.2f}, asked {event.asked:.2f}, at {event.at:.2f}: {told}"
            for event in socket.taken
            if not self._may(socket, event)
        ]
        last = self.history[-1].access
        if socket.is_open and not last.shows_anything(socket.credential, socket.route):
            found.append(f"open without access: {told}")
        got = {event.number for event in socket.taken}
        for client, number in finals.items():
            if all(period.access.shows(client, socket.credential, socket.route) for period in self.history):
                if number not in got:
                    found.append(f"not told of {client}, which it may see ({socket.refusals}): {told}")
            elif number in got and not last.shows(client, socket.credential, socket.route):
                found.append(f"told of {client} at the end: {told}")
        return found

    def _may(self, socket: Watching, event: Taken) -> bool:
        return any(
            period.access.shows(event.client, socket.credential, socket.route)
            and period.begin <= event.at
            and period.found >= max(event.saved, event.asked, event.at - PROMPT)
            for period in self.history
        )

    def _said(self) -> str:
        return "; ".join(
            [
                f"{name} {period.begin:.2f}-{before.end:.2f}"
                for name, before, period in zip(self.changes, self.history, self.history[1:], strict=False)
            ]
        )


Change = Callable[[Access], tuple[Access, bool, Callable[[Person], object]]]
"""From access before to access after, whether the change is told, and the write."""


def _raw(sql: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def _key(model: Any, key: object) -> object:
    return model._meta.pk.get_db_prep_value(key, connection)


def _deactivate(person: Person) -> None:
    user = User.objects.get(pk=person.user.pk)
    user.is_active = False
    user.save()


def _new_password(person: Person) -> None:
    user = User.objects.get(pk=person.user.pk)
    user.set_password("another")
    user.save()


def _log_out(person: Person) -> None:
    request = HttpRequest()
    request.session, request.user = SessionStore(person.session), User.objects.get(pk=person.user.pk)
    logout(request)


def _other_role(person: Person) -> None:
    admin = {"msp_user": "msp_admin", "client_user": "client_admin"}
    user = User.objects.get(pk=person.user.pk)
    user.role = admin.get(user.role, user.role)
    user.save()


def _move_user(access: Access) -> tuple[Access, bool, Callable[[Person], object]]:
    if access.is_msp:
        return (
            replace(access, place="b"),
            True,
            lambda person: User.objects.filter(pk=person.user.pk).update(msp=person.msps["b"]),
        )
    return (
        replace(access, place="a2"),
        True,
        lambda person: User.objects.filter(pk=person.user.pk).update(client=person.clients["a2"]),
    )


def _to_b(access: Access, *clients: str) -> Access:
    owners = tuple((name, "b" if name in clients else owner) for name, owner in access.owners)
    return replace(access, owners=owners)


def _move_client(person: Person) -> None:
    client = Client.objects.get(pk=person.clients["a1"].pk)
    client.msp = person.msps["b"]
    client.save()


CHANGES: dict[str, Change] = {
    "deactivated": lambda access: (replace(access, is_active=False), True, _deactivate),
    "deactivated by update": lambda access: (
        replace(access, is_active=False),
        True,
        lambda person: User.objects.filter(pk=person.user.pk).update(is_active=False),
    ),
    "deactivated by SQL": lambda access: (
        replace(access, is_active=False),
        False,
        lambda person: _raw(
            f"UPDATE {User._meta.db_table} SET is_active = %s WHERE id = %s",
            False,
            _key(User, person.user.pk),
        ),
    ),
    "new password": lambda access: (replace(access, password=1), True, _new_password),
    "role taken away": lambda access: (
        replace(access, is_active=False),
        True,
        lambda person: User.objects.filter(pk=person.user.pk).update(role="", msp=None, client=None),
    ),
    "another role": lambda access: (access, True, _other_role),
    "user moved": _move_user,
    "client moved": lambda access: (_to_b(access, "a1"), True, _move_client),
    "client moved by relation": lambda access: (
        _to_b(access, "a1"),
        True,
        lambda person: person.msps["b"].clients.add(person.clients["a1"]),
    ),
    "client moved by SQL": lambda access: (
        _to_b(access, "a1"),
        False,
        lambda person: _raw(
            f"UPDATE {Client._meta.db_table} SET msp_id = %s WHERE id = %s",
            _key(Client, person.msps["b"].pk),
            _key(Client, person.clients["a1"].pk),
        ),
    ),
    "logged out": lambda access: (replace(access, session=False), True, _log_out),
    "session deleted by SQL": lambda access: (
        replace(access, session=False),
        False,
        lambda person: _raw("DELETE FROM django_session WHERE session_key = %s", person.session),
    ),
}
