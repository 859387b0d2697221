"""Connection statistics: queries over the rows, so they are right across processes.

Each viewer counts what they may see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from django.db.models import Count, Q, QuerySet

from realtime import portal
from realtime.models import LiveConnection, ServerProcess

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


class Stats(TypedDict):
    """Live connections, and how many server processes live. Counts by id leave out ids with none."""

    total_connections: int
    client_connections: dict[str, int]
    msp_connections: dict[str, int]
    processes: int


def visible_connections(viewer: AbstractBaseUser | AnonymousUser) -> QuerySet[LiveConnection]:
    """Return the connections that `viewer` may know of.

    Those to clients they see and, for an MSP's user, to their MSP.
    """
    if portal.is_superuser(viewer):
        return LiveConnection.objects.all()
    seen = Q(client_id__in=portal.current().visible_clients(viewer).values("pk"))
    scope = portal.current().scope_of(viewer)
    if scope is not None and scope.is_msp:
        seen |= Q(client_id=None, msp_id=scope.msp_id)
    return LiveConnection.objects.filter(seen)


def stats(viewer: AbstractBaseUser | AnonymousUser) -> Stats:
    """Return the statistics of open connections that `viewer` may see."""
    opened = visible_connections(viewer).open().order_by()  # type: ignore[attr-defined]
    clients: dict[str, int] = {}
    msps: dict[str, int] = {}
    for row in opened.values("client_id", "msp_id").annotate(n=Count("pk")):
        where, key = (clients, row["client_id"]) if row["client_id"] else (msps, row["msp_id"])
        where[str(key)] = where.get(str(key), 0) + row["n"]
    return {
        "total_connections": sum(clients.values()) + sum(msps.values()),
        "client_connections": clients,
        "msp_connections": msps,
        "processes": ServerProcess.objects.live().count(),
    }
