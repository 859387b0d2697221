"""Paths below /api/v1/.

They stand before the domain's: its dashboard and its alerts answer with their positions here.
"""

from django.urls import path

from engagement.api.urls import CLIENT, either
from realtime.api import schema, views

urlpatterns = [
    either(f"{CLIENT}/dashboard", views.LiveDashboardView, "api-dashboard"),
    either(f"{CLIENT}/events", views.EventsView, "api-events"),
    path("alerts/", views.LiveAlertListView.as_view(), name="api-alerts"),
    either("ws/stats", views.StatsView, "api-ws-stats"),
    either("ws/presence", views.PresenceView, "api-ws-presence"),
    either("ws/ticket", views.TicketView, "api-ws-ticket"),
    either("ws/schema", schema.AsyncAPIView, "api-ws-schema"),
    either("ws/schema/html", schema.AsyncAPIPageView, "api-ws-schema-page"),
]
