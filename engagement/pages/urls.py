"""Routes of the pages, included at the root."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from engagement.pages import views

urlpatterns = [
    path("", views.OverviewView.as_view(), name="overview"),
    path("overview/data/", views.OverviewDataView.as_view(), name="overview-data"),
    path("clients/<uuid:client_id>/", views.ClientView.as_view(), name="client"),
    path("clients/<uuid:client_id>/activity/", views.ActivityView.as_view(), name="client-activity"),
    path("alerts/", views.AlertsView.as_view(), name="alerts"),
    path("alerts/<uuid:alert_id>/", views.AlertDeedView.as_view(), name="alert-deed"),
    path("login/", views.SignInView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
