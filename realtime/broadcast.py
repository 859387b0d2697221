"""Broadcasting from backend code (SEED.md, "Backend Broadcast Usage"): the same road as a saved model,
without one.

The event is a row when the call returns; called inside `atomic()`, it commits or rolls back with it. `data`
goes out as it is given. Raise ValueError for an unknown client, for one that is not the MSP's, and for data
that is no JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.db import transaction

from engagement.models import Client
from realtime.events.recording import Fact, record
from realtime.models import Kind
from realtime.protocol.inbound import SEVERITIES
from realtime.protocol.outbound import EventType

Id = UUID | str


def broadcast_engagement_update(client_id: Id, msp_id: Id, engagement_data: Mapping[str, Any]) -> None:
    """Send changed engagement figures: {departments, applications, agents}."""
    _broadcast("engagement_update", client_id, msp_id, engagement_data)


def broadcast_interaction_update(client_id: Id, msp_id: Id, interaction_stats: Mapping[str, Any]) -> None:
    """Send interaction statistics: {app_id, interaction_count, total_daily_interactions}."""
    count = _object(interaction_stats).get("interaction_count")
    if not isinstance(count, int) or isinstance(count, bool):
        raise ValueError(f"interaction_count is {count!r}; it takes a whole number.")  # noqa: TRY004
    _broadcast("interaction_update", client_id, msp_id, interaction_stats)


def broadcast_alert(client_id: Id, msp_id: Id, alert_data: Mapping[str, Any]) -> None:
    """Send an alert: {severity, details, app}. Without a severity it is `medium`."""
    data = {"severity": "medium", **_object(alert_data)}
    if data["severity"] not in SEVERITIES:
        raise ValueError(f"severity is {data['severity']!r}; it takes one of {', '.join(SEVERITIES)}.")
    _broadcast("alert", client_id, msp_id, data, data["severity"])


abroadcast_engagement_update = sync_to_async(broadcast_engagement_update)
abroadcast_interaction_update = sync_to_async(broadcast_interaction_update)
abroadcast_alert = sync_to_async(broadcast_alert)


def _broadcast(
    type_: EventType, client_id: Id, msp_id: Id, data: Mapping[str, Any], severity: str = ""
) -> None:
    try:
        builtin = msgspec.to_builtins(dict(_object(data)))
        client, msp = UUID(str(client_id)), UUID(str(msp_id))
    except TypeError as error:
        raise ValueError(f"The data of a broadcast must be JSON: {error}") from None
    with transaction.atomic():
        if not Client.objects.filter(pk=client, msp_id=msp).exists():
            raise ValueError(f"There is no client {client} of MSP {msp}.")
        record(
            [Fact(Kind.MESSAGE, client, {"type": type_, "data": builtin, "severity": severity}, msp_id=msp)]
        )


def _object(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"The data of a broadcast is an object; this is {type(data).__name__}.")  # noqa: TRY004
    return data
