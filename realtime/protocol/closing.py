"""Close codes: 1xxx from RFC 6455 and the IANA registry, 4xxx private."""

from __future__ import annotations

import enum


class CloseCode(enum.IntEnum):
    """Why the server closes, and so what the client does next."""

    NORMAL = 1000
    """Done. A client that did not ask for it reconnects."""
    POLICY = 1008
    """No or bad credentials, no role, no tenant, a foreign or unknown client, or abuse. Do not retry unchanged."""
    TOO_BIG = 1009
    """A frame above the inbound limit, again and again."""
    INTERNAL = 1011
    """A fault of the server. Reconnect and resume."""
    RESTART = 1012
    """A planned restart. Reconnect after the delay given in `reconnect` and resume."""
    TRY_LATER = 1013
    """Over a limit. Reconnect later."""
    TOKEN_EXPIRED = 4001
    """Refresh the token, then reconnect."""
    REVOKED = 4003
    """Access was taken away. Stop."""
    TOO_SLOW = 4008
    """The connection could not keep up. Reconnect and resume."""
    SILENT = 4009
    """Nothing was received for too long. Reconnect and resume."""
