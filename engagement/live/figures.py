"""Daily figures, live: whose changed, and what they are when they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast
from uuid import UUID

from engagement import figures
from realtime.capture.signals import Change
from realtime.capture.stored import chunks
from realtime.events.recording import Fact
from realtime.events.rendering import Folded, Rendered, event_of
from realtime.events.totals import Counting

KIND = "engagement"

SUBJECTS = ("department", "application", "agent")
"""Of one of these a roll-up is."""

SUBJECTS_AT_ONCE = 1000
"""In one message: some 300 KB. An import may roll up all that a client has in one transaction."""


def facts(changes: Iterable[Change]) -> list[Fact]:
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
        Fact(KIND, client_id, {"subject": kind, "id": key}, key="figures")
        for client_id, kind, key in subjects
    ]


def render(events: Sequence[Folded], _: Counting) -> list[list[Rendered]]:
    """Return the figures of what changed, as they are now: a message for each event, several for very many subjects."""
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
        mine = list(dict.fromkeys((fact["subject"], fact["id"]) for fact in event.facts))
        figures_now = current[cast("UUID", event.client_id)]
        rendered.append(
            [
                event_of(event, "engagement_update", _of(set(some), figures_now))
                for some in chunks(mine, SUBJECTS_AT_ONCE)
            ]
        )
    return rendered


def _of(subjects: set[tuple[str, str]], figures_now: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        f"{kind}s": [row for key, row in figures_now[kind].items() if (kind, key) in subjects]
        for kind in SUBJECTS
    }


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
