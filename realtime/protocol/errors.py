"""What can be wrong with a client's frame or request: stable codes, and messages that say the remedy."""

from __future__ import annotations

import enum


class ErrorCode(enum.StrEnum):
    """Machine-read `code` of an `error` frame. Codes are never renamed."""

    # the frame
    INVALID_JSON = "invalid_json"
    BINARY_UNSUPPORTED = "binary_unsupported"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_TYPE = "unknown_type"
    RATE_LIMITED = "rate_limited"
    # the request
    NOT_FOUND = "not_found"
    NOT_SUBSCRIBED = "not_subscribed"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    # the connection
    AUTHENTICATION_REQUIRED = "authentication_required"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a code, not a secret
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    WRONG_TOKEN_TYPE = "wrong_token_type"  # noqa: S105
    USER_CHANGED = "user_changed"
    USER_INACTIVE = "user_inactive"
    NO_TENANT = "no_tenant"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    UNKNOWN_ROUTE = "unknown_route"
    INVALID_PARAMETER = "invalid_parameter"
    ACCESS_REVOKED = "access_revoked"
    TOO_MANY_ERRORS = "too_many_errors"
    TOO_SLOW = "too_slow"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    SILENT = "silent"
    RESTARTING = "restarting"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


MALFORMED = frozenset(
    {
        ErrorCode.INVALID_JSON,
        ErrorCode.BINARY_UNSUPPORTED,
        ErrorCode.TOO_LARGE,
        ErrorCode.TOO_DEEP,
        ErrorCode.INVALID_MESSAGE,
        ErrorCode.UNKNOWN_TYPE,
    }
)
"""What only a faulty client sends. Too many of them close the connection; a stale id or a limit does not."""


class ProtocolError(Exception):
    """A client's frame or request that cannot be honoured. The connection lives on.

    `client_id` is the client that it is about, if it is about one; `retry_after` is in seconds.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        ref: str | int | None = None,
        *,
        client_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.ref = ref
        self.client_id = client_id
        self.retry_after = retry_after
