"""Which browsers' pages may open sockets: this host's own, and those of `CORS_ALLOWED_ORIGINS`; exact scheme,
host and port.

A browser always sends `Origin` and a page cannot forge it. Native clients send none: they are let in with a
bearer token, which no browser adds by itself, and not with a session cookie, which it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http.request import validate_host

from realtime.auth.credentials import header

if TYPE_CHECKING:
    from collections.abc import Mapping


def allowed(scope: Mapping[str, Any], *, cookie: bool) -> bool:
    """Return whether a handshake's origin is one of ours.

    Without an origin, whether its credential is not a `cookie`.
    """
    origin = header(scope, "origin")
    if origin is None:
        return not cookie
    return origin in settings.CORS_ALLOWED_ORIGINS or origin == own(scope)


def own(scope: Mapping[str, Any]) -> str | None:
    """Return the origin of the site itself as this handshake reached it.

    None where its Host is not one of ALLOWED_HOSTS.
    """
    host = header(scope, "host") or ""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    hosts = settings.ALLOWED_HOSTS or (
        ["localhost", ".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else []
    )
    if not validate_host(name, hosts):
        return None
    secure = scope.get("scheme") in {"wss", "https"} or _forwarded_secure(scope)
    return f"{'https' if secure else 'http'}://{host}"


def _forwarded_secure(scope: Mapping[str, Any]) -> bool:
    """Return whether the proxy says it was TLS.

    Only believed where the settings name the header, as Django does for pages.
    """
    named = getattr(settings, "SECURE_PROXY_SSL_HEADER", None)
    if not named:
        return False
    name, value = named
    return header(scope, name.removeprefix("HTTP_").replace("_", "-").lower()) == str(value)
