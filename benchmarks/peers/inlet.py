"""The way in for Python peers: one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any


async def open_inlet(publish: Callable[[dict[str, Any]], Awaitable[None]]) -> asyncio.Server:
    """Listen on $INLET_PORT and await `publish` for each event, one after the other."""

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await publish(json.loads(line))
        writer.close()

    return await asyncio.start_server(read, "127.0.0.1", int(os.environ["INLET_PORT"]), limit=2**20)
