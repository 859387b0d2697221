"""Who is locked out of sign-in, and for how long: a name for a network, and a network for every name.

Never a name for everybody: then anybody could lock a person out. Both locks end `LOGIN_COOLOFF_MINUTES` after the last
attempt that was counted, and attempts while locked are not counted, so that nobody can renew a lock for ever.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_failure_limit
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from engagement.middleware.refusals import refuse
from realtime.addresses import network_of

LOCKED_OUT = "Too many failed sign-ins: wait a while, then try again."


def client_network(request: HttpRequest) -> str | None:
    """Return what a request's attempts are counted for: an IPv4 address, or the first address of an IPv6 /64."""
    network = network_of(request.META.get("REMOTE_ADDR") or "").partition("/")[0]
    try:
        return str(ipaddress.ip_address(network))
    except ValueError:  # a Unix socket: everybody is one network
        return None


def locked_out(request: HttpRequest, *_: Any) -> HttpResponse:
    """Answer somebody who is locked out."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    return refuse(request, 429, LOCKED_OUT, "locked_out", retry_after=seconds)


class SignInHandler(AxesDatabaseHandler):
    """django-axes, with a second limit: failures of a network, under whatever names."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return the failures that count against this attempt; the limit where its network is locked."""
        failures = int(super().get_failures(request, credentials))
        if _failures_of_network(request) >= settings.LOGIN_NETWORK_FAILURE_LIMIT:
            return max(failures, int(get_failure_limit(request, credentials)))
        return failures


def _failures_of_network(request: HttpRequest) -> int:
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    attempts = AccessAttempt.objects.filter(ip_address=client_network(request), attempt_time__gte=since)
    return int(attempts.aggregate(found=Sum("failures_since_start"))["found"] or 0)


def prune(older_than: datetime) -> int:
    """Delete sign-ins before `older_than`, failures that count no more, and sessions that are over. Return how many."""
    counted_since = timezone.now() - settings.AXES_COOLOFF_TIME
    doomed: list[QuerySet[Any]] = [
        AccessLog.objects.filter(attempt_time__lt=older_than),
        AccessFailureLog.objects.filter(attempt_time__lt=older_than),
        AccessAttempt.objects.filter(attempt_time__lt=counted_since),
        Session.objects.filter(expire_date__lt=timezone.now()),
    ]
    return sum(rows.delete()[0] for rows in doomed)
