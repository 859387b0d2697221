"""ASGI lifespan, for servers that speak it (uvicorn): the hub's last rows are written before the process goes."""

from __future__ import annotations

from typing import Any

from realtime.events import publisher
from realtime.hub import hub as hubs


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Start the hub of this loop, and end it."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await hubs.warm_up()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await hubs.current().stop()
            publisher.flush()
            await send({"type": "lifespan.shutdown.complete"})
            return
