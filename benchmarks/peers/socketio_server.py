"""python-socketio: an ASGI server that emits to everybody."""

from __future__ import annotations

from typing import Any

import socketio

from benchmarks.peers.inlet import open_inlet

server = socketio.AsyncServer(async_mode="asgi", ping_interval=1000, cors_allowed_origins="*")


async def publish(event: dict[str, Any]) -> None:
    await server.emit("event", event)


async def start() -> None:
    await open_inlet(publish)


application = socketio.ASGIApp(server, on_startup=start)
