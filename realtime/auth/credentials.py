"""Where a credential stands in a handshake.

First found wins: subprotocol, header, `?token=`, `?ticket=`, session cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

from django.conf import settings

from realtime.auth.handshake import HandshakeRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

BEARER_PREFIX = "bearer."
NOTHING = {"", "null", "undefined", "none", "nan"}


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


def find(scope: Mapping[str, Any], parameters: Mapping[str, str]) -> Credential | None:
    """Return the credential that a handshake brings, if any."""
    for offered in scope.get("subprotocols", ()):
        if offered.startswith(BEARER_PREFIX) and _is_given(token := offered.removeprefix(BEARER_PREFIX)):
            return Credential("token", token)
    request = HandshakeRequest(scope)
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and _is_given(value):
        return Credential("token", value.strip())
    if _is_given(token := parameters.get("token", "")):
        return Credential("token", token)
    if _is_given(ticket := parameters.get("ticket", "")):
        return Credential("ticket", ticket)
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return Credential("session", session) if session else None


def _is_given(value: str) -> bool:
    """Return whether this is a token at all: a page that has none often writes the word for nothing instead."""
    return value.strip().lower() not in NOTHING
