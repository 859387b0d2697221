"""Rows as the pages list them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.db.models import Max, QuerySet
from django.utils import timezone

from engagement import figures
from engagement.models import Alert, Client, Engagement, User
from engagement.payloads import alert_payload, text

REMEMBERED = timedelta(days=30)
"""How far back a client's last activity is looked for."""


def clients(viewer: User) -> list[dict[str, Any]]:
    """Return a row for each client that `viewer` sees: that of `figures.clients_overview`, and more.

    `{industry, company_size, last_activity_iso}`, the last None where there was none in the last 30 days. Five queries.
    """
    since: date = (timezone.now() - REMEMBERED).date()
    last_activity = dict(
        Engagement.objects.visible_to(viewer)
        .filter(day__gte=since)
        .order_by()
        .values_list("client_id")
        .annotate(Max("last_activity"))
    )
    about = {client.pk: client for client in Client.objects.visible_to(viewer)}
    by_text_id = {str(pk): client for pk, client in about.items()}
    rows = []
    for row in figures.clients_overview(viewer):
        client = by_text_id.get(row["client_id"])
        if client is None:  # made between the two reads
            continue
        rows.append(
            row
            | {
                "industry": client.industry,
                "company_size": client.company_size,
                "last_activity_iso": text(last_activity.get(client.pk)),
            }
        )
    return rows


def totals(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums over clients: `{interactions_today, active_users, open_alerts, open_alerts_total}`."""
    rows = list(rows)
    open_alerts = dict.fromkeys(Alert.Severity.values, 0)
    for row in rows:
        for severity, count in row["open_alerts"].items():
            open_alerts[severity] += count
    return {
        "interactions_today": sum(row["interactions_today"] for row in rows),
        "active_users": sum(row["active_users"] for row in rows),
        "open_alerts": open_alerts,
        "open_alerts_total": sum(open_alerts.values()),
    }


def alerts(rows: QuerySet[Alert], start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
    """Return the payloads of alerts (`payloads.alert_payload`) with `client`, the client's name: one query.

    `start` and `stop` cut a slice out of `rows`.
    """
    rows = rows.select_related("client", "application", "agent", "assignee", "acknowledged_by")
    return [
        alert_payload(
            alert.__dict__,
            application_name=alert.application.name if alert.application else None,
            agent_name=alert.agent.name if alert.agent else None,
            assignee=alert.assignee.username if alert.assignee else None,
            acknowledged_by=alert.acknowledged_by.username if alert.acknowledged_by else None,
        )
        | {"client": alert.client.name}
        for alert in rows[start:stop]
    ]
