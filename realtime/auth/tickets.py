"""Single-use tickets: what a page can put into a socket's URL without giving a token away to a proxy's log.

A ticket is random; its row holds only a fingerprint, who asked for it and until when. Redeeming deletes the
row, so of two that try at once one succeeds.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from realtime import conf, portal
from realtime.models import Ticket
from realtime.protocol.groups import Key

if TYPE_CHECKING:
    from datetime import datetime


MAX_PER_USER = 100
"""Tickets of a user that wait to be redeemed. One more, and the oldest of them is worth nothing any more."""


def fingerprint(secret: str) -> str:
    """Return what can stand for a secret in a row or a message without giving it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


def issue(
    user_id: Key,
    *,
    password: str | None = None,
    session_key: str = "",
    token_expires_at: datetime | None = None,
) -> str:
    """Return a new ticket for a user, good for `ticket_seconds`.

    `password` is the hash that the asker was authenticated with; None: the user's present one. `session_key` and
    `token_expires_at` are of the session or the token that asked.
    """
    if password is None:
        password = portal.current().users().values_list("password", flat=True).get(pk=user_id)
    value = secrets.token_urlsafe(32)
    now = timezone.now()
    Ticket.objects.filter(expires_at__lt=now).delete()
    waiting = Ticket.objects.filter(user_id=user_id).order_by("-expires_at").values_list("pk", flat=True)
    Ticket.objects.filter(pk__in=list(waiting[MAX_PER_USER - 1 :])).delete()
    Ticket.objects.create(
        mark=_mark(value),
        user_id=user_id,
        expires_at=now + timedelta(seconds=conf.current().ticket_seconds),
        password_mark=fingerprint(password),
        session_key=session_key,
        token_expires_at=token_expires_at,
    )
    return value


def redeem(value: str) -> Ticket | None:
    """Use a ticket up. Return it; None for one that is unknown, used or expired."""
    ticket = Ticket.objects.filter(mark=_mark(value)).first()
    if ticket is None or not Ticket.objects.filter(pk=ticket.pk).delete()[0]:
        return None
    return ticket if ticket.expires_at > timezone.now() else None


def _mark(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
