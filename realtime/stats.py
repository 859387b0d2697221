"""Connection statistics: queries over the rows, so they are right across processes.

Each viewer counts what they may see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from django.db.models import Count, Q, QuerySet

from engagement import access
from engagement.models import Client
from realtime.models import LiveConnection, ServerProcess

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from engagement.models import User


class Stats(TypedDict):
    """SEED.md's three keys, and how many server processes live. Counts by id leave out ids with none."""

    total_connections: int
    client_connections: dict[str, int]
    msp_connections: dict[str, int]
    processes: int


def visible_connections(viewer: User | AnonymousUser) -> QuerySet[LiveConnection]:
    """Return the connections that `viewer` may know of.

    Those to clients they see and, for an MSP's user, to their MSP.
    """
    if viewer.is_superuser and viewer.is_active:
        return LiveConnection.objects.all()
    seen = Q(client_id__in=Client.objects.visible_to(viewer).values("pk"))
    scope = access.scope_of(viewer)
    if scope is not None and scope.is_msp:
        seen |= Q(client_id=None, msp_id=scope.msp_id)
    return LiveConnection.objects.filter(seen)


def stats(viewer: User | AnonymousUser) -> Stats:
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
