"""Broadcasting from backend code: events without a model behind them.

In synchronous code call the functions; in a coroutine await the methods of `connection_manager`, which are the same.
The event is recorded when the call returns; called inside `atomic()`, it commits or rolls back with it. `data` goes out
as it is given. Raise ValueError for an unknown client, for one that is not the MSP's, and for data that not every
encoding can carry (`realtime.protocol.payload`); nothing is recorded then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction

from realtime import portal
from realtime.events.recording import Fact, record
from realtime.models import Kind
from realtime.protocol import groups, payload
from realtime.protocol.inbound import SEVERITIES
from realtime.protocol.outbound import EventType

Id = groups.Key


def broadcast_engagement_update(client_id: Id, msp_id: Id, engagement_data: Mapping[str, Any]) -> None:
    """Send changed engagement figures: {departments, applications, agents}."""
    _broadcast("engagement_update", client_id, msp_id, _object(engagement_data))


def broadcast_interaction_update(client_id: Id, msp_id: Id, interaction_stats: Mapping[str, Any]) -> None:
    """Send interaction statistics: {app_id, interaction_count, total_daily_interactions}."""
    count = _object(interaction_stats).get("interaction_count")
    if not isinstance(count, int) or isinstance(count, bool):
        raise ValueError(f"interaction_count is {repr(count)[:100]}; it takes a whole number.")  # noqa: TRY004
    _broadcast("interaction_update", client_id, msp_id, interaction_stats)


def broadcast_alert(client_id: Id, msp_id: Id, alert_data: Mapping[str, Any]) -> None:
    """Send an alert: {severity, details, app}. Without a severity it is `medium`."""
    data = {"severity": "medium", **_object(alert_data)}
    severity = data["severity"]
    if not isinstance(severity, str) or severity not in SEVERITIES:
        raise ValueError(f"severity is {str(severity)[:100]!r}; it takes one of {', '.join(SEVERITIES)}.")
    _broadcast("alert", client_id, msp_id, data, str.__str__(severity))


abroadcast_engagement_update = sync_to_async(broadcast_engagement_update)
abroadcast_interaction_update = sync_to_async(broadcast_interaction_update)
abroadcast_alert = sync_to_async(broadcast_alert)


class ConnectionManager:
    """The three functions as awaitable methods, for coroutines."""

    broadcast_engagement_update = staticmethod(abroadcast_engagement_update)
    broadcast_interaction_update = staticmethod(abroadcast_interaction_update)
    broadcast_alert = staticmethod(abroadcast_alert)


connection_manager = ConnectionManager()


def _broadcast(
    type_: EventType, client_id: Id, msp_id: Id, data: Mapping[str, Any], severity: str = ""
) -> None:
    _refuse_on_a_loop(type_)
    text = payload.checked(data)
    declared = portal.current()
    client = _key("client_id", client_id, declared.client_key)
    msp = _key("msp_id", msp_id, declared.msp_key)
    with transaction.atomic():
        if declared.msps_of([client]).get(client) != msp:
            raise ValueError(f"There is no client {client} of MSP {msp}.")
        facts = {"type": type_, "data": msgspec.Raw(text.encode()), "severity": severity}
        record([Fact(Kind.MESSAGE, client, facts, msp_id=msp)])


def _refuse_on_a_loop(type_: EventType) -> None:
    """Raise, with the remedy, where an event loop runs: it would stand still for the database."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SynchronousOnlyOperation(
        f"On an event loop, await connection_manager.broadcast_{type_}(...) of realtime.broadcast instead."
    )


def _key(name: str, value: Id, key_of: Callable[[object], Any]) -> Any:
    """Return a key as the portal's model has it. Raise ValueError where `value` can be none."""
    key = key_of(value)
    if key is None:
        raise ValueError(f"{name} is {str(value)[:100]!r}, which is no key of one.")
    return key


def _object(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"The data of a broadcast is an object; this is {type(data).__name__}.")  # noqa: TRY004
    return data
