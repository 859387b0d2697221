"""From a change of a tracked model to a recorded fact. Connected once, in `RealtimeConfig.ready`.

Saves and deletes come by Django's `post_save` and `post_delete`, bulk forms by the domain's `rows_changed`; access by
`access_changed` and by logging out of a session.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import structlog
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.db.models.signals import post_delete, post_save

from engagement.models import Alert, Engagement, Interaction, TrackedModel
from engagement.signals import access_changed, interactions_imported, rows_changed
from realtime import metrics
from realtime.auth.identity import fingerprint
from realtime.events.recording import Fact, record
from realtime.models import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date, datetime
    from uuid import UUID

    from django.http import HttpRequest

log = structlog.get_logger(__name__)

ALERT_COLUMNS = (
    "application_id",
    "agent_id",
    "asset_kind",
    "family",
    "subtype",
    "severity",
    "details",
    "users_affected",
    "count",
    "frameworks",
    "status",
    "assignee_id",
    "acknowledged_by_id",
    "acknowledged_at",
    "created_at",
    "updated_at",
)


def connect() -> None:
    """Listen to every tracked model and to changes of access."""
    for model in (Alert, Engagement, Interaction):
        post_save.connect(_saved, sender=model, dispatch_uid=f"realtime.saved.{model.__name__}")
        post_delete.connect(_deleted, sender=model, dispatch_uid=f"realtime.deleted.{model.__name__}")
        rows_changed.connect(_rows_changed, sender=model, dispatch_uid=f"realtime.rows.{model.__name__}")
    interactions_imported.connect(_imported, dispatch_uid="realtime.imported")
    access_changed.connect(_access_changed, dispatch_uid="realtime.access")
    user_logged_out.connect(_logged_out, dispatch_uid="realtime.logged_out")
    user_login_failed.connect(_login_failed, dispatch_uid="realtime.login_failed")


def _login_failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    """Count and log a sign-in that failed, on the page or at the token endpoint; by name, never by password."""
    metrics.auth_failures.labels("login", "invalid_credentials").inc()
    log.info("authentication failed", door="login", username=str(credentials.get("username", ""))[:150])


def _saved(
    sender: type[TrackedModel], instance: TrackedModel, created: bool, raw: bool, using: str, **_: Any
) -> None:
    if raw:
        return
    instance.settle()
    record(list(_FACTS[sender](instance, "created" if created else "updated")), using)


def _deleted(sender: type[TrackedModel], instance: TrackedModel, using: str, **_: Any) -> None:
    record(list(_FACTS[sender](instance, "deleted")), using, at_once=True)


def _rows_changed(sender: type[TrackedModel], rows: list[TrackedModel], using: str, **_: Any) -> None:
    facts: list[Fact] = []
    for row in rows:
        row.settle()
        facts.extend(_FACTS[sender](row, "updated" if row.previous else "created"))
    record(_summed(facts), using)


def _imported(
    sender: object, client_id: UUID, sums: dict[tuple[str, UUID, date], tuple[int, int]], using: str, **_: Any
) -> None:
    prefix = {"application": "app", "agent": "agent"}
    facts = [
        Fact(
            Kind.INTERACTION,
            client_id,
            {"count": count, "flagged": flagged, "day": day.isoformat()},
            key=f"{prefix[kind]}:{key}",
        )
        for (kind, key, day), (count, flagged) in sums.items()
    ]
    record(facts, using)


def _summed(facts: list[Fact]) -> list[Fact]:
    """Fold the facts of one bulk write that would be folded when they are placed: fewer outbox rows."""
    counted: dict[tuple[UUID | None, str, str], Fact] = {}
    rest: list[Fact] = []
    for fact in facts:
        if fact.kind is not Kind.INTERACTION:
            rest.append(fact)
            continue
        known = counted.setdefault((fact.client_id, fact.key, fact.facts["day"]), fact)
        if known is fact:
            continue
        known.facts["count"] += fact.facts["count"]
        known.facts["flagged"] += fact.facts["flagged"]
    return [*counted.values(), *rest]


def _alert_facts(alert: Alert, change: str) -> Iterable[Fact]:
    values = {name: alert.__dict__.get(name, None) for name in ALERT_COLUMNS}
    yield Fact(
        Kind.ALERT,
        alert.client_id,
        {"id": alert.pk, "client_id": alert.client_id, "change": change, **values},
    )


def _interaction_facts(interaction: Interaction, change: str) -> Iterable[Fact]:
    """Yield what was added, and what was there before and is no more: an edit is a difference, not a second count."""
    now = {} if change == "deleted" else interaction.current()
    before = {} if change == "created" else interaction.previous
    for values, sign in ((before, -1), (now, 1)):
        if not values:
            continue
        key = f"app:{values['application_id']}" if values["application_id"] else f"agent:{values['agent_id']}"
        counts = {
            "count": sign * values["count"],
            "flagged": sign * values["count"] * values["flagged"],
            "day": _utc_day(values["occurred_at"]),
        }
        yield Fact(Kind.INTERACTION, values["client_id"], counts, key=key)


def _utc_day(moment: datetime | str) -> str:
    """Return the day of a time, which may be text still in a row that was saved and not read again."""
    parsed: datetime = Interaction._meta.get_field("occurred_at").to_python(moment)
    return parsed.astimezone(UTC).date().isoformat()


def _engagement_facts(engagement: Engagement, _change: str) -> Iterable[Fact]:
    kind = engagement.subject_kind
    subject = {"subject": kind, "id": getattr(engagement, f"{kind}_id")}
    yield Fact(Kind.ENGAGEMENT, engagement.client_id, subject, key="figures")


_FACTS: dict[type[TrackedModel], Callable[[Any, str], Iterable[Fact]]] = {
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
