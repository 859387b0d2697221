"""What a dashboard does with events, as a pure function: an old REST snapshot and the events since make the new one.

A snapshot is `{"dashboard": GET clients/<id>/dashboard, "alerts": the rows of GET alerts/,
"interactions_today": {subject: uses}}`. Events carry what changed of the tables (departments, applications, agents),
of alerts, and each subject's uses of the day; a dashboard's `productivity` and its `totals` but `open_alerts` are sums
over days that no event carries: a page refetches them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

Snapshot = dict[str, Any]
Event = dict[str, Any]

TABLES = {
    "departments": ("department_id", "department"),
    "applications": ("app_id", "application"),
    "agents": ("agent_id", "agent"),
}
"""Key and name column of each table."""

OPEN = {"Unassigned", "Pending"}
NOT_CARRIED = (
    "interactions_today",
    "active_users_today",
    "interactions_7d",
    "flagged_7d",
    "pct_change_vs_prev_7d",
)


def reduce(snapshot: Snapshot, events: Iterable[Event]) -> Snapshot:
    """Return `snapshot` with `events` applied."""
    state = copy.deepcopy(snapshot)
    for event in events:
        _APPLY[event["type"]](state, event["data"])
    return state


def _engagement(state: Snapshot, data: dict[str, Any]) -> None:
    for table, (key, name) in TABLES.items():
        rows = {row[key]: row for row in state["dashboard"][table]}
        rows |= {row[key]: row for row in data.get(table, [])}
        state["dashboard"][table] = sorted(rows.values(), key=lambda row: (row[name], row[key]))


def _interaction(state: Snapshot, data: dict[str, Any]) -> None:
    subject = data.get("app_id") or data.get("agent_id")
    state["interactions_today"][subject] = data["total_daily_interactions"]


def _alert(state: Snapshot, data: dict[str, Any]) -> None:
    if "id" not in data:
        return  # broadcast, with no row behind it: a toast
    rows = {row["id"]: row for row in state["alerts"] if row["id"] != data["id"]}
    if data["change"] != "deleted":
        rows[data["id"]] = {key: value for key, value in data.items() if key != "change"}
    state["alerts"] = sorted(rows.values(), key=lambda row: (row["created_at"], row["id"]), reverse=True)
    counts = dict.fromkeys(state["dashboard"]["totals"]["open_alerts"], 0)
    for row in state["alerts"]:
        if row["status"] in OPEN:
            counts[row["severity"]] += 1
    state["dashboard"]["totals"]["open_alerts"] = counts


def comparable(snapshot: Snapshot) -> Snapshot:
    """Return what of a snapshot the events must account for."""
    dashboard = {key: snapshot["dashboard"][key] for key in ("departments", "applications", "agents")}
    return {
        **dashboard,
        "open_alerts": snapshot["dashboard"]["totals"]["open_alerts"],
        "alerts": snapshot["alerts"],
        "interactions_today": snapshot["interactions_today"],
    }


_APPLY = {"engagement_update": _engagement, "interaction_update": _interaction, "alert": _alert}
