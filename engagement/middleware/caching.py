"""Nothing that a view answers is kept by a browser or a proxy, unless the view says so: it is somebody's data."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin


class NoStore(MiddlewareMixin):
    """Adds `Cache-Control: no-store`."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Add the header where there is none; static files have one."""
        response.headers.setdefault("Cache-Control", "no-store")
        return response
