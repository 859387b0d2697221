"""Paths below /api/v1/."""

from django.urls import path

from realtime.api import views

urlpatterns = [
    path("clients/<uuid:client_id>/events", views.EventsView.as_view(), name="client-events"),
    path("ws/stats", views.StatsView.as_view(), name="ws-stats"),
    path("ws/ticket", views.TicketView.as_view(), name="ws-ticket"),
]
