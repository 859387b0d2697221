"""Find what a command line names: clients, applications, agents. Errors say what there is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from django.core.management.base import CommandError

from engagement.models import MSP, Agent, Application, Client
from realtime.management.console import listed, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

_Named = TypeVar("_Named", Application, Agent)


def client(name_or_id: str, msp: str | None = None) -> Client:
    """Return the client with this id or name, in any case, of the MSP named `msp` if given; else CommandError."""
    clients = Client.objects.select_related("msp")
    if msp:
        clients = clients.filter(msp=_msp(msp))
    key = _uuid(name_or_id)
    found = list(clients.filter(pk=key) if key else clients.filter(name__iexact=name_or_id))
    if not found:
        raise CommandError(_no_client(name_or_id, clients, msp))
    exact = [one for one in found if one.name == name_or_id] or found
    if len(exact) > 1:
        owners = ", ".join(f"{one.msp.name} ({one.pk})" for one in exact)
        raise CommandError(
            f"{len(exact)} clients are called {name_or_id!r}: {owners}. Add --msp NAME, or give the id."
        )
    return exact[0]


def known_clients() -> str:
    """Return a sentence that lists the clients there are."""
    return _there_are(Client.objects.values_list("name", flat=True), "clients", "some")


def application(owner: Client, name: str) -> Application:
    """Return the client's application of this name or id; else CommandError with those it has."""
    return _named(Application.objects.filter(client=owner), "application", owner, name)


def agent(owner: Client, name: str) -> Agent:
    """Return the client's agent of this name or id; else CommandError with those it has."""
    return _named(Agent.objects.filter(client=owner), "agent", owner, name)


def _there_are(names: Iterable[str], kind: str, demo: str) -> str:
    known = list(names)
    return listed(known) if known else f"There are no {kind} yet: manage.py seed_demo makes {demo}."


def _msp(name: str) -> MSP:
    found = MSP.objects.filter(name__iexact=name).first()
    if found is None:
        names = list(MSP.objects.values_list("name", flat=True))
        hint = suggestion(name, names) if names else _there_are(names, "MSPs", "two")
        raise CommandError(f"There is no MSP {name!r}. {hint}")
    return found


def _no_client(wrong: str, clients: QuerySet[Client], msp: str | None) -> str:
    names = list(clients.values_list("name", flat=True))
    of_msp = f" of the MSP {msp!r}" if msp else ""
    hint = suggestion(wrong, names) if names else _there_are(names, "clients", "some")
    return f"There is no client {wrong!r}{of_msp}. {hint}"


def _named(rows: QuerySet[_Named], kind: str, owner: Client, name: str) -> _Named:
    key = _uuid(name)
    matching = rows.filter(pk=key) if key else rows.filter(name__iexact=name)
    found = next((row for row in matching if row.name == name), matching.first())
    if found is None:
        names = ", ".join(rows.values_list("name", flat=True))
        there_are = f"It has: {names}." if names else f"It has no {kind}s."
        raise CommandError(f"{owner.name} has no {kind} {name!r}. {there_are}")
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
