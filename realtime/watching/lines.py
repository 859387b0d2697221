"""An event as one line of text, coloured. Pure.

What an event says comes from outside: it is never read as markup, and what would steer a terminal is made visible.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from realtime import printing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEVERITY_STYLES = {"low": "cyan", "medium": "yellow", "high": "bold red", "critical": "bold white on red"}
KIND_STYLES = {"alert": "bold", "interaction": "green", "engagement": "blue", "presence": "magenta"}
LISTED = 4
"""Subjects of one kind that a line of engagement figures names."""


def of(event: Mapping[str, Any], client_names: Mapping[str, str]) -> Text:
    """Return the line of an event. `client_names` by client id; an unknown client shows the beginning of its id."""
    kind = str(event["type"]).removesuffix("_update")
    client_id = str(event.get("client_id", ""))
    data = event.get("data") or {}
    return Text(" ").join(
        [
            Text(_clock(event.get("timestamp")), "dim"),
            Text(f"{kind:<11}", KIND_STYLES.get(kind, "")),
            Text(f"{printable(client_names.get(client_id, client_id[:8])):<24}"),
            _DESCRIPTIONS[kind](data if kind != "presence" else event),
        ]
    )


def printable(value: object) -> str:
    """Return `value` on one line, with what is not printable (escape sequences above all) escaped."""
    return printing.printable(" ".join(str(value).split()))


def _clock(timestamp: object) -> str:
    try:
        moment = datetime.datetime.fromisoformat(str(timestamp))
    except ValueError:
        return "--:--:--"
    return f"{moment.astimezone():%H:%M:%S}"


def _alert(data: Mapping[str, Any]) -> Text:
    severity = printable(data.get("severity", "?"))
    line = Text(f"{severity:<8}", SEVERITY_STYLES.get(severity, ""))
    about = printable(data.get("app") or "")
    line.append(f" {about}: " if about else " ", "bold")
    line.append(printable(data.get("details", "")))
    handled = _handling(data)
    return line.append(f" [{handled}]", "dim") if handled else line


def _handling(data: Mapping[str, Any]) -> str:
    """Return what was done to an alert that is not new."""
    if data.get("change") == "deleted":
        return "deleted"
    if data.get("change") != "updated":
        return ""
    said = [printable(data.get("status", ""))]
    if data.get("assignee"):
        said.append(f"assigned to {printable(data['assignee'])}")
    if data.get("acknowledged_by"):
        said.append(f"seen by {printable(data['acknowledged_by'])}")
    return ", ".join(filter(None, said))


def _interaction(data: Mapping[str, Any]) -> Text:
    name = data.get("app") or data.get("agent") or data.get("app_id") or data.get("agent_id") or "?"
    line = Text(printable(name), "bold")
    line.append(f" {_signed(data.get('interaction_count', 0))}")
    if "total_daily_interactions" in data:
        line.append(f" ({printable(data['total_daily_interactions'])} today)", "dim")
    if data.get("flagged_count"):
        line.append(f" {printable(data['flagged_count'])} flagged", "red")
    return line


def _signed(count: object) -> str:
    return f"{count:+d}" if isinstance(count, int) else printable(count)


def _engagement(data: Mapping[str, Any]) -> Text:
    parts = [
        _figures(data.get("departments"), "department", "interactions", "in 7 days"),
        _figures(data.get("applications"), "application", "interactions_per_day", "a day"),
        _figures(data.get("agents"), "agent", "avg_prompts_per_day", "a day"),
    ]
    return Text("; ".join(filter(None, parts)) or "no figures")


def _figures(rows: Iterable[Mapping[str, Any]] | None, name: str, figure: str, unit: str) -> str:
    known = [row for row in rows or () if isinstance(row, dict)]
    named = [
        f"{printable(row.get(name, '?'))} {printable(row.get(figure, '?'))} {unit}" for row in known[:LISTED]
    ]
    more = [f"{len(known) - LISTED} more {name}s"] if len(known) > LISTED else []
    return ", ".join(named + more)


def _presence(event: Mapping[str, Any]) -> Text:
    counts = (
        f"{event.get('msp_watchers', 0)} of the MSP and {event.get('client_watchers', 0)} of the client watch"
    )
    changes = [
        f"{printable(watcher.get('user', '?'))} {verb}"
        for verb in ("joined", "left")
        for watcher in event.get(verb) or ()
    ]
    return Text(f"{', '.join(changes)}; {counts}" if changes else counts)


_DESCRIPTIONS = {
    "alert": _alert,
    "interaction": _interaction,
    "engagement": _engagement,
    "presence": _presence,
}
