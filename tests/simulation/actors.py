"""What people, administrators, backend code and operators do in a run, and how the machines fail meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.contrib.auth import logout
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, connection, transaction
from rest_framework_simplejwt.tokens import AccessToken

from engagement.models import Alert, Client, User
from realtime.auth import tickets
from realtime.events.recording import Fact, record
from realtime.models import Kind, Outbox
from tests.simulation import workers
from tests.simulation.clock import STARTS_AT
from tests.simulation.database import InjectedFault
from tests.simulation.sockets import Socket
from tests.simulation.tenants import CLIENTS, MSPS, NAMES, PASSWORDS, USER_IDS, Credential, sign_in

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.runs import Run

RETRIED = {None, 1001, 1006, 1011, 1012, 1013, 4008, 4009}
"""Close codes after which a client comes back at once, with its positions."""


async def act(run: Run, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Do something to the rows from a process of the portal. Return None where the database failed."""
    process = run.any_process()
    try:
        result = await process.task(workers.run(function, *arguments))
    except (DatabaseError, InjectedFault):
        run.say(f"{what}: the database failed")
        return None
    run.say(what)
    return result


async def pause(mean: float) -> None:
    """Wait a random time."""
    await asyncio.sleep(random.expovariate(1 / mean))


# People


class Visitor:
    """A user with a browser: connects, asks for things, comes back with what it knows."""

    def __init__(self, run: Run, name: str) -> None:
        self.run = run
        self.name = name
        self.positions: dict[str, int] = {}
        self.epoch = ""
        self.process: Process | None = None

    async def visit(self) -> None:
        """Connect again and again, until the run comes to its end."""
        while not self.run.is_ending:
            await pause(self.run.plan.between_visits)
            credential = await self._credential()
            if credential is None or self.run.is_ending:
                continue
            staying = asyncio.ensure_future(self._stay(self._connect(credential)))
            self.run.visits.append(staying)
            if not self.run.plan.several_tabs:
                await staying

    async def _credential(self) -> Credential | None:
        kind = random.choice(self.run.plan.credentials)
        made = await act(
            self.run, f"{self.name} gets a {kind}", make_credential, self.run, USER_IDS[self.name], kind
        )
        return made if isinstance(made, Credential) else None

    def _connect(self, credential: Credential) -> Socket:
        run, query = self.run, {}
        route = None
        visible = sorted(run.tenants.visible(credential.user))
        if visible and random.random() < run.plan.by_client_route:
            route = str(random.choice(visible))
        elif random.random() < run.plan.selected:
            query["scope"] = "selected"
        if random.random() < 0.5:
            query["batch"] = "1"
        if random.random() < run.plan.paced:
            query["rate"] = "5"
        if self.positions and random.random() < 0.7:
            query["positions"] = ",".join(f"{stream}:{at}" for stream, at in self.positions.items())
            query["epoch"] = self.epoch
        elif random.random() < 0.1:
            query["positions"] = "last"
        process = self.process = run.any_process()
        socket = Socket(
            run,
            process,
            credential,
            route=route,
            query=query,
            subprotocol=random.choice(("compliance.v1", "compliance.v1", "compliance.v1+msgpack")),
        )
        run.say(
            f"{socket} connects to {process.name} by {credential.kind}"
            f"{f' for {NAMES[route]}' if route else ''} {query or ''}"
        )
        process.applications[socket] = process.task(socket.serve())
        return socket

    async def _stay(self, socket: Socket) -> None:
        run = self.run
        ends_at = run.clock.now + random.expovariate(1 / run.plan.stays)
        gives_up_at = run.clock.now + (random.random() * 0.1 if random.random() < run.plan.gives_up else 30.0)
        while not socket.is_gone and socket.closed_with is None:
            if run.clock.now >= gives_up_at or (run.clock.now >= ends_at and not run.is_ending):
                socket.leave(random.choice((1000, 1001, 1006)))
                break
            if socket.must_renew:
                socket.must_renew = False
                await self._renew(socket)
            elif socket.is_open and not run.is_ending and random.random() < run.plan.talkative:
                await self._say(socket)
                await asyncio.sleep(random.random() * 0.3)
            await socket.changed(min(ends_at - run.clock.now, random.random()) if not run.is_ending else 1.0)
        self.positions = {
            stream: followed.cursor for stream, followed in socket.streams.items()
        } or self.positions
        self.epoch = socket.epoch or self.epoch
        if random.random() < run.plan.cancelled and socket in socket.process.applications:
            await asyncio.sleep(random.random() * 0.05)
            if (application := socket.process.applications.get(socket)) is not None:
                application.cancel()  # as a server does whose patience is at its end

    async def _say(self, socket: Socket) -> None:
        choice = random.choice(self.run.plan.messages)
        visible = sorted(self.run.tenants.visible(socket.credential.user)) or sorted(CLIENTS.values())
        client = str(random.choice(visible))
        if choice == "authenticate":
            await self._renew(socket)
        elif choice == "resume":
            positions = {
                stream: max(0, followed.cursor - random.choice(self.run.plan.back))
                for stream, followed in socket.streams.items()
            }
            if positions:
                socket.ask({"type": "resume", "positions": positions, "epoch": socket.epoch})
        elif choice == "subscribe":
            wish: dict[str, Any] = {"type": "subscribe"}
            if "scope" in socket.query or random.random() < 0.3:
                wish["client_id"] = client
            if random.random() < 0.5:
                wish["topics"] = random.sample(("alert", "interaction_update", "engagement_update"), 2)
            elif random.random() < 0.3:
                wish["min_severity"] = "high"
            socket.ask(wish)
        elif choice == "presence":
            topics = ["alert", "engagement_update", "interaction_update", "presence"]
            for each in visible if "scope" in socket.query else [None]:
                socket.ask(
                    {"type": "subscribe", "topics": topics, **({"client_id": str(each)} if each else {})}
                )
        elif choice == "unsubscribe":
            socket.ask({"type": "unsubscribe", "client_id": client, "topics": ["interaction_update"]})
        elif choice == "request_update":
            socket.ask({"type": "request_update", "client_id": client})
        elif choice == "acknowledge":
            alerts = self.run.database.rows("SELECT id FROM engagement_alert ORDER BY created_at")
            if alerts:
                socket.ask({"type": "acknowledge", "alert_id": str(random.choice(alerts)[0])})
        elif choice == "stall":
            socket.stall(not socket.is_stalled)
        else:
            positions = {stream: followed.cursor for stream, followed in socket.streams.items()}
            socket.ask({"type": "ping", "positions": positions})

    async def _renew(self, socket: Socket) -> None:
        token = await act(
            self.run,
            f"{self.name} gets a new token",
            make_credential,
            self.run,
            socket.credential.user,
            "token",
        )
        if isinstance(token, Credential) and not socket.is_gone:
            ref = socket.ask({"type": "authenticate", "token": token.value})
            socket.asked[ref]["credential"] = token


def make_credential(run: Run, user_id: UUID, kind: str) -> Credential | None:
    """Return a new credential of a user, as the portal's doors give it; None where they are closed to them."""
    person = run.tenants.people.get(user_id)
    if person is None or not person.is_active:
        return None
    if kind == "token":
        expires = int(time.time()) + random.choice((2, 5, 600))
        return Credential(
            kind,
            token_for(user_id, person.password, expires),
            user_id,
            person.password,
            expires_at=float(expires),
        )
    ready, password = run.sessions_ready[user_id], person.password
    session = ready.pop() if ready and person.password == PASSWORDS[user_id] else None
    if session not in run.tenants.sessions:
        user = User.objects.get(pk=user_id)
        session, password = sign_in(user), user.password
    if kind == "session":
        return Credential(kind, session, user_id, password, session=session)
    return Credential(kind, tickets.issue(user_id), user_id, password, session=session)


@cache
def token_for(user_id: UUID, password: str, expires_at: int) -> str:
    """Return an access token. Time begins anew in each run, so most are made once; a run must not notice which."""
    state = random.getstate()
    random.seed(f"{user_id} {password} {expires_at}")
    token = AccessToken.for_user(User(id=user_id, password=password))
    random.setstate(state)
    token["iat"], token["exp"] = int(STARTS_AT), expires_at
    return str(token)


# Backend code


async def write(run: Run) -> None:
    """Broadcast and raise alerts."""
    while not run.is_ending:
        await pause(run.plan.between_writes)
        if run.is_ending:
            return
        client = random.choice(sorted(CLIENTS))
        kind = random.choice(run.plan.writes)
        if kind == "alert":
            await act(run, f"an alert is raised for {client}", raise_alert, CLIENTS[client])
        elif kind == "poison":
            await act(
                run, f"something that cannot be published is recorded for {client}", poison, CLIENTS[client]
            )
        elif kind == "large" and run.log is not None:
            await act(
                run,
                f"an event that not every encoding can carry is recorded for {client}",
                record_large,
                run,
                CLIENTS[client],
            )
        elif kind == "vanish":
            await act(run, "an alert is deleted", delete_alert)
        else:
            count = random.choice((1, 1, 1, 2, 5, run.plan.burst))
            await act(
                run, f"{count} events are recorded for {client}", broadcast, run, CLIENTS[client], count
            )


def broadcast(run: Run, client_id: UUID, count: int) -> None:
    """Record events in one transaction."""
    types = ("alert", "interaction_update", "engagement_update")
    if run.log is not None:
        run.database.statement()
    with nullcontext() if run.log is not None else transaction.atomic():
        (run.log.record if run.log is not None else record)(
            [Fact(Kind.MESSAGE, client_id, _message(random.choice(types), number)) for number in range(count)]
        )


def _message(type_: str, number: int) -> dict[str, Any]:
    severity = random.choice(("low", "medium", "high", "critical")) if type_ == "alert" else ""
    return {"type": type_, "data": {"n": number, "severity": severity}, "severity": severity}


def record_large(run: Run, client_id: UUID) -> None:
    """Record an event with a number that MessagePack cannot carry, as a script could that writes rows."""
    run.database.statement()
    message = {
        "type": "alert",
        "data": msgspec.Raw(f'{{"n":{2**64},"severity":"high"}}'.encode()),
        "severity": "high",
    }
    run.log.record([Fact(Kind.MESSAGE, client_id, message)])  # type: ignore[union-attr]


def poison(client_id: UUID) -> None:
    """Record what cannot be published, as a fault of ours or a script would."""
    kind, facts = random.choice(
        (
            ("message", '{"type": "alert", "data": {}}'),
            ("message", "no JSON"),
            ("unknown", "{}"),
            ("alert", '{"id": null}'),
            ("interaction", '{"count": "five"}'),
        )
    )
    Outbox.objects.create(tx=uuid.uuid4(), kind=kind, client_id=client_id, facts=facts, key="")


def raise_alert(client_id: UUID) -> None:
    """Raise an alert."""
    if Client.objects.filter(pk=client_id).exists():
        Alert.objects.create(
            client_id=client_id, severity=random.choice(("low", "high")), details="from a run"
        )


def delete_alert() -> None:
    """Delete the newest alert."""
    alert = Alert.objects.order_by("-created_at").first()
    if alert is not None:
        alert.delete()


# Administrators


async def administer(run: Run) -> None:
    """Change who may see what."""
    while not run.is_ending:
        await pause(run.plan.between_changes)
        if random.random() < run.plan.ambushes:
            await run.next_answer()
        if run.is_ending:
            return
        user = random.choice(_arriving(run) or run.plan.people)
        what, function, *arguments = random.choice(run.plan.changes)
        run.say(f"about to {what} ({user})")
        await act(run, f"{what} ({user})", function, run, USER_IDS[user], *arguments)


def _arriving(run: Run) -> list[str]:
    """Return the users whose handshakes are under way: a change of their access comes at a bad moment."""
    arriving = (socket for socket in run.sockets if socket.connection_id is None and not socket.is_gone)
    return [NAMES[str(socket.credential.user)] for socket in arriving if socket.closed_with is None]


def change_password(run: Run, user_id: UUID) -> None:
    """Give a user a new password."""
    _change(run, User, user_id, password=f"md5$a${random.randrange(10**6)}")


def deactivate(run: Run, user_id: UUID) -> None:
    """Deactivate a user, or activate them again."""
    person = run.tenants.people.get(user_id)
    if person is not None:
        _change(run, User, user_id, is_active=not person.is_active)


def move_user(run: Run, user_id: UUID) -> None:
    """Give a user to another tenant of the same kind."""
    person = run.tenants.people.get(user_id)
    if person is not None and person.msp is not None:
        _change(run, User, user_id, msp_id=random.choice(sorted(MSPS.values())))
    elif person is not None:
        _change(run, User, user_id, client_id=random.choice(sorted(CLIENTS.values())))


def move_client(run: Run, user_id: UUID, name: str | None = None) -> None:
    """Give a client to another MSP: one by name, or any."""
    client_id, msp_id = _a_move(run, name)
    _change(run, Client, client_id, msp_id=msp_id)


def _a_move(run: Run, name: str | None = None) -> tuple[UUID, UUID]:
    """Return a client, and an MSP that it does not belong to."""
    client_id = CLIENTS[name] if name else random.choice(sorted(CLIENTS.values()))
    owners = [key for key in sorted(MSPS.values()) if key != run.tenants.owners.get(client_id)]
    return client_id, random.choice(owners)


def _change(run: Run, model: type[User | Client], key: UUID, **values: Any) -> None:
    """Change a row and tell of it, in one transaction: as its model does, or in memory as quickly as possible."""
    if run.log is None:
        row = model.objects.filter(pk=key).first()
        for name, value in values.items():
            setattr(row, name, value)
        if row is not None:
            row.save()
        return
    with transaction.atomic():
        change_silently(model, key, **values)
        told = {"user_ids": [], "client_ids": [], "sessions": []}
        told["user_ids" if model is User else "client_ids"].append(str(key))
        run.log.record([Fact(Kind.ACCESS, None, told)])


def change_silently(model: type[User | Client], key: UUID, **values: Any) -> None:
    """Change a row by SQL alone."""
    columns = ", ".join(f"{name} = %s" for name in values)
    parameters = [value.hex if isinstance(value, UUID) else value for value in (*values.values(), key)]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {model._meta.db_table} SET {columns} WHERE id = %s", parameters)


def log_out(run: Run, user_id: UUID) -> None:
    """Sign a user out of the newest of their sessions."""
    session = _newest_session(run, user_id)
    if session is not None:
        user = User.objects.get(pk=user_id)
        request = SimpleNamespace(session=SessionStore(session), user=user, META={})
        run.ending_sessions.add(session)  # Django tells of it before it deletes the row
        logout(request)  # type: ignore[arg-type]


def end_session_row(run: Run, user_id: UUID) -> None:
    """Delete a session's row, which no signal tells of."""
    session = _newest_session(run, user_id)
    if session is not None:
        SessionStore.get_model_class().objects.filter(pk=session).delete()


def _newest_session(run: Run, user_id: UUID) -> str | None:
    for socket in reversed(run.sockets):
        key = socket.credential.session
        if socket.credential.user == user_id and key in run.tenants.sessions:
            return key
    return None


def change_unseen(run: Run, user_id: UUID) -> None:
    """Deactivate a user by a way that no signal tells of."""
    change_silently(User, user_id, is_active=False)


def move_client_unseen(run: Run, user_id: UUID) -> None:
    """Give a client to another MSP by a way that no signal tells of."""
    client_id, msp_id = _a_move(run)
    change_silently(Client, client_id, msp_id=msp_id)


def change_role(run: Run, user_id: UUID) -> None:
    """Give a user the other role of their tenant."""
    person = run.tenants.people.get(user_id)
    if person is not None:
        kind, rank = person.role.split("_")
        _change(run, User, user_id, role=f"{kind}_{'user' if rank == 'admin' else 'admin'}")


SIGNALLED: list[tuple[Any, ...]] = [
    ("change the password", change_password),
    ("deactivate or activate", deactivate),
    ("move the user", move_user),
    ("move a client", move_client),
    ("log out", log_out),
]
UNSIGNALLED: list[tuple[Any, ...]] = [
    ("deactivate behind the signals' back", change_unseen),
    ("delete the session's row", end_session_row),
    ("move a client behind the signals' back", move_client_unseen),
]


# Operators, and what fails


async def operate(run: Run) -> None:
    """Replace processes: a new one comes, an old one drains, or dies."""
    while not run.is_ending:
        await pause(run.plan.between_deployments)
        if run.is_ending:
            return
        leaving = random.choice(run.processes)
        run.add_process()
        await end_process(run, leaving, by_crash=random.random() < run.plan.crashes)


async def end_process(run: Run, process: Process, *, by_crash: bool) -> None:
    """End a process by SIGTERM, or by SIGKILL."""
    run.processes.remove(process)
    if by_crash:
        run.say(f"{process.name} dies")
        process.is_dead = True
    else:
        run.say(f"{process.name} gets SIGTERM")
        process.is_draining = True
        await process.task(process.wind_down(random.choice((0.0, 0.5, 1.5))))
        run.say(f"{process.name} has ended")
    run.check_ended(process, by_crash=by_crash)


async def restore(run: Run) -> None:
    """Restore the log from a backup."""
    await pause(run.plan.before_restore)
    if run.log is not None and not run.is_ending:
        run.log.restore()
        run.layer.flush()
        run.say(f"the log is restored as it was at {run.log.position}")


async def fail(run: Run) -> None:
    """Take the database or the channel layer away for a while, again and again."""
    while not run.is_ending:
        await pause(run.plan.between_outages)
        if run.is_ending:
            return
        machine = random.choice((run.database.weather, run.layer))
        name = type(machine).__name__.lower().replace("weather", "database")
        run.say(f"the {name} goes away")
        machine.is_away = True
        await asyncio.sleep(random.choice((0.05, 0.3, 1.0)))
        machine.is_away = False
        run.say(f"the {name} is back")
