"""From a change of a tracked model to a recorded fact. Connected once, in `RealtimeConfig.ready`.

Every write of a tracked model comes by the domain's `rows_changed`, with what the database holds; access by
`access_changed` and by logging out of a session.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.db import Error

from realtime import metrics, portal
from realtime.auth.tickets import fingerprint
from realtime.capture.signals import access_changed, rows_changed
from realtime.events.recording import Fact, record
from realtime.models import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from django.http import HttpRequest

    from realtime.capture.signals import Change
    from realtime.capture.tracking import TrackedModel

log = structlog.get_logger(__name__)


def connect() -> None:
    """Listen to every tracked model of the portal's topics, and to changes of access."""
    declared = portal.current()
    for topic in declared.topics:
        rows_changed.connect(_rows_changed, sender=topic.model, dispatch_uid=f"realtime.{topic.kind}")
    access_changed.connect(_access_changed, dispatch_uid="realtime.access")
    user_logged_out.connect(_logged_out, dispatch_uid="realtime.logged_out")
    user_login_failed.connect(_login_failed, dispatch_uid="realtime.login_failed")
    declared.connect()


def _rows_changed(sender: type[TrackedModel], changes: list[Change], using: str, **_: Any) -> None:
    topic = portal.current().topics_by_model[sender]
    record_safely(partial(topic.facts, changes), partial(topic.least, changes), using)


def _login_failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    """Count and log a sign-in that failed, on the page or at the token endpoint; by name, never by password."""
    metrics.auth_failures.labels("login", "invalid_credentials").inc()
    log.info("authentication failed", door="login", username=str(credentials.get("username", ""))[:150])


def record_safely(facts: Callable[[], list[Fact]], least: Callable[[], list[Fact]], using: str) -> None:
    """Record facts; where a fault of ours prevents that, the least that is known. Who writes gets no error of ours.

    What the database refuses it refuses to the writer too: both are in one transaction.
    """
    for wanted in (facts, least):
        try:
            record(wanted(), using)
        except Error:
            raise
        except Exception:
            metrics.record_failures.inc()
            log.exception("a change is not recorded as it should be")
        else:
            return


def _access_changed(
    sender: object,
    using: str | None = None,
    user_ids: Iterable[UUID] = (),
    client_ids: Iterable[UUID] = (),
    session_keys: Iterable[str] = (),
    **_: Any,
) -> None:
    facts = {
        "user_ids": [str(key) for key in user_ids],
        "client_ids": [str(key) for key in client_ids],
        "sessions": [fingerprint(key) for key in session_keys],
    }
    if any(facts.values()):
        record([Fact(Kind.ACCESS, None, facts)], using)


def _logged_out(sender: object, request: HttpRequest | None, **_: Any) -> None:
    if request is not None and request.session.session_key:
        access_changed.send(sender, session_keys=[request.session.session_key])
