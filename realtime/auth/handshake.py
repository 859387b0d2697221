"""A WebSocket handshake, read as Django reads an HTTP request: what lets a page in must let its socket in.

Cookies, host and scheme come from Django's own `HttpRequest`, with its settings for proxies
(`SECURE_PROXY_SSL_HEADER`, `USE_X_FORWARDED_HOST`, `USE_X_FORWARDED_PORT`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, parse_cookie

SECURE_SCHEMES = {"wss": "https", "ws": "http"}
"""What some proxies call a scheme on an upgrade, by what Django calls it."""


class HandshakeRequest(HttpRequest):
    """The request that asked for a socket. `scope`: of ASGI, type `websocket`."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        super().__init__()
        scheme: str = scope.get("scheme", "ws")
        self._scheme = SECURE_SCHEMES.get(scheme, scheme)
        server = scope.get("server") or ("unknown", 0)
        self.META = {"SERVER_NAME": str(server[0]), "SERVER_PORT": str(server[1])}
        for name, value in scope.get("headers", ()):
            self._add_header(name.decode("latin-1"), value.decode("latin-1"))
        self._name_scheme_as_django_does()
        self.COOKIES = parse_cookie(self.META.get("HTTP_COOKIE", ""))

    def _add_header(self, name: str, value: str) -> None:
        """Add a header; one that comes several times is joined as Django's ASGI handler joins it."""
        if "_" in name:
            return  # else `X_Forwarded_Proto` would pass for the proxy's own
        key = f"HTTP_{name.upper().replace('-', '_')}"
        known = self.META.get(key)
        joint = "; " if key == "HTTP_COOKIE" else ","
        self.META[key] = value if known is None else f"{known}{joint}{value}"

    def _name_scheme_as_django_does(self) -> None:
        """Let a proxy that says `wss` where it would say `https` of a page be understood."""
        header, _ = settings.SECURE_PROXY_SSL_HEADER or ("", "")
        if header in self.META:
            first, *_ = self.META[header].split(",", 1)
            self.META[header] = SECURE_SCHEMES.get(first.strip().lower(), self.META[header])

    def _get_scheme(self) -> str:
        return self._scheme
