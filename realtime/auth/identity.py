"""From a credential to a user with a scope, and whether both still hold while the connection lives.

The scope comes from the portal's declaration (`realtime.portal`), the one place of that rule. Everything here reads the
database: call it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import (
    AuthenticationFailed,
    ExpiredTokenError,
    InvalidToken,
    TokenError,
)
from rest_framework_simplejwt.tokens import UntypedToken

from realtime import portal
from realtime.auth import tickets
from realtime.auth.tickets import fingerprint
from realtime.protocol.errors import ErrorCode
from realtime.protocol.groups import Key

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from realtime.auth.credentials import Credential


CHANGED = "The password was changed: sign in again."
SIGNED_OUT = "You are signed out: sign in again."


class Refused(Exception):
    """A handshake or a new token that does not do. `message` says why, and what to do."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody at the other end, as of the last check.

    `expires_at` is the token's end; None for a session.
    """

    user_id: Key
    username: str
    scope: portal.Scope
    password_mark: str
    expires_at: datetime | None
    session_mark: str | None = None
    session_key: str | None = None

    def __repr__(self) -> str:
        return f"Identity({self.username})"


def identify(credential: Credential | None) -> Identity:
    """Return who brings `credential`. Raise Refused."""
    if credential is None:
        raise Refused(
            ErrorCode.AUTHENTICATION_REQUIRED,
            "No credential: offer the subprotocol bearer.<token>, an Authorization header, ?token= or ?ticket=, "
            "or sign in.",
        )
    if credential.kind == "session":
        return _by_session(credential.value)
    if credential.kind == "ticket":
        return _by_ticket(credential.value)
    return _by_token(credential.value)


def _by_ticket(value: str) -> Identity:
    """Return who asked for a ticket, if what they asked with still holds. The socket ends with that too."""
    ticket = tickets.redeem(value)
    if ticket is None:
        raise Refused(ErrorCode.INVALID_TOKEN, "This ticket is unknown, used or expired: ask for a new one.")
    end, key = ticket.token_expires_at, ticket.session_key or None
    if end is not None and end <= datetime.now(UTC):
        raise Refused(
            ErrorCode.TOKEN_EXPIRED, "The token that asked for this ticket has expired: refresh it."
        )
    asker = replace(
        _of(_user(ticket.user_id), end),
        password_mark=ticket.password_mark,
        session_key=key,
        session_mark=fingerprint(key) if key else None,
    )
    return recheck(asker)


def _by_token(raw: str) -> Identity:
    authentication = JWTAuthentication()
    try:
        token = authentication.get_validated_token(raw.encode("utf-8", "surrogatepass"))
    except InvalidToken:
        raise _bad_token(raw) from None
    try:
        user = authentication.get_user(token)
    except (InvalidToken, ValidationError):  # ValidationError: the id it names is no UUID
        raise Refused(ErrorCode.INVALID_TOKEN, "The token names no user: sign in again.") from None
    except AuthenticationFailed as error:
        if isinstance(error.detail, dict) and error.detail.get("code") == "user_inactive":
            raise Refused(
                ErrorCode.USER_INACTIVE, "This account is deactivated: ask your administrator."
            ) from None
        raise Refused(ErrorCode.INVALID_TOKEN, "The token holds no more: sign in again.") from None
    return _of(user, datetime.fromtimestamp(token["exp"], UTC))


def _bad_token(raw: str) -> Refused:
    try:
        token = UntypedToken(raw)  # type: ignore[arg-type]
    except ExpiredTokenError:
        return Refused(ErrorCode.TOKEN_EXPIRED, "The token has expired: refresh it.")
    except (TokenError, ValidationError, ValueError):
        return Refused(ErrorCode.INVALID_TOKEN, "The token is not valid: sign in again.")
    kind = token.get("token_type", "unknown")
    return Refused(
        ErrorCode.WRONG_TOKEN_TYPE, f"This is a token of type {str(kind)[:20]!r}: send an access token."
    )


def _by_session(key: str) -> Identity:
    """Return who is signed in by a session: what lets a page in lets its socket in.

    `django.contrib.auth.get_user` does the same, but flushes and renews sessions.
    """
    signed_out = Refused(ErrorCode.AUTHENTICATION_REQUIRED, SIGNED_OUT)
    if "\0" in key:  # no key; and PostgreSQL takes none
        raise signed_out
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    backend = session.get(BACKEND_SESSION_KEY)
    if SESSION_KEY not in session or backend not in settings.AUTHENTICATION_BACKENDS:
        raise signed_out
    user_id = get_user_model()._meta.pk.to_python(session[SESSION_KEY])
    user = load_backend(backend).get_user(user_id)
    if user is None:
        _of(_user(user_id), None)  # which says why, if it can
        raise signed_out
    if not _is_signed(session, user):
        raise signed_out
    return replace(_of(user, None), session_mark=fingerprint(key), session_key=key)


def _is_signed(session: Any, user: Any) -> bool:
    """Return whether a session was made for the user's password, by this secret key or a former one."""
    given = session.get(HASH_SESSION_KEY, "")
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(given, each) for each in hashes)


def _user(user_id: Key) -> Any:
    return portal.current().users().filter(pk=user_id).first()


def _of(user: Any, expires_at: datetime | None) -> Identity:
    if user is None:
        raise Refused(ErrorCode.INVALID_TOKEN, "The token names no user: sign in again.")
    if not user.is_active:
        raise Refused(ErrorCode.USER_INACTIVE, "This account is deactivated: ask your administrator.")
    scope = portal.current().scope_of(user)
    if scope is None:
        raise Refused(
            ErrorCode.NO_TENANT, "This account has no role with an MSP or a client: ask your administrator."
        )
    return Identity(user.pk, user.get_username(), scope, fingerprint(user.password), expires_at)


def recheck(identity: Identity) -> Identity:
    """Return `identity` as it stands now.

    Raise Refused where it holds no more: inactive, no tenant, new password, signed out.
    """
    now = _of(_user(identity.user_id), identity.expires_at)
    if now.password_mark != identity.password_mark:
        raise Refused(ErrorCode.INVALID_TOKEN, CHANGED)
    if identity.session_key is not None:
        by_session = _by_session(identity.session_key)
        if by_session.user_id != identity.user_id:
            raise Refused(ErrorCode.AUTHENTICATION_REQUIRED, SIGNED_OUT)
        return replace(by_session, expires_at=identity.expires_at)
    return now


def recheck_many(
    asked: Sequence[tuple[Identity, Collection[Key]]],
) -> list[tuple[Identity | Refused, set[Key]]]:
    """Return for each identity how it stands now, and which of the clients beside it it may see.

    One query for the users and one for the clients; sessions are asked of their store, one by one.
    """
    users = portal.current().users().in_bulk({identity.user_id for identity, _ in asked})
    clients = portal.current().clients._default_manager.in_bulk({key for _, keys in asked for key in keys})
    return [
        _stands(identity, users.get(identity.user_id), [clients[key] for key in keys if key in clients])
        for identity, keys in asked
    ]


def _stands(identity: Identity, user: Any, clients: Sequence[Any]) -> tuple[Identity | Refused, set[Key]]:
    try:
        now = _of(user, identity.expires_at)
        if now.password_mark != identity.password_mark:
            raise Refused(ErrorCode.INVALID_TOKEN, CHANGED)
        if user is None or (identity.session_key and not _is_signed_in(identity.session_key, user)):
            raise Refused(ErrorCode.AUTHENTICATION_REQUIRED, SIGNED_OUT)
    except Refused as refusal:
        return refusal, set()
    return replace(identity, scope=now.scope), {
        each.pk for each in clients if portal.current().may_see(user, each)
    }


def _is_signed_in(key: str, user: Any) -> bool:
    """Return whether a session is still one of this user's, whose row was read already."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return (
        session.get(SESSION_KEY) == str(user.pk)
        and session.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
        and _is_signed(session, user)
    )


def renew(identity: Identity, raw: str) -> Identity:
    """Return the identity that a fresh token gives the same user.

    Raise Refused for a bad one, or somebody else's.
    """
    renewed = _by_token(raw)
    if renewed.user_id != identity.user_id:
        raise Refused(
            ErrorCode.USER_CHANGED, "The token is another user's: open a connection of its own for it."
        )
    # A socket that was opened by a session still ends with it.
    return replace(renewed, session_mark=identity.session_mark, session_key=identity.session_key)


def visible_client(user_id: Key, client_id: Key) -> Any:
    """Return the client if that user may see it now; None for a foreign one and an unknown one alike."""
    user = _user(user_id)
    if user is None:
        return None
    return portal.current().visible_clients(user).filter(pk=client_id).first()


def visible_clients(user_id: Key, client_ids: Sequence[Key]) -> set[Key]:
    """Return those of `client_ids` that that user may see now, in one query."""
    user = _user(user_id)
    if user is None:
        return set()
    return set(portal.current().visible_clients(user).filter(pk__in=client_ids).values_list("pk", flat=True))


def user_of(identity: Identity) -> Any:
    """Return the user row behind `identity`, for actions that name one."""
    return portal.current().users().get(pk=identity.user_id)
