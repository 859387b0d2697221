"""Paths below `/api/v1/`, or wherever a portal puts them. Each answers with and without a slash at its end."""

from __future__ import annotations

from django.urls import URLPattern, re_path
from django.views import View

from realtime.api import schema, views


def either(route: str, view: type[View], name: str) -> URLPattern:
    """Return the pattern of a route that answers with and without a slash at its end."""
    return re_path(rf"^{route}(?:/)?$", view.as_view(), name=name)


urlpatterns = [
    either(r"clients/(?P<client_id>[^/]+)/events", views.EventsView, "api-events"),
    either("ws/stats", views.StatsView, "api-ws-stats"),
    either("ws/presence", views.PresenceView, "api-ws-presence"),
    either("ws/ticket", views.TicketView, "api-ws-ticket"),
    either("ws/schema", schema.AsyncAPIView, "api-ws-schema"),
    either("ws/schema/html", schema.AsyncAPIPageView, "api-ws-schema-page"),
]
