"""The portal's REST side as a watch needs it: sign in, renew the token, name the clients."""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from realtime.watching.errors import SignInRefused, Unreachable, WatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_SECONDS = 10.0
DEFAULT_LIFETIME_SECONDS = 300.0
"""Of an access token that does not say when it ends."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """An access token and what renews it. `lifetime` in seconds; `since` by our own clock, so skew does not matter."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    lifetime: float
    since: float = field(default_factory=time.time)

    @classmethod
    def issued(cls, access: str, refresh: str) -> Tokens:
        """Return tokens that the server gave just now."""
        claims = _claims(access)
        lifetime = (
            float(claims["exp"] - claims["iat"])
            if {"exp", "iat"} <= claims.keys()
            else DEFAULT_LIFETIME_SECONDS
        )
        return cls(access, refresh, lifetime)

    def seconds_left(self) -> float:
        """Return for how long the access token still holds."""
        return self.since + self.lifetime - time.time()


class Portal:
    """A portal at `url` (http or https, without a path), seen by one user."""

    def __init__(self, url: str, username: str, password: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise WatchError(f"--url is the portal's address, such as http://127.0.0.1:8000, not {url!r}.")
        self.url = url.rstrip("/")
        self._username = username
        self._password = password

    @property
    def socket_url(self) -> str:
        """The address of its WebSockets."""
        return f"ws{self.url.removeprefix('http')}"

    def sign_in(self) -> Tokens:
        """Return new tokens for the user's password."""
        answer = self._call(
            "/api/v1/auth/token/", {"username": self._username, "password": self._password}, signing_in=True
        )
        return self._tokens(answer, answer.get("refresh", ""))

    def renew(self, tokens: Tokens) -> Tokens:
        """Return a new access token; sign in again where the refresh token does not hold any more."""
        try:
            answer = self._call("/api/v1/auth/token/refresh/", {"refresh": tokens.refresh}, signing_in=True)
        except SignInRefused:
            return self.sign_in()
        return self._tokens(answer, answer.get("refresh", tokens.refresh))

    def clients(self, tokens: Tokens) -> dict[str, str]:
        """Return the names of the clients that the user sees, by id."""
        names: dict[str, str] = {}
        page: str | None = "/api/v1/clients/"
        while page:
            answer = self._call(page, token=tokens.access)
            rows = answer["results"] if isinstance(answer, dict) else answer
            names |= {row["id"]: row["name"] for row in rows}
            page = _path(answer.get("next")) if isinstance(answer, dict) else None
        return names

    def _tokens(self, answer: Mapping[str, Any], refresh: str) -> Tokens:
        if not isinstance(answer.get("access"), str):
            raise WatchError(
                f"{self.url} answered the sign-in with something else than a token: is it a portal?"
            )
        return Tokens.issued(answer["access"], refresh)

    def _call(self, path: str, body: Any = None, *, token: str = "", signing_in: bool = False) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else None
        request = Request(self.url + path, data, headers)  # noqa: S310 - http or https, checked above
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except HTTPError as error:
            with error:
                raise self._refusal(error, path, signing_in=signing_in) from None
        except (URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"No server answers at {self.url} ({reason}): start one with manage.py serve, or say where with --url."
            ) from None
        except ValueError:
            raise WatchError(f"{self.url}{path} answered something else than JSON: is it a portal?") from None

    def _refusal(self, error: HTTPError, path: str, *, signing_in: bool) -> WatchError:
        detail = _detail(error)
        if signing_in and error.code == 401:
            return SignInRefused(f"{self.url} does not accept this password for {self._username!r}: {detail}")
        if signing_in and error.code in {403, 429}:
            return WatchError(f"{self.url} lets {self._username!r} not sign in now: {detail}")
        if error.code == 404:
            return WatchError(f"{self.url} is no portal: there is no {path}.")
        if error.code >= 500:
            return Unreachable(f"{self.url} has a fault ({error.code} {error.reason}).")
        return WatchError(f"{self.url}{path} refuses ({error.code}): {detail}")


def _detail(error: HTTPError) -> str:
    """Return what the server said, if it is the JSON of Django REST framework; else the status's own words."""
    try:
        answer = json.load(error)
    except ValueError:
        return error.reason
    detail = answer.get("detail") if isinstance(answer, dict) else None
    return str(detail or error.reason)


def _path(url: str | None) -> str | None:
    """Return path and query of a page's address. Its host is left out: the token goes to nobody but the portal."""
    if not url:
        return None
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _claims(token: str) -> dict[str, Any]:
    """Return what a JWT claims, unverified: to know when to renew it is all this is used for."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
