"""What an open page must show, read anew from the database: CSS selectors, and the text of the element of each.

Pages get there a moment after the last event (what events do not carry is fetched), so `settle` asks until it is so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from engagement import figures
from engagement.models import Alert, Client, User
from engagement.pages import listing

Truth = dict[str, str]
FEED = 30
"""Alerts that every feed shows, at least."""
FEED_SELECTOR = ".feed [data-alert]"
"""Its text in a `Truth` is the ids of the first `FEED`, in order."""

READ = """([selectors, feed, length]) => selectors.map((selector) => selector === feed
  ? [...document.querySelectorAll(feed)].slice(0, length).map(({ dataset }) => dataset.alert).join(" ")
  : document.querySelector(selector)?.textContent.trim() ?? null)"""


def client_in_spa(client: Client) -> Truth:
    """Return the truth of `/app/clients/<id>/`."""
    fresh = figures.dashboard(client.pk)
    totals = fresh["totals"]
    names = ("interactions_today", "interactions_7d", "flagged_7d")
    return (
        {f"[data-total={name}]": _whole(totals[name]) for name in names}
        | {"[data-total=open_alerts]": _whole(sum(totals["open_alerts"].values()))}
        | _rows(fresh["applications"], "app_id", {'[data-label="Uses a day"]': "interactions_per_day"})
        | _rows(fresh["agents"], "agent_id", {'[data-label="Prompts a day"]': "avg_prompts_per_day"})
        | _rows(fresh["departments"], "department_id", {".ranked-value": "interactions"})
        | _feed(Alert.objects.filter(client=client))
    )


def client_page(client: Client) -> Truth:
    """Return the truth of `/clients/<id>/`."""
    fresh = figures.dashboard(client.pk)
    totals = fresh["totals"]
    names = ("interactions_today", "active_users_today", "interactions_7d", "flagged_7d")
    of_applications = ("active_users", "interactions_per_day")
    of_agents = ("avg_prompts_per_day", "flagged_actions")
    of_departments = ("interactions", "active_users")
    return (
        {f"[data-total={name}]": _whole(totals[name]) for name in names}
        | {"[data-total=open_alerts_total]": _whole(sum(totals["open_alerts"].values()))}
        | _chips("#total-severities", totals["open_alerts"])
        | _rows(fresh["applications"], "app_id", _fields(of_applications))
        | _rows(fresh["agents"], "agent_id", _fields(of_agents))
        | _rows(fresh["departments"], "department_id", _fields(of_departments))
        | _feed(Alert.objects.filter(client=client))
    )


def overview_in_spa(viewer: User) -> Truth:
    """Return the truth of `/app/` for an MSP's user."""
    rows = listing.clients(viewer)
    return _overview(viewer, rows) | {
        "[data-total=open_alerts]": _whole(listing.totals(rows)["open_alerts_total"])
    }


def overview_page(viewer: User) -> Truth:
    """Return the truth of `/` for an MSP's user."""
    rows = listing.clients(viewer)
    truth = _overview(viewer, rows)
    truth["[data-total=open_alerts_total]"] = _whole(listing.totals(rows)["open_alerts_total"])
    for row in rows:
        truth |= _chips(f'tr[data-client="{row["client_id"]}"]', row["open_alerts"])
    return truth


def differences(page: Page, truth: Truth) -> list[str]:
    """Return where the page shows something else, one line each."""
    shown = page.evaluate(READ, [list(truth), FEED_SELECTOR, FEED])
    return [
        f"{selector}: {text!r} instead of {wanted!r}"
        for (selector, wanted), text in zip(truth.items(), shown, strict=True)
        if text != wanted
    ]


def settle(page: Page, truth: Callable[[], Truth], seconds: float) -> list[str]:
    """Wait until the page shows the truth; return what still differs after `seconds`."""
    deadline = time.monotonic() + seconds
    while (differing := differences(page, truth())) and time.monotonic() < deadline:
        page.wait_for_timeout(250)
    return differing


def _overview(viewer: User, rows: list[dict[str, Any]]) -> Truth:
    totals = listing.totals(rows)
    truth = {f"[data-total={name}]": _whole(totals[name]) for name in ("interactions_today", "active_users")}
    for row in rows:
        for name in ("interactions_today", "active_users"):
            truth[f'tr[data-client="{row["client_id"]}"] [data-field={name}]'] = _whole(row[name])
    return truth | _feed(Alert.objects.visible_to(viewer))


def _rows(rows: list[dict[str, Any]], key: str, columns: dict[str, str]) -> Truth:
    return {
        f'[data-row="{row[key]}"] {selector}': _figure(row[name])
        for row in rows
        for selector, name in columns.items()
    }


def _fields(names: tuple[str, ...]) -> dict[str, str]:
    return {f"[data-field={name}]": name for name in names}


def _chips(root: str, by_severity: dict[str, int]) -> Truth:
    return {f"{root} .chip[data-severity={name}] b": _whole(count) for name, count in by_severity.items()}


def _feed(alerts: Any) -> Truth:
    newest = alerts.order_by("-created_at", "-id").values_list("pk", flat=True)[:FEED]
    return {FEED_SELECTOR: " ".join(map(str, newest))}


def _figure(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else _whole(value)


def _whole(value: int) -> str:
    return f"{value:,}"
