"""URLs of the portal."""

from django.contrib import admin
from django.urls import include, path
from incidents.views import incidents

from realtime.health import readyz

urlpatterns = [
    path("", incidents, name="incidents"),
    path("admin/", admin.site.urls),
    path("api/", include("realtime.api.urls")),
    path("readyz", readyz),
]
