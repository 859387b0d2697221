"""Rendering: from what a transaction recorded to what goes out, many at a time and in few queries.

Done when an event is placed, not when it is recorded: the business transaction pays for one INSERT, and names
and figures are read once for all events of a round. Shapes of `data` are SEED.md's ("Backend Broadcast
Usage"), with what a dashboard needs besides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec

from engagement import figures
from engagement.models import Agent, Alert, Application, User
from engagement.payloads import alert_payload
from realtime.events.totals import Counting
from realtime.models import Kind, Outbox

ACCESS = "access"
"""Type of a control event: no stream, no data for clients."""


class Recorded(NamedTuple):
    """An outbox row. No model instance: in a full round, making those took longer than rendering."""

    id: int
    tx: UUID
    kind: str
    client_id: UUID | None
    msp_id: UUID | None
    key: str
    facts: str
    recorded_at: datetime


@dataclass(slots=True)
class Folded:
    """The outbox rows of one event, in the order they were recorded."""

    kind: str
    client_id: UUID | None
    """Of an alert's rows that name one: the first, which is the client it had before the transaction."""
    msp_id: UUID | None
    key: str
    occurred_at: datetime
    facts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rendered:
    """An event without its places yet. `data` is JSON text."""

    type: str
    client_id: UUID | None
    msp_id: UUID | None
    occurred_at: datetime
    data: str
    severity: str = ""


def fold(rows: Iterable[Recorded]) -> list[Folded]:
    """Return one `Folded` for the rows of a transaction, kind, client and key; of an alert, whatever client.

    Rows without a key stay alone.
    """
    folded: dict[Any, Folded] = {}
    for row in rows:
        client_id = None if row.kind == Kind.ALERT else row.client_id
        where = (row.tx, row.kind, client_id, row.key) if row.key else row.id
        event = folded.get(where)
        if event is None:
            event = folded[where] = Folded(row.kind, row.client_id, row.msp_id, row.key, row.recorded_at)
        elif event.client_id is None:
            event.client_id, event.msp_id = row.client_id, row.msp_id
        event.facts.append(msgspec.json.decode(row.facts))
    return list(folded.values())


def render(events: Sequence[Folded], counting: Counting) -> list[Rendered]:
    """Return the events as they go out, in the same order; uses of today are counted on.

    Those that changed nothing visible are left out.
    """
    renderers = _RENDERERS | {Kind.INTERACTION: partial(_interactions, counting)}
    by_kind: dict[str, list[tuple[int, Folded]]] = {}
    for index, event in enumerate(events):
        by_kind.setdefault(event.kind, []).append((index, event))
    rendered: dict[int, list[Rendered]] = {}
    for kind, group in by_kind.items():
        results = renderers[Kind(kind)]([event for _, event in group])
        rendered.update({index: result for (index, _), result in zip(group, results, strict=True)})
    return [event for index in sorted(rendered) for event in rendered[index]]


def _event(event: Folded, type_: str, data: Any, severity: str = "") -> Rendered:
    text = msgspec.json.encode(data).decode()
    return Rendered(type_, event.client_id, event.msp_id, event.occurred_at, text, severity)


ALERT_COLUMNS = ("id", *Alert.told.columns)

READ_AT_ONCE = 500
"""Alerts, by one statement: a transaction may have changed thousands."""


def _alerts(events: Sequence[Folded]) -> list[list[Rendered]]:
    """Return each transaction's changes of an alert as what it says now, and to whom it is gone.

    One that is deleted by now says what it said last. That it was deleted follows.
    """
    now = _stored_alerts({event.key for event in events if not _is_deleted(event)})
    told = [_told_of_alert(event, now.get(event.key)) for event in events]
    values = [values for changes in told for _, values in changes]
    applications = _names(Application, "name", {_id(alert["application_id"]) for alert in values})
    agents = _names(Agent, "name", {_id(alert["agent_id"]) for alert in values})
    people = _names(
        User,
        "username",
        {_id(alert[role]) for alert in values for role in ("assignee_id", "acknowledged_by_id")},
    )

    def rendered(event: Folded, change: str, alert: dict[str, Any]) -> Rendered:
        data = alert_payload(
            alert,
            application_name=applications.get(_id(alert["application_id"])),
            agent_name=agents.get(_id(alert["agent_id"])),
            assignee=people.get(_id(alert["assignee_id"])),
            acknowledged_by=people.get(_id(alert["acknowledged_by_id"])),
        )
        client_id = UUID(_id(alert["client_id"]))
        # Where the client is gone by now, the MSP that was recorded is told; that of another client never.
        msp_id = event.msp_id if client_id == event.client_id else alert.get("msp_id")
        told_to = Folded(event.kind, client_id, msp_id, event.key, event.occurred_at)
        return _event(told_to, "alert", {**data, "change": change}, alert["severity"] or "")

    return [
        [rendered(event, change, alert) for change, alert in changes]
        for event, changes in zip(events, told, strict=True)
    ]


def _told_of_alert(event: Folded, now: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """Return what is told of one transaction's changes of an alert: the change, and the alert's values."""
    facts = event.facts
    is_new = facts[0]["change"] == "created"
    # What it said before the transaction, where that is told: to the client that it left, or when it was deleted.
    before = None if is_new else next((fact["before"] for fact in facts if "before" in fact), None)
    gone = [("deleted", before)] if before is not None else []
    if _is_deleted(event):
        return gone
    if before is not None and _client_after(facts, now) == before["client_id"]:
        gone = []
    is_new = is_new or any(fact["change"] == "deleted" for fact in facts)
    return gone if now is None else [*gone, ("created" if is_new else "updated", now)]


def _is_deleted(event: Folded) -> bool:
    """Return whether a transaction left no row of an alert: a cascade clears what it refers to after it is told."""
    ends = [fact["change"] for fact in event.facts if fact["change"] != "updated"]
    return ends[-1:] == ["deleted"]


def _client_after(facts: Sequence[dict[str, Any]], now: dict[str, Any] | None) -> str | None:
    """Return the client that a transaction left an alert with."""
    known: list[str] = [fact["client_id"] for fact in facts if "client_id" in fact]
    if known:
        return known[-1]
    return _id(now["client_id"]) if now is not None else None


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
    """Return what alerts said when they were deleted: it waits in the outbox until it is told itself."""
    waiting = Outbox.objects.filter(kind=Kind.ALERT, key__in=keys, client_id__isnull=False).order_by("pk")
    found = {}
    for key, msp_id, text in waiting.values_list("key", "msp_id", "facts"):
        fact = msgspec.json.decode(text)
        if fact["change"] == "deleted":
            found[key] = fact["before"] | {"msp_id": msp_id}
    return found


def _id(value: UUID | str | None) -> str | None:
    """Return the text of an id, which is text already where it was recorded."""
    return None if value is None else str(value)


def _names(model: Any, field_name: str, ids: set[str | None]) -> dict[str | None, str]:
    wanted = [key for key in ids if key]
    if not wanted:
        return {}
    return {str(key): name for key, name in model.objects.filter(pk__in=wanted).values_list("pk", field_name)}


def _interactions(counting: Counting, events: Sequence[Folded]) -> list[list[Rendered]]:
    subjects = [tuple(event.key.split(":")) for event in events]
    by_kind: dict[str, set[UUID]] = {"app": set(), "agent": set()}
    for kind, key in subjects:
        by_kind[kind].add(UUID(key))
    totals = counting.count([(event.key, event.facts) for event in events])
    names = {
        "app": _names(Application, "name", {str(key) for key in by_kind["app"]}),
        "agent": _names(Agent, "name", {str(key) for key in by_kind["agent"]}),
    }
    rendered: list[list[Rendered]] = []
    for event, (kind, key), total in zip(events, subjects, totals, strict=True):
        data = {
            f"{kind}_id": key,
            "agent" if kind == "agent" else "app": names[kind].get(key),
            "interaction_count": sum(fact["count"] for fact in event.facts),
            "flagged_count": sum(fact["flagged"] for fact in event.facts),
            "total_daily_interactions": total,
        }
        rendered.append([_event(event, "interaction_update", data)])
    return rendered


def _engagements(events: Sequence[Folded]) -> list[list[Rendered]]:
    wanted: dict[UUID | None, dict[str, set[UUID]]] = {}
    for event in events:
        of_client = wanted.setdefault(
            event.client_id, {"department": set(), "application": set(), "agent": set()}
        )
        for fact in event.facts:
            of_client[fact["subject"]].add(UUID(fact["id"]))
    current = {
        client: _figures(client, subjects) for client, subjects in wanted.items() if client is not None
    }
    rendered: list[list[Rendered]] = []
    for event in events:
        mine = {(fact["subject"], fact["id"]) for fact in event.facts}
        figures_now = current[cast("UUID", event.client_id)]
        data = {
            f"{subject}s": [row for key, row in figures_now[subject].items() if (subject, key) in mine]
            for subject in ("department", "application", "agent")
        }
        rendered.append([_event(event, "engagement_update", data)])
    return rendered


def _figures(client_id: UUID, subjects: dict[str, set[UUID]]) -> dict[str, dict[str, Any]]:
    return {
        "department": _by_id(figures.departments, "department_id", client_id, subjects["department"]),
        "application": _by_id(figures.applications, "app_id", client_id, subjects["application"]),
        "agent": _by_id(figures.agents, "agent_id", client_id, subjects["agent"]),
    }


def _by_id(
    read: Callable[..., list[dict[str, Any]]], key: str, client_id: UUID, ids: set[UUID]
) -> dict[str, Any]:
    return {str(row[key]): row for row in read(client_id, ids)} if ids else {}


def _messages(events: Sequence[Folded]) -> list[list[Rendered]]:
    return [
        [_event(event, fact["type"], fact["data"], fact["severity"])]
        for event in events
        for fact in event.facts[-1:]
    ]


def _access(events: Sequence[Folded]) -> list[list[Rendered]]:
    return [[_event(event, ACCESS, event.facts[-1])] for event in events]


_RENDERERS: dict[Kind, Callable[[Sequence[Folded]], list[list[Rendered]]]] = {
    Kind.ALERT: _alerts,
    Kind.ENGAGEMENT: _engagements,
    Kind.MESSAGE: _messages,
    Kind.ACCESS: _access,
}
