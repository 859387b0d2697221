"""Who watches which client: read from the rows of live connections, named only where the viewer may see
names.

An MSP's users see who watches, of both sides. A client's users see their own people by name, and that their
MSP watches, not who.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import F, Q

from realtime import portal
from realtime.models import LiveConnection
from realtime.protocol import outbound
from realtime.protocol.groups import Key

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


@dataclass(frozen=True, slots=True)
class Place:
    """What is watched: one client of an MSP, or (no client) all of them."""

    msp_id: Key
    client_id: Key | None


@dataclass(frozen=True, slots=True)
class Watcher:
    """A user who watches, on however many sockets."""

    user_id: Key
    username: str
    role: str

    @property
    def is_msp(self) -> bool:
        """True for an MSP's user."""
        return self.role in portal.current().msp_roles


def places(msps: Collection[Key]) -> dict[Place, dict[Key, Watcher]]:
    """Return who watches what in these MSPs, in three queries.

    A client that has moved to another MSP is nobody's here until its connections' rows name that one too.
    """
    found: dict[Place, dict[Key, Watcher]] = {}
    opened = LiveConnection.objects.open().filter(msp_id__in=msps, user__isnull=False).order_by()
    whole = opened.filter(Q(selective=False) | Q(client_id__isnull=False))
    selected = opened.filter(selective=True, client_id__isnull=True, selected__isnull=False)
    columns = ("msp_id", "user_id", "user__username", "role")
    rows = [
        *whole.values_list("client_id", *columns).distinct(),
        *selected.annotate(chosen=F("selected__client_id")).values_list("chosen", *columns).distinct(),
    ]
    watched = {client_id for client_id, *_ in rows if client_id is not None}
    owners = portal.current().msps_of(watched)
    for client_id, msp_id, user_id, username, role in rows:
        if username is not None and owners.get(client_id, msp_id) == msp_id:
            found.setdefault(Place(msp_id, client_id), {})[user_id] = Watcher(user_id, username, role)
    return found


def named(watchers: Iterable[Watcher], may_name_msp: bool) -> list[outbound.Watcher]:
    """Return the watchers whose names may be seen, by name."""
    return [
        outbound.Watcher(user=watcher.username, role=watcher.role)
        for watcher in sorted(watchers, key=lambda watcher: watcher.username)
        if may_name_msp or not watcher.is_msp
    ]


def overview(viewer: AbstractBaseUser | AnonymousUser, client_id: Key | None = None) -> dict[str, Any]:
    """Return presence as `GET ws/presence` answers.

    By client that `viewer` sees and somebody watches, and for the MSP as a whole.
    """
    declared = portal.current()
    scope = declared.scope_of(viewer)
    clients = declared.visible_clients(viewer)
    if client_id is not None:
        clients = clients.filter(pk=client_id)
    owners = dict(clients.values_list("pk", declared.msp.attname))
    found = places(set(owners.values()) | ({scope.msp_id} if scope else set()))
    may_name = portal.is_superuser(viewer) or (scope is not None and scope.is_msp)
    answer: dict[str, Any] = {"clients": {}, "msp": None}
    for key, msp_id in owners.items():
        here = found.get(Place(msp_id, key), {})
        everywhere = found.get(Place(msp_id, None), {})
        if here or (everywhere and not (scope and scope.is_msp)):
            answer["clients"][str(key)] = _summary(here | everywhere, may_name)
    if scope is not None and scope.is_msp:
        answer["msp"] = _summary(found.get(Place(scope.msp_id, None), {}), may_name)
    return answer


def _summary(watchers: dict[UUID, Watcher], may_name: bool) -> dict[str, Any]:
    return {
        "msp_watchers": sum(watcher.is_msp for watcher in watchers.values()),
        "client_watchers": sum(not watcher.is_msp for watcher in watchers.values()),
        "watchers": [
            {"user": watcher.user, "role": watcher.role} for watcher in named(watchers.values(), may_name)
        ],
    }
