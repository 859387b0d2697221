"""Every URL of the portal."""

from django.contrib import admin
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path

from compliance_portal.spa import SpaView
from realtime.health import healthz, readyz
from realtime.metrics_endpoint import metrics

urlpatterns = [
    path("api/v1/", include("realtime.api.urls")),
    path("api/v1/", include("engagement.api.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("favicon.ico", lambda _: redirect(static("engagement/mark.svg")), name="favicon"),
    path("app/", SpaView.as_view(), name="app"),
    path("app/<path:path>", SpaView.as_view(), name="app-path"),
    path("", include("engagement.pages.urls")),
]

handler500 = "engagement.middleware.failures.handler500"
