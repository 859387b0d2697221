"""Rendering: from what a transaction recorded to what goes out, many at a time and in few queries.

Done when an event is placed, not when it is recorded: the business transaction pays for one INSERT, and names
and figures are read once for all events of a round. Shapes of `data` are SEED.md's ("Backend Broadcast
Usage"), with what a dashboard needs besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec

from engagement import figures
from engagement.models import Agent, Application, User
from engagement.payloads import alert_payload
from realtime.events.totals import Counting
from realtime.models import Kind

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
    """The outbox rows that make one event, in the order they were recorded."""

    kind: str
    client_id: UUID | None
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
    """Return one `Folded` for the rows of a transaction, kind, client and key.

    Rows without a key stay alone.
    """
    folded: dict[Any, Folded] = {}
    for row in rows:
        where = (row.tx, row.kind, row.client_id, row.key) if row.key else row.id
        event = folded.get(where)
        if event is None:
            event = folded[where] = Folded(row.kind, row.client_id, row.msp_id, row.key, row.recorded_at)
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
    rendered: dict[int, Rendered] = {}
    for kind, group in by_kind.items():
        results = renderers[Kind(kind)]([event for _, event in group])
        rendered.update(
            {index: result for (index, _), result in zip(group, results, strict=True) if result is not None}
        )
    return [rendered[index] for index in sorted(rendered)]


def _event(event: Folded, type_: str, data: Any, severity: str = "") -> Rendered:
    text = msgspec.json.encode(data).decode()
    return Rendered(type_, event.client_id, event.msp_id, event.occurred_at, text, severity)


def _alerts(events: Sequence[Folded]) -> list[Rendered | None]:
    facts = [event.facts[-1] for event in events]
    applications = _names(Application, "name", {fact["application_id"] for fact in facts})
    agents = _names(Agent, "name", {fact["agent_id"] for fact in facts})
    people = _names(
        User, "username", {fact[role] for fact in facts for role in ("assignee_id", "acknowledged_by_id")}
    )
    rendered: list[Rendered | None] = []
    for event, fact in zip(events, facts, strict=True):
        data = alert_payload(
            fact,
            application_name=applications.get(fact["application_id"]),
            agent_name=agents.get(fact["agent_id"]),
            assignee=people.get(fact["assignee_id"]),
            acknowledged_by=people.get(fact["acknowledged_by_id"]),
        )
        data["change"] = fact["change"]
        rendered.append(_event(event, "alert", data, fact["severity"]))
    return rendered


def _names(model: Any, field_name: str, ids: set[str | None]) -> dict[str | None, str]:
    wanted = [key for key in ids if key]
    if not wanted:
        return {}
    return {str(key): name for key, name in model.objects.filter(pk__in=wanted).values_list("pk", field_name)}


def _interactions(counting: Counting, events: Sequence[Folded]) -> list[Rendered | None]:
    subjects = [tuple(event.key.split(":")) for event in events]
    by_kind: dict[str, set[UUID]] = {"app": set(), "agent": set()}
    for kind, key in subjects:
        by_kind[kind].add(UUID(key))
    totals = counting.count([(event.key, event.facts) for event in events])
    names = {
        "app": _names(Application, "name", {str(key) for key in by_kind["app"]}),
        "agent": _names(Agent, "name", {str(key) for key in by_kind["agent"]}),
    }
    rendered: list[Rendered | None] = []
    for event, (kind, key), total in zip(events, subjects, totals, strict=True):
        data = {
            f"{kind}_id": key,
            "agent" if kind == "agent" else "app": names[kind].get(key),
            "interaction_count": sum(fact["count"] for fact in event.facts),
            "flagged_count": sum(fact["flagged"] for fact in event.facts),
            "total_daily_interactions": total,
        }
        rendered.append(_event(event, "interaction_update", data))
    return rendered


def _engagements(events: Sequence[Folded]) -> list[Rendered | None]:
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
    rendered: list[Rendered | None] = []
    for event in events:
        mine = {(fact["subject"], fact["id"]) for fact in event.facts}
        figures_now = current[cast("UUID", event.client_id)]
        data = {
            f"{subject}s": [row for key, row in figures_now[subject].items() if (subject, key) in mine]
            for subject in ("department", "application", "agent")
        }
        rendered.append(_event(event, "engagement_update", data))
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


def _messages(events: Sequence[Folded]) -> list[Rendered | None]:
    return [
        _event(event, fact["type"], fact["data"], fact["severity"])
        for event in events
        for fact in event.facts[-1:]
    ]


def _access(events: Sequence[Folded]) -> list[Rendered | None]:
    return [_event(event, ACCESS, event.facts[-1]) for event in events]


_RENDERERS: dict[Kind, Callable[[Sequence[Folded]], list[Rendered | None]]] = {
    Kind.ALERT: _alerts,
    Kind.ENGAGEMENT: _engagements,
    Kind.MESSAGE: _messages,
    Kind.ACCESS: _access,
}
