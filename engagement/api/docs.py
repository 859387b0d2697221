"""The API's description (OpenAPI), and two pages to read and try it.

Both pages load their scripts from this server and run under `script-src 'self'`. Swagger UI and Redoc write
styles into the page, so these two pages alone allow inline styles; Redoc searches in a worker made from a
blob.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from csp.decorators import csp_update
from django.shortcuts import redirect
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

SCHEMA = "api-schema"
REFUSALS = {
    "400": "The request does not fit.",
    "401": "The credentials do not hold.",
    "429": "Too many requests: wait as many seconds as `Retry-After` says.",
    "503": "The server is busy or its database is away: wait as many seconds as `Retry-After` says.",
}
"""What any request may be answered with, whatever it asks for."""
YAML, HTML = "application/vnd.oai.openapi", "text/html"


def add_refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add `REFUSALS` to every operation that does not describe them itself; and to every refusal, what it looks like.

    A post-processing hook of spectacular.
    """
    schema = {"$ref": "#/components/schemas/Refusal"}
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, description in REFUSALS.items():
                operation["responses"].setdefault(status, {"description": description})
            for status, answer in operation["responses"].items():
                if status >= "400":
                    answer.setdefault("content", {"application/json": {"schema": schema}})
    return result


class SchemaView(SpectacularAPIView):
    """The OpenAPI description: YAML, or JSON by `?format=json`. A browser is led to the page to try it on."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer with the description, or the way to its page."""
        if "format" not in request.GET and request.get_preferred_type([YAML, HTML]) == HTML:
            page = redirect("api-swagger")
            patch_vary_headers(page, ["Accept"])
            return page
        return super().dispatch(request, *args, **kwargs)


@method_decorator(csp_update({"style-src": ["'unsafe-inline'"]}), name="dispatch")
class SwaggerView(SpectacularSwaggerSplitView):
    """A page to try the API on."""

    url_name = SCHEMA
    http_method_names = ["get", "head"]  # spectacular's answer to OPTIONS is HTTP 500


@method_decorator(csp_update({"style-src": ["'unsafe-inline'"], "worker-src": ["blob:"]}), name="dispatch")
class RedocView(SpectacularRedocView):
    """A page to read the API on."""

    url_name = SCHEMA
    template_name = "engagement/api/redoc.html"
