"""Shapes that REST and socket answer alike. Pure: what they say is given to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from engagement.bounds import framework_names, shortened

if TYPE_CHECKING:
    from engagement.models import Alert


def alert_payload(
    values: Mapping[str, Any],
    *,
    application_name: str | None,
    agent_name: str | None,
    assignee: str | None,
    acknowledged_by: str | None,
) -> dict[str, Any]:
    """Return an alert as the portal's API speaks of it; `app` is the application's or the agent's name.

    `values` are the columns of an `Alert` by attribute name (`application_id`, not `application`); ids and
    times may be text already. `assignee` and `acknowledged_by` are usernames. Ids come out as text, times as
    ISO 8601 in UTC, ending in Z.
    """
    return {
        "id": text(values["id"]),
        "client_id": text(values["client_id"]),
        "severity": values["severity"],
        "details": shortened(values["details"]),
        "app": application_name or agent_name,
        "app_id": text(values["application_id"]),
        "agent_id": text(values["agent_id"]),
        "asset_kind": values["asset_kind"],
        "family": values["family"],
        "subtype": values["subtype"],
        "users_affected": values["users_affected"],
        "count": values["count"],
        "frameworks": framework_names(values["frameworks"]),
        "status": values["status"],
        "assignee": assignee,
        "acknowledged_by": acknowledged_by,
        "acknowledged_at": text(values["acknowledged_at"]),
        "created_at": text(values["created_at"]),
        "updated_at": text(values["updated_at"]),
    }


def payload_of(alert: Alert) -> dict[str, Any]:
    """Return the payload of an alert whose application, agent, assignee and acknowledger are loaded."""
    return alert_payload(
        alert.__dict__,
        application_name=alert.application.name if alert.application else None,
        agent_name=alert.agent.name if alert.agent else None,
        assignee=alert.assignee.username if alert.assignee else None,
        acknowledged_by=alert.acknowledged_by.username if alert.acknowledged_by else None,
    )


def text(value: UUID | datetime | str | None) -> str | None:
    """Return an id or a time as the API writes it; text and None pass."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return None if value is None else str(value)
