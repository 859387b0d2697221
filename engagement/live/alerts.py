"""Alerts, live: which changed, and what each says when it is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from engagement.live.names import id_text, names
from engagement.models import Agent, Alert, Application, User
from engagement.payloads import alert_payload
from realtime.capture.signals import Change
from realtime.events import outbox
from realtime.events.recording import Fact
from realtime.events.rendering import Folded, Rendered, event_of
from realtime.events.totals import Counting

KIND = "alert"


def facts(changes: Iterable[Change]) -> list[Fact]:
    """Return which alerts changed, one fact each."""
    return [_alert_fact(change, change.before or {}) for change in changes]


def least(changes: Iterable[Change]) -> list[Fact]:
    """Return the same without what the alerts said before: which changed can always be told."""
    return [_alert_fact(change, dict.fromkeys(Alert.told.columns)) for change in changes]


def _alert_fact(change: Change, before: dict[str, Any]) -> Fact:
    """Return which alert changed. What it says now is read when the event is sequenced.

    What the row said before is recorded where it will be told: it was deleted, or left its client.
    """
    told: dict[str, Any] = {"change": change.kind}
    if change.before is None:
        return Fact(KIND, None, told, key=str(change.key))
    client_id = change.before["client_id"]
    if change.after is not None:
        told["client_id"] = change.after["client_id"]
    if told.get("client_id") == client_id:
        return Fact(KIND, None, {"change": change.kind}, key=str(change.key))
    told["before"] = before | {"id": change.key, "client_id": client_id}
    return Fact(KIND, client_id, told, key=str(change.key))


ALERT_COLUMNS = ("id", *Alert.told.columns)

READ_AT_ONCE = 500
"""Alerts, by one statement: a transaction may have changed thousands."""


def render(events: Sequence[Folded], _: Counting) -> list[list[Rendered]]:
    """Return each transaction's changes of an alert as what it says now, and to whom it is gone.

    One that is deleted by now says what it said last. That it was deleted follows.
    """
    now = _stored_alerts({event.key for event in events if not _is_deleted(event.facts)})
    told = [_told_of_alert(event, now.get(event.key)) for event in events]
    values = [values for changes in told for _, values in changes]
    applications = names(Application, "name", {id_text(alert["application_id"]) for alert in values})
    agents = names(Agent, "name", {id_text(alert["agent_id"]) for alert in values})
    people = names(
        User,
        "username",
        {id_text(alert[role]) for alert in values for role in ("assignee_id", "acknowledged_by_id")},
    )

    def rendered(event: Folded, change: str, alert: dict[str, Any]) -> Rendered:
        data = alert_payload(
            alert,
            application_name=applications.get(id_text(alert["application_id"])),
            agent_name=agents.get(id_text(alert["agent_id"])),
            assignee=people.get(id_text(alert["assignee_id"])),
            acknowledged_by=people.get(id_text(alert["acknowledged_by_id"])),
        )
        client_id = UUID(id_text(alert["client_id"]))
        # Where the client is gone by now, the MSP that was recorded is told; that of another client never.
        msp_id = event.msp_id if client_id == event.client_id else alert.get("msp_id")
        told_to = Folded(event.kind, client_id, msp_id, event.key, event.occurred_at)
        return event_of(told_to, "alert", {**data, "change": change}, alert["severity"] or "")

    return [
        [rendered(event, change, alert) for change, alert in changes]
        for event, changes in zip(events, told, strict=True)
    ]


def _told_of_alert(event: Folded, now: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """Return what is told of one transaction's changes of an alert: the change, and the alert's values."""
    facts = event.facts
    before = _said_before(facts)
    gone = [("deleted", before)] if before is not None else []
    if _is_deleted(facts):
        return gone
    if before is not None and _client_after(facts, now) == before["client_id"]:
        gone = []
    is_new = facts[0]["change"] == "created" or any(fact["change"] == "deleted" for fact in facts)
    return gone if now is None else [*gone, ("created" if is_new else "updated", now)]


def _said_before(facts: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what an alert said before a transaction, where that is told: it left its client, or was deleted."""
    if facts[0]["change"] == "created":
        return None
    return next((fact["before"] for fact in facts if "before" in fact), None)


def _is_deleted(facts: Sequence[dict[str, Any]]) -> bool:
    """Return whether a transaction left no row of an alert: a cascade clears what it refers to after it is told."""
    ends = [fact["change"] for fact in facts if fact["change"] != "updated"]
    return ends[-1:] == ["deleted"]


def _client_after(facts: Sequence[dict[str, Any]], now: dict[str, Any] | None) -> str | None:
    """Return the client that a transaction left an alert with."""
    known: list[str] = [fact["client_id"] for fact in facts if "client_id" in fact]
    if known:
        return known[-1]
    return id_text(now["client_id"]) if now is not None else None


def _stored_alerts(keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return alerts as they are now, or were when they were deleted, by the text of their key."""
    ids = sorted(keys)
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), READ_AT_ONCE):
        some = ids[start : start + READ_AT_ONCE]
        for row in Alert.objects.filter(pk__in=some).order_by().values(*ALERT_COLUMNS):
            found[str(row["id"])] = row
        if missing := [key for key in some if key not in found]:
            found |= _deleted_alerts(missing)
    return found


def _deleted_alerts(keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what alerts said last: before the transaction that deleted them, which waits in the outbox.

    What they said within that transaction nobody else ever saw: it may have moved them first, to a client that is never
    told that they are gone.
    """
    transactions: dict[tuple[str, UUID], list[outbox.Waiting]] = {}
    for row in outbox.waiting(KIND, keys):
        transactions.setdefault((row.key, row.tx), []).append(row)
    found = {}
    for (key, _), recorded in transactions.items():
        facts = [row.facts for row in recorded]
        before = _said_before(facts)
        if before is not None and _is_deleted(facts):
            msp_id = next(row.msp_id for row in recorded if "before" in row.facts)
            found[key] = before | {"msp_id": msp_id}
    return found
