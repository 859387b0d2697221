"""Where a credential stands in a handshake.

First found wins: subprotocol, header, `?token=`, `?ticket=`, session cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

BEARER_PREFIX = "bearer."


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as it came. Its `value` must not reach a log, so `repr` hides it."""

    kind: Literal["token", "ticket", "session"]
    value: str

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


def query(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the query parameters of a handshake; of a repeated one the last."""
    parsed = parse_qs(
        scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=50
    )
    return {name: values[-1] for name, values in parsed.items()}


def header(scope: Mapping[str, Any], name: str) -> str | None:
    """Return a header of a handshake, by lower-case name."""
    wanted = name.encode()
    return next(
        (value.decode("latin-1") for key, value in scope.get("headers", ()) if key.lower() == wanted), None
    )


def find(scope: Mapping[str, Any], parameters: Mapping[str, str]) -> Credential | None:
    """Return the credential that a handshake brings, if any."""
    for offered in scope.get("subprotocols", ()):
        if offered.startswith(BEARER_PREFIX):
            return Credential("token", offered.removeprefix(BEARER_PREFIX))
    scheme, _, value = (header(scope, "authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return Credential("token", value.strip())
    if "token" in parameters:
        return Credential("token", parameters["token"])
    if "ticket" in parameters:
        return Credential("ticket", parameters["ticket"])
    session = _cookies(scope).get(settings.SESSION_COOKIE_NAME)
    return Credential("session", session) if session else None


def _cookies(scope: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header(scope, "cookie") or "").items()}
    except CookieError:
        return {}
