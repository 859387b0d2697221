"""The API's description (OpenAPI), and two pages to read and try it.

Both pages load their scripts from this server and run under `script-src 'self'`. Swagger UI and Redoc write
styles into the page, so these two pages alone allow inline styles; Redoc searches in a worker made from a
blob.
"""

from __future__ import annotations

from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

SCHEMA = "api-schema"


class SchemaView(SpectacularAPIView):
    """The OpenAPI description: YAML, or JSON by `?format=json`."""


@method_decorator(csp_update({"style-src": ["'unsafe-inline'"]}), name="dispatch")
class SwaggerView(SpectacularSwaggerSplitView):
    """A page to try the API on."""

    url_name = SCHEMA


@method_decorator(csp_update({"style-src": ["'unsafe-inline'"], "worker-src": ["blob:"]}), name="dispatch")
class RedocView(SpectacularRedocView):
    """A page to read the API on."""

    url_name = SCHEMA
    template_name = "engagement/api/redoc.html"
