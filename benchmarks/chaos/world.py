"""The tenants of a run, and what the event log says of it. Needs Django set up on the run's database."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from django.contrib.auth.hashers import make_password
from django.db import Error, connection
from django.db.models import Max
from rest_framework_simplejwt.tokens import AccessToken

from benchmarks.chaos import poison
from benchmarks.chaos.judge import Truth
from benchmarks.chaos.plan import CLIENTS_PER_MSP, MSPS, USERS_PER_CLIENT, USERS_PER_MSP
from engagement.models import MSP, Agent, Alert, Application, Client, Department, User
from realtime.models import DeadLetter, Event, Log, Outbox, Stream
from realtime.protocol import groups

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who watches: a token, the stream of their own, and what they may see."""

    token: str
    stream: str
    clients: list[str]


def populate() -> list[Person]:
    """Make the tenants; return their people, MSPs' first, in the order that plans count them in."""
    password = make_password(None)
    people: list[Person] = []
    tenants: list[tuple[MSP, list[Client]]] = []
    for number in range(MSPS):
        msp = MSP.objects.create(name=f"MSP {number}")
        clients = [
            Client.objects.create(msp=msp, name=f"Client {number}.{n}") for n in range(CLIENTS_PER_MSP)
        ]
        for client in clients:
            Department.objects.create(client=client, name="Sales")
            for name in ("ChatGPT", "Copilot"):
                Application.objects.create(client=client, name=name)
            Agent.objects.create(client=client, name="Helper")
        tenants.append((msp, clients))
    for msp, clients in tenants:
        for n in range(USERS_PER_MSP):
            role = "msp_admin" if n % 2 else "msp_user"
            user = User.objects.create(username=f"{msp.name} user {n}", role=role, msp=msp, password=password)
            people.append(_person(user, groups.msp(msp.pk), clients))
    for _, clients in tenants:
        for client in clients:
            for n in range(USERS_PER_CLIENT):
                role = "client_admin" if n % 2 else "client_user"
                user = User.objects.create(
                    username=f"{client.name} user {n}", role=role, client=client, password=password
                )
                people.append(_person(user, groups.client(client.pk), [client]))
    return people


def _person(user: User, stream: str, clients: list[Client]) -> Person:
    return Person(str(AccessToken.for_user(user)), stream, [str(client.pk) for client in clients])


def heads_of_all_committed(seconds: float) -> dict[str, int]:
    """Wait until all that is committed now has its place; return the streams' heads then.

    Raise TimeoutError after `seconds`. A database that is away meanwhile is asked again.
    """
    deadline = time.monotonic() + seconds
    last: int | None = None
    while time.monotonic() < deadline:
        try:
            if last is None:
                last = Outbox.objects.aggregate(last=Max("pk"))["last"] or 0
            if not Outbox.objects.filter(pk__lte=last).exists():
                return dict(Stream.objects.values_list("name", "position"))
        except Error:
            connection.close()
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"events were not placed within {seconds:g} s of their commit")


def fingerprint(type_: str, client_id: str, data: Any) -> int:
    """Return a checksum of what an event says, however it was encoded on the way."""
    return zlib.crc32(msgspec.json.encode([type_, client_id, data], order="deterministic"))


def truth() -> Truth:
    """Return what the log holds: for each stream the fingerprints of its events, in order from seq 1."""
    streams: dict[str, list[int]] = {}
    details: list[str] = []
    committed = 0
    rows = Event.objects.order_by("position").values_list(
        "type", "client_id", "msp_id", "client_seq", "msp_seq", "data"
    )
    for type_, client_id, msp_id, client_seq, msp_seq, text in rows.iterator(5000):
        if client_id is None or msp_id is None:
            continue
        committed += 1
        data = msgspec.json.decode(text)
        mark = fingerprint(type_, str(client_id), data)
        for name, seq in ((groups.client(client_id), client_seq), (groups.msp(msp_id), msp_seq)):
            stream = streams.setdefault(name, [])
            stream.append(mark)
            if len(stream) != seq:
                raise RuntimeError(f"The log has a hole: {name} has {seq} at place {len(stream)}.")
        details += poison.MARK.findall(text)
        if type_ == "alert" and data.get("change", "created") == "created":
            details.append(data["details"])
    return Truth(
        epoch=str(Log.current().epoch),
        events=committed,
        streams=streams,
        told=details,
        saved=list(Alert.objects.values_list("details", flat=True)),
        dead=[" ".join(letter) for letter in DeadLetter.objects.order_by("pk").values_list("key", "facts")],
    )


def journal(folder: Path) -> dict[str, str]:
    """Return what the writers say became of what they marked: `committed`, `rolled_back` or `unknown`."""
    outcomes: dict[str, str] = {}
    for path in sorted(folder.glob("writer-*.log")):
        for line in path.read_text().splitlines():
            mark, _, outcome = line.rpartition(" ")
            outcomes[mark] = outcome
    return outcomes
