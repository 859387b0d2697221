"""From a change of a tracked model to a recorded fact. Connected once, in `RealtimeConfig.ready`.

Every write of a tracked model comes by the domain's `rows_changed`, with what the database holds; access by
`access_changed` and by logging out of a session.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.db import Error

from engagement.models import Alert, Engagement, Interaction, TrackedModel
from engagement.signals import access_changed, interactions_imported, rows_changed
from realtime import metrics
from realtime.auth.tickets import fingerprint
from realtime.events.recording import Fact, record
from realtime.models import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date, datetime
    from uuid import UUID

    from django.http import HttpRequest

    from engagement.signals import Change

log = structlog.get_logger(__name__)

SUBJECTS = ("department", "application", "agent")
"""Of one of these a roll-up is."""


def connect() -> None:
    """Listen to every tracked model and to changes of access."""
    for model in _FACTS:
        rows_changed.connect(_rows_changed, sender=model, dispatch_uid=f"realtime.rows.{model.__name__}")
    interactions_imported.connect(_imported, dispatch_uid="realtime.imported")
    access_changed.connect(_access_changed, dispatch_uid="realtime.access")
    user_logged_out.connect(_logged_out, dispatch_uid="realtime.logged_out")
    user_login_failed.connect(_login_failed, dispatch_uid="realtime.login_failed")


def _login_failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    """Count and log a sign-in that failed, on the page or at the token endpoint; by name, never by password."""
    metrics.auth_failures.labels("login", "invalid_credentials").inc()
    log.info("authentication failed", door="login", username=str(credentials.get("username", ""))[:150])


def _rows_changed(sender: type[TrackedModel], changes: list[Change], using: str, **_: Any) -> None:
    # Of alerts it can always be told which changed; of other rows only sums and figures are told.
    least = partial(_least_of_alerts, changes) if sender is Alert else list
    _record(partial(_FACTS[sender], changes), least, using)


def _record(facts: Callable[[], list[Fact]], least: Callable[[], list[Fact]], using: str) -> None:
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


def _imported(
    sender: object, client_id: UUID, sums: dict[tuple[str, UUID, date], tuple[int, int]], using: str, **_: Any
) -> None:
    _record(partial(_imported_facts, client_id, sums), list, using)


def _imported_facts(client_id: UUID, sums: dict[tuple[str, UUID, date], tuple[int, int]]) -> list[Fact]:
    prefix = {"application": "app", "agent": "agent"}
    return [
        Fact(
            Kind.INTERACTION,
            client_id,
            {"count": count, "flagged": flagged, "day": day.isoformat()},
            key=f"{prefix[kind]}:{key}",
        )
        for (kind, key, day), (count, flagged) in sums.items()
    ]


def _alert_facts(changes: Iterable[Change]) -> list[Fact]:
    return [_alert_fact(change, change.before or {}) for change in changes]


def _least_of_alerts(changes: Iterable[Change]) -> list[Fact]:
    return [_alert_fact(change, dict.fromkeys(Alert.told.columns)) for change in changes]


def _alert_fact(change: Change, before: dict[str, Any]) -> Fact:
    """Return which alert changed. What it says now is read when the event is sequenced.

    What the row said before is recorded where it will be told: it was deleted, or left its client.
    """
    facts: dict[str, Any] = {"change": change.kind}
    if change.before is None:
        return Fact(Kind.ALERT, None, facts, key=str(change.key))
    client_id = change.before["client_id"]
    if change.after is not None:
        facts["client_id"] = change.after["client_id"]
    if facts.get("client_id") == client_id:
        return Fact(Kind.ALERT, None, {"change": change.kind}, key=str(change.key))
    facts["before"] = before | {"id": change.key, "client_id": client_id}
    return Fact(Kind.ALERT, client_id, facts, key=str(change.key))


def _interaction_facts(changes: Iterable[Change]) -> list[Fact]:
    """Return what was added less what is no more, by client, subject and day: an edit is a difference, no second use.

    Where nothing was added on balance, there is nothing to tell.
    """
    sums: defaultdict[tuple[UUID, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for change in changes:
        for values, sign in ((change.before, -1), (change.after, 1)):
            if values is None:
                continue
            total = sums[values["client_id"], _subject(values), _utc_day(values["occurred_at"])]
            total[0] += sign * values["count"]
            total[1] += sign * values["count"] * values["flagged"]
    return [
        Fact(Kind.INTERACTION, client_id, {"count": count, "flagged": flagged, "day": day}, key=key)
        for (client_id, key, day), (count, flagged) in sums.items()
        if count or flagged
    ]


def _subject(values: dict[str, Any]) -> str:
    return f"app:{values['application_id']}" if values["application_id"] else f"agent:{values['agent_id']}"


def _utc_day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _engagement_facts(changes: Iterable[Change]) -> list[Fact]:
    """Return whose figures changed. They are read when the event is sequenced."""
    subjects = {
        (values["client_id"], kind, values[f"{kind}_id"]): None
        for change in changes
        for values in (change.before, change.after)
        if values
        for kind in SUBJECTS
        if values[f"{kind}_id"]
    }
    return [
        Fact(Kind.ENGAGEMENT, client_id, {"subject": kind, "id": key}, key="figures")
        for client_id, kind, key in subjects
    ]


_FACTS: dict[type[TrackedModel], Callable[[Iterable[Change]], list[Fact]]] = {
    Alert: _alert_facts,
    Interaction: _interaction_facts,
    Engagement: _engagement_facts,
}


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
