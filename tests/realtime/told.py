"""What the log told, applied in order, beside what the tables hold."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from django.utils import timezone

from engagement import figures
from engagement.models import Alert, Client, Engagement, Interaction
from engagement.payloads import payload_of
from realtime.events import placing
from realtime.models import Event

Figures = dict[str, dict[str, dict[str, Any]]]
TABLES = {"departments": "department_id", "applications": "app_id", "agents": "agent_id"}


def sequence() -> None:
    """Sequence all that is recorded."""
    more = True
    while more:
        _, more = placing.place(500, "default")


def figures_now() -> Figures:
    """Return the figures of every client's subjects, by table and id."""
    now: Figures = {table: {} for table in TABLES}
    for client in Client.objects.all():
        for table, key in TABLES.items():
            now[table] |= {row[key]: row for row in getattr(figures, table)(client.pk)}
    return now


class Told:
    """What somebody knows who read the figures and is told every event of the log."""

    def __init__(self) -> None:
        self.figures = figures_now()
        self.position = 0
        self.alerts: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self.sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.today: dict[str, int] = {}

    def follow(self) -> list[Event]:
        """Apply the events that are new; return them."""
        events = list(Event.objects.filter(position__gt=self.position).order_by("position"))
        for event in events:
            self.position = event.position
            if event.client_id is not None:
                getattr(self, event.type)(str(event.client_id), json.loads(event.data))
        return events

    def alert(self, client: str, data: dict[str, Any]) -> None:
        change = data.pop("change")
        assert data["client_id"] == client, "told to another client than it is of"
        if change == "deleted":
            self.alerts[client].pop(data["id"], None)
        else:
            self.alerts[client][data["id"]] = data

    def interaction_update(self, client: str, data: dict[str, Any]) -> None:
        subject = data.get("app_id") or data["agent_id"]
        self.sums[client, subject][0] += data["interaction_count"]
        self.sums[client, subject][1] += data["flagged_count"]
        self.today[subject] = data["total_daily_interactions"]

    def engagement_update(self, _client: str, data: dict[str, Any]) -> None:
        for table, key in TABLES.items():
            self.figures[table] |= {row[key]: row for row in data.get(table, [])}

    def check(self) -> None:
        """Fail where what was told is not what the tables hold."""
        alerts: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        rows = Alert.objects.select_related("application", "agent", "assignee", "acknowledged_by")
        for alert in rows:
            alerts[str(alert.client_id)][str(alert.pk)] = json.loads(json.dumps(payload_of(alert)))
        for client in self.alerts.keys() | alerts.keys():
            told, held = self.alerts.get(client, {}), alerts.get(client, {})
            differ = [key for key in told.keys() | held.keys() if told.get(key) != held.get(key)]
            assert not differ, "\n".join(
                f"alert {key} of {client}: told {told.get(key)}, holds {held.get(key)}, {_log_of(key)}"
                for key in differ
            )

        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        today: defaultdict[str, int] = defaultdict(int)
        day = timezone.now().date()
        for use in Interaction.objects.all():
            subject = str(use.application_id or use.agent_id)
            sums[str(use.client_id), subject][0] += use.count
            sums[str(use.client_id), subject][1] += use.count * use.flagged
            today[subject] += use.count * (use.occurred_at.date() == day)
        of_told, of_held = ({key: of for key, of in some.items() if any(of)} for some in (self.sums, sums))
        assert of_told == of_held, (
            f"sums: told {_without(of_told, of_held)}, hold {_without(of_held, of_told)}"
        )
        of_today = {subject: today[subject] for subject in self.today}
        assert self.today == of_today, f"today: told {_without(self.today, of_today)}"

        for table, of in figures_now().items():
            unknown = of.keys() - self.figures[table].keys()
            assert not Engagement.objects.filter(**{f"{table[:-1]}__in": unknown}).exists()
            assert {key: self.figures[table][key] for key in of.keys() - unknown} == {
                key: row for key, row in of.items() if key not in unknown
            }


def _without(some: dict[Any, Any], others: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in some.items() if others.get(key) != value}


def _log_of(key: str) -> list[tuple[Any, ...]]:
    """Return what the log says of an alert."""
    events = Event.objects.filter(type="alert", data__contains=key).order_by("position")
    return list(events.values_list("position", "client_id", "data"))
