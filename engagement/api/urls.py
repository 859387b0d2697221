"""Routes of the API, included under `/api/v1/`.

A route whose documented address has no trailing slash answers with one too.
"""

from __future__ import annotations

from django.urls import URLPattern, path, re_path
from django.views import View

from engagement.api import alerts, auth, clients, docs, interactions

CLIENT = r"clients/(?P<client_id>[^/]+)"


def either(route: str, view: type[View], name: str) -> URLPattern:
    """Return the pattern of a route that answers with and without a trailing slash."""
    return re_path(rf"^{route}(?:/)?$", view.as_view(), name=name)


urlpatterns = [
    path("auth/token/", auth.TokenView.as_view(), name="api-token"),
    path("auth/token/refresh/", auth.RefreshView.as_view(), name="api-token-refresh"),
    either("me", auth.MeView, "api-me"),
    path("clients/", clients.ClientListView.as_view(), name="api-clients"),
    path("clients/<str:client_id>/", clients.ClientDetailView.as_view(), name="api-client"),
    either(f"{CLIENT}/dashboard", clients.DashboardView, "api-dashboard"),
    either(f"{CLIENT}/applications", clients.ApplicationsView, "api-applications"),
    either(f"{CLIENT}/interactions", interactions.InteractionsView, "api-interactions"),
    either(f"{CLIENT}/interactions/bulk", interactions.BulkInteractionsView, "api-interactions-bulk"),
    either(
        rf"{CLIENT}/applications/(?P<app_id>[^/]+)/interactions",
        interactions.ApplicationInteractionsView,
        "api-application-interactions",
    ),
    path("alerts/", alerts.AlertListView.as_view(), name="api-alerts"),
    path("alerts/<str:alert_id>/", alerts.AlertView.as_view(), name="api-alert"),
    path(
        "alerts/<str:alert_id>/acknowledge/", alerts.AcknowledgeView.as_view(), name="api-alert-acknowledge"
    ),
    path("schema/", docs.SchemaView.as_view(), name=docs.SCHEMA),
    path("schema/swagger/", docs.SwaggerView.as_view(), name="api-swagger"),
    path("schema/redoc/", docs.RedocView.as_view(), name="api-redoc"),
]
