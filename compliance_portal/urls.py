"""Every URL of the portal."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("realtime.api.urls")),
    path("api/v1/", include("engagement.api.urls")),
    path("admin/", admin.site.urls),
]
