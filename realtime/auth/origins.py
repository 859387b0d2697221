"""Which browsers' pages may open sockets: this host's own, and those of `CORS_ALLOWED_ORIGINS`; exact scheme,
host and port.

A browser always sends `Origin` and a page cannot forge it. Native clients send none: they are let in with a
bearer token, which no browser adds by itself, and not with a session cookie, which it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost

from realtime.auth.handshake import HandshakeRequest

DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """An origin (RFC 6454) in one spelling."""

    scheme: str
    host: str
    port: int


def allowed(scope: Mapping[str, Any], *, cookie: bool) -> bool:
    """Return whether a handshake's origin is one of ours.

    Without an origin, whether its credential is not a `cookie`.
    """
    request = HandshakeRequest(scope)
    given = request.META.get("HTTP_ORIGIN")
    if given is None:
        return not cookie
    origin = parse(given)
    if origin is None:
        return False
    return origin == own(request) or origin in {
        parse(listed) for listed in getattr(settings, "CORS_ALLOWED_ORIGINS", ())
    }


def own(request: HandshakeRequest) -> Origin | None:
    """Return the origin of the site itself as this handshake reached it.

    None where its Host is not one of ALLOWED_HOSTS.
    """
    try:
        host = request.get_host()
    except DisallowedHost:
        return None
    return parse(f"{request.scheme}://{host}")


def parse(text: str) -> Origin | None:
    """Return an origin in one spelling: lower case, no trailing dot, ASCII, the port in full. None for what is none."""
    try:
        parts = urlsplit(text.strip())
        host = (parts.hostname or "").removesuffix(".")
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        if not host.isascii():
            host = host.encode("idna").decode()
    except (ValueError, KeyError):
        return None
    is_bare = parts.path in {"", "/"} and not (
        parts.query or parts.fragment or parts.username or parts.password
    )
    return Origin(parts.scheme, host, port) if host and is_bare else None
