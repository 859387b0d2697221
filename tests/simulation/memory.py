"""Stand-ins, in memory, for what is asked of the database most often: the log, and who a credential belongs to.

They take time and fail as statements do. Through Django and SQLite a run takes ten times as long; so most runs use
these, and some kinds (`Plan.in_memory` is False) the real functions.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.utils import timezone
from rest_framework_simplejwt.exceptions import InvalidToken

from engagement import access
from engagement.live import EngagementPortal
from engagement.models import Client, User
from realtime import receivers
from realtime.auth import identity as identities
from realtime.events import placing, publisher, reading, rendering
from realtime.events.placing import BusyError, Placed
from realtime.events.reading import Page, Replay, Resync, Row, Seen, Swept
from realtime.models import Kind
from realtime.protocol import groups
from tests.simulation import workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tests.simulation.database import Database
    from tests.simulation.tenants import Person, Tenants

READING = ("origin", "head", "heads", "page", "clients_left", "backlog", "sweep", "epoch")


class MemoryLog:
    """The outbox and the event log."""

    def __init__(self, database: Database, tenants: Tenants) -> None:
        self._database = database
        self._tenants = tenants
        self._epoch = str(uuid.uuid4())
        self.position = self.access_position = 0
        self.outbox: list[Any] = []
        self.log: list[Placed] = []
        self.streams: dict[str, list[tuple[Row, Placed]]] = {}

    # Recording

    def record(self, facts: Any, using: str | None = None, *, at_once: bool = False) -> None:
        """Stands for `recording.record`: what is recorded commits or rolls back with the transaction."""
        self._database.pending += [(fact, timezone.now()) for fact in facts]
        if self._database.in_transaction:
            transaction.on_commit(publisher.wake)
        else:
            self.commit()
            publisher.wake()

    def commit(self) -> None:
        """Take what a transaction has recorded."""
        self.outbox += self._database.pending
        self._database.pending.clear()

    def restore(self) -> None:
        """Go back to an earlier backup, and begin an epoch: what `reset_epoch` is for."""
        self.position = random.randint(0, self.position)
        del self.log[self.position :]
        self.streams = {
            name: [(row, event) for row, event in rows if event.position <= self.position]
            for name, rows in self.streams.items()
        }
        self.outbox.clear()
        self._epoch = str(uuid.uuid4())

    # Placing

    def anything(self, using: str) -> bool:
        """Stands for `placing.anything`."""
        self._database.statement()
        return bool(self.outbox)

    def place(self, limit: int, using: str, *, wait: bool = True, **_: Any) -> tuple[list[Placed], bool]:
        """Stands for `placing.place`: compare and set, as there."""
        while True:
            self._database.statement()
            before, recorded, owners = self.position, self.outbox[:limit], self._tenants.owners
            if not recorded:
                return [], False
            with self._database.write():
                if self.position == before:
                    return self._write(recorded, owners), len(recorded) == limit
            if not wait:
                raise BusyError

    def _write(self, recorded: list[Any], owners: dict[UUID, UUID]) -> list[Placed]:
        placed = []
        for fact, at in recorded:
            self.position += 1
            type_, severity, data = _rendered(fact)
            msp_id = owners.get(fact.client_id) or fact.msp_id
            streams = [
                groups.client(fact.client_id) if fact.client_id else None,
                groups.msp(msp_id) if msp_id and fact.client_id else None,
            ]
            client_seq, msp_seq = (len(self.streams.get(name, ())) + 1 if name else None for name in streams)
            event = Placed(
                position=self.position,
                type=type_,
                client_id=fact.client_id,
                client_seq=client_seq,
                msp_id=msp_id if fact.client_id else None,
                msp_seq=msp_seq,
                severity=severity,
                occurred_at=at,
                data=data,
                after_access=self.access_position,
            )
            for name, seq in zip(streams, (client_seq, msp_seq), strict=True):
                if name is not None and seq is not None:
                    row = Row(seq, type_, str(fact.client_id), severity, at.isoformat(), data)
                    self.streams.setdefault(name, []).append((row, event))
            if type_ == rendering.ACCESS:
                self.access_position = self.position
            self.log.append(event)
            placed.append(event)
        del self.outbox[: len(recorded)]
        return placed

    # Reading

    def epoch(self) -> str:
        """Stands for `reading.epoch`."""
        self._database.statement()
        return self._epoch

    def origin(self) -> Swept:
        """Stands for `reading.origin`."""
        self._database.statement()
        return Swept(self._epoch, self.position, {}, [], self.access_position, unplaced=True)

    def head(self, stream: str) -> int:
        """Stands for `reading.head`."""
        self._database.statement()
        return len(self.streams.get(stream, ()))

    def heads(self, streams: list[str]) -> dict[str, int]:
        """Stands for `reading.heads`."""
        self._database.statement()
        return {stream: len(self.streams.get(stream, ())) for stream in streams}

    def page(self, stream: str, after: int, limit: int, max_bytes: int = 0, up_to: int | None = None) -> Page:
        """Stands for `reading.page`."""
        self._database.statement()
        found = self.streams.get(stream, ())[after : after + limit]
        rows = [row for row, placed in found if up_to is None or placed.position <= up_to]
        kind, text = groups.parse(stream)
        key = UUID(text)
        left = self.clients_left({key: {UUID(row.client_id) for row in rows}})[key] if kind == "msp" else ()
        shown = [replace(row, data="", hidden=True) if UUID(row.client_id) in left else row for row in rows]
        return Page(shown, len(rows) < limit)

    def clients_left(self, clients: Mapping[UUID, Collection[UUID]]) -> dict[UUID, set[UUID]]:
        """Stands for `reading.clients_left`."""
        self._database.statement()
        owners = self._tenants.owners
        return {msp: {each for each in some if owners.get(each, msp) != msp} for msp, some in clients.items()}

    def backlog(
        self, stream: str, position: int, cursor_epoch: str | None, *, most_events: int, most_bytes: int
    ) -> Replay | Resync:
        """Stands for `reading.backlog`."""
        now = self.head(stream)
        if cursor_epoch is not None and cursor_epoch != self._epoch:
            return Resync(stream, "epoch", now)
        if position > now:
            return Resync(stream, "ahead", now)
        self._database.statement()
        return (
            Resync(stream, "backlog", now) if now - position > most_events else Replay(stream, position, now)
        )

    def sweep(self, after: int, seen: Seen | None = None) -> Swept:
        """Stands for `reading.sweep`. A restored log has another epoch here."""
        self._database.statement()
        epoch, position, access_position = self._epoch, self.position, self.access_position
        unplaced = bool(self.outbox)
        if position <= after:
            return Swept(epoch, position, {}, [], access_position, unplaced)
        self._database.statement()
        heads: dict[str, int] = {}
        for event in self.log[after:position]:
            if event.client_id is not None:
                heads[groups.client(event.client_id)] = event.client_seq or 0
            if event.msp_id is not None:
                heads[groups.msp(event.msp_id)] = event.msp_seq or 0
        found = [event.data for event in self.log[after:position] if event.type == rendering.ACCESS]
        return Swept(epoch, position, heads, found, access_position, unplaced)


def _rendered(fact: Any) -> tuple[str, str, str]:
    """Return the type, severity and data of what was recorded."""
    if fact.kind is Kind.MESSAGE:
        return fact.facts["type"], fact.facts["severity"], _json(fact.facts["data"])
    if fact.kind is Kind.ACCESS:
        return rendering.ACCESS, "", _json(fact.facts)
    return (
        "alert",
        fact.facts["severity"],
        _json({"id": fact.facts["id"], "severity": fact.facts["severity"]}),
    )


def _json(data: Any) -> str:
    return msgspec.json.encode(data).decode()


class _Found:
    """A queryset that was filtered by primary key."""

    def __init__(self, statement: Any, find: Any) -> None:
        self._statement, self._find = statement, find

    def select_related(self, *_: str) -> _Found:
        return self

    def filter(self, *, pk: Any = None, pk__in: Any = ()) -> _Found:
        if pk is None:
            return _Found(self._statement, lambda: [self._find(key) for key in pk__in])
        return _Found(self._statement, lambda: self._find(UUID(str(pk))))

    def values_list(self, *_: str, flat: bool) -> list[UUID]:
        return [row.pk for row in self.first() if row is not None]

    def first(self) -> Any:
        self._statement()
        return self._find()

    def exists(self) -> bool:
        return self.first() is not None

    def get(self, **by: Any) -> Any:
        (key,) = by.values()
        found = self.filter(pk=key).first()
        if found is None:
            raise User.DoesNotExist
        return found

    def in_bulk(self, keys: Iterable[Any]) -> dict[Any, Any]:
        self._statement()
        return {key: found for key in keys if (found := self._find(key)) is not None}

    def visible_to(self, user: User) -> _Found:
        scope = access.scope_of(user)

        def visible(key: UUID) -> Any:
            client = self._find(key)
            if client is None or scope is None:
                return None
            return (
                client if scope.client_id == key or (scope.is_msp and scope.msp_id == client.msp_id) else None
            )

        return _Found(self._statement, visible)


class MemoryIdentities:
    """Who is who, from the rows that the simulation's own model holds."""

    def __init__(self, database: Database, tenants: Tenants) -> None:
        self._database = database
        self._tenants = tenants

    def user(self, key: UUID) -> User | None:
        """Return a user's row."""
        person = self._tenants.people.get(key)
        if person is None:
            return None
        client = self.client(person.client) if person.client else None
        return _user(key, person, client)

    def client(self, key: UUID) -> Client | None:
        """Return a client's row."""
        owner = self._tenants.owners.get(key)
        return Client(id=key, name="", msp_id=owner) if owner else None

    def session(self, store: SessionStore) -> Any:
        """Stands for `SessionStore._get_session_from_db`."""
        self._database.statement()
        data = self._tenants.session_data.get(store.session_key or "")
        return SimpleNamespace(session_data=data) if data is not None else None

    def active_user(self, key: UUID) -> User | None:
        """Stands for `ModelBackend.get_user`."""
        self._database.statement()
        user = self.user(key)
        return user if user is not None and user.is_active else None

    def begin(self) -> None:
        """Have `realtime.auth.identity` find these rows."""
        users = _Found(self._database.statement, self.user)
        clients = _Found(self._database.statement, self.client)
        user_model = SimpleNamespace(objects=users, DoesNotExist=User.DoesNotExist, _meta=User._meta)

        class MemoryPortal(EngagementPortal):
            def users(self) -> Any:
                return users

            def visible_clients(self, user: Any) -> Any:
                return clients.visible_to(user)

        declared = MemoryPortal()
        declared.clients = SimpleNamespace(_default_manager=clients)  # type: ignore[assignment]

        class Authentication(_JWTAuthentication):
            def __init__(self) -> None:
                super().__init__()
                self.user_model = user_model

            def get_validated_token(self, raw: bytes) -> Any:
                return _validated(super().get_validated_token, raw)

        identities.portal = SimpleNamespace(current=lambda: declared)  # type: ignore[assignment]
        identities.JWTAuthentication = Authentication  # type: ignore[misc]
        identities.load_backend = lambda _: SimpleNamespace(get_user=self.active_user)  # type: ignore[attr-defined]
        SessionStore._get_session_from_db = lambda store: self.session(store)  # type: ignore[method-assign]


_users: dict[Any, User] = {}
_tokens: dict[bytes, Any] = {}


def _user(key: UUID, person: Person, client: Client | None) -> User:
    known = (key, person, client.msp_id if client else None)
    if known not in _users:
        _users[known] = User(
            id=key,
            username=person.name,
            is_active=person.is_active,
            role=person.role,
            msp_id=person.msp,
            client=client,
            password=person.password,
        )
    return _users[known]


def _validated(validate: Any, raw: bytes) -> Any:
    """Return a token, whose signature is looked at once a process."""
    if raw not in _tokens:
        _tokens[raw] = validate(raw)
    if _tokens[raw]["exp"] <= timezone.now().timestamp():
        raise InvalidToken
    return _tokens[raw]


_JWTAuthentication = identities.JWTAuthentication
_real: dict[tuple[Any, str], Any] = {}


def _stand_in(module: Any, name: str, function: Any) -> None:
    _real.setdefault((module, name), getattr(module, name))
    setattr(module, name, function)


def begin(database: Database, tenants: Tenants) -> MemoryLog:
    """Put the stand-ins in place for a run; return the log."""
    log = MemoryLog(database, tenants)
    for name in READING:
        _stand_in(reading, name, getattr(log, name))
    for name in ("place", "anything"):
        _stand_in(placing, name, getattr(log, name))
    _stand_in(receivers, "record", log.record)
    for name in ("portal", "JWTAuthentication", "load_backend"):
        _stand_in(identities, name, getattr(identities, name))
    _stand_in(SessionStore, "_get_session_from_db", SessionStore._get_session_from_db)
    MemoryIdentities(database, tenants).begin()
    return log


def end() -> None:
    """Put the real functions back."""
    for (owner, name), function in _real.items():
        setattr(owner, name, function)
    _real.clear()


__all__ = ["MemoryLog", "begin", "end", "workers"]
