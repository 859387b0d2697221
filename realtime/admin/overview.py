"""The real-time overview: statistics and rates that refresh themselves, for what the viewer sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone

from realtime import portal
from realtime.admin.base import Viewers, may, tenant_condition
from realtime.models import DeadLetter, Event, Outbox, ServerProcess
from realtime.stats import stats, visible_connections

SECONDS = 60
"""The stretch of time that rates are shown for."""

MOST_READ = 5000
"""Newest events that rates are made from: a look costs the same on a busy log."""

TOP = 10


def overview(request: HttpRequest) -> HttpResponse:
    """Show the page; the script of it asks `overview_data`."""
    _check(request)
    context = {**admin.site.each_context(request), "title": "Overview", "seconds": SECONDS}
    return render(request, "realtime_admin/overview.html", context)


def overview_data(request: HttpRequest) -> HttpResponse:
    """Answer the figures as JSON."""
    _check(request)
    return JsonResponse(figures(request.user))


def _check(request: HttpRequest) -> None:
    if not may(request, Viewers.ADMINS):
        raise PermissionDenied


def figures(viewer: Any) -> dict[str, Any]:
    """Return what `viewer` may see of connections, events, and (a superuser) processes."""
    counted = stats(viewer)
    top = _top(counted["client_connections"])
    names = portal.current().client_names(set(top))
    return {
        "at": timezone.now().isoformat(),
        "connections": counted["total_connections"],
        "users": _users(viewer),
        "clients": [{"name": names.get(key, str(key)), "connections": count} for key, count in top.items()],
        "events": _rates(viewer),
        "waiting": Outbox.objects.filter(tenant_condition(viewer))[:MOST_READ].count(),
        "dead_letters": DeadLetter.objects.all()[:MOST_READ].count() if portal.is_superuser(viewer) else None,
        "processes": _processes() if portal.is_superuser(viewer) else None,
    }


def _top(counts: dict[str, int]) -> dict[UUID, int]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    return {portal.current().client_key(key): count for key, count in ranked}


def _users(viewer: Any) -> int:
    opened: QuerySet[Any] = visible_connections(viewer).open()  # type: ignore[attr-defined]
    return opened.order_by().values("user").distinct().count()


def _rates(viewer: Any) -> dict[str, Any]:
    """Return events of the last `SECONDS` by type, and by second, oldest first."""
    now = timezone.now()
    since = now - timedelta(seconds=SECONDS)
    newest = list(_events(viewer).values_list("type", "occurred_at")[:MOST_READ])
    recent = [(type_, at) for type_, at in newest if at > since]
    by_second = Counter(min(SECONDS - 1, max(0, int((now - at).total_seconds()))) for _, at in recent)
    return {
        "by_type": dict(Counter(type_ for type_, _ in recent)),
        "by_second": [by_second[SECONDS - 1 - index] for index in range(SECONDS)],
        "complete": len(newest) < MOST_READ or len(recent) < len(newest),
    }


def _events(viewer: Any) -> QuerySet[Event]:
    """Return the viewer's events, newest first, along an index."""
    scope = portal.current().scope_of(viewer)
    if portal.is_superuser(viewer) or scope is None:
        return Event.objects.filter(tenant_condition(viewer)).order_by("-position")
    if scope.is_msp:
        return Event.objects.filter(msp_id=scope.msp_id).order_by("-msp_seq")
    return Event.objects.filter(client_id=str(scope.client_id)).order_by("-client_seq")


def _processes() -> list[dict[str, Any]]:
    counted = Count("connections", filter=Q(connections__closed_at=None))
    live: Iterable[Any] = ServerProcess.objects.live().annotate(open_count=counted)
    return [
        {
            "name": str(process),
            "connections": process.open_count,
            "draining": process.draining,
            "started_at": process.started_at.isoformat(),
            "heartbeat_seconds": round((timezone.now() - process.heartbeat_at).total_seconds(), 1),
        }
        for process in live
    ]
