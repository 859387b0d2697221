"""Where the streams stand: what a page reads before its data, to go live from there without a hole."""

from __future__ import annotations

from typing import Any

from realtime import portal
from realtime.events import reading
from realtime.protocol import groups


def positions_before(viewer: Any, client_id: Any = None) -> dict[str, Any]:
    """Return `{positions, epoch}` of the streams that `viewer` may follow: of a client, and of the own MSP or client.

    Read them before the data that they go with: at worst, what the data holds already comes again as an event.
    """
    scope = portal.current().scope_of(viewer)
    streams = [groups.client(client_id)] if client_id is not None else []
    if scope is not None:
        streams.append(groups.msp(scope.msp_id) if scope.is_msp else groups.client(scope.client_id or ""))
    return {"positions": reading.heads(sorted(set(streams))), "epoch": reading.epoch()}
