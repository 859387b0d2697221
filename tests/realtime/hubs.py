"""A hub in the loop of the test, and sockets that are a list of frames: each fault at the very moment it hurts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from asgiref.sync import sync_to_async

from realtime.auth import identity as identities
from realtime.auth.credentials import Credential
from realtime.hub.connection import Connection
from realtime.hub.hub import Hub
from realtime.hub.pacing import PacedConnection
from realtime.protocol import groups
from realtime.protocol.encoding import Encoding
from tests.sockets import token_for

ONLY_WHEN_ASKED = {
    "SWEEP_LOCAL": "1000",
    "SWEEP_SHARED": "1000",
    "PRESENCE_INTERVAL": "1000",
    "RECHECK_SECONDS": "1000000",
    "TAIL_EVENTS": "5",
    "PAGE_EVENTS": "4",
}
"""Settings with which a hub does nothing by itself, and keeps few events in memory."""


class Wire:
    """What a socket was sent. While `open` is not set the sender of a frame waits, as at a full socket."""

    def __init__(self, encoding: Encoding = Encoding.JSON) -> None:
        self.frames: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.closed: int | None = None
        self._decode = msgspec.msgpack.decode if encoding is Encoding.MSGPACK else json.loads

    async def send(self, message: dict[str, Any]) -> None:
        """Take an ASGI message."""
        if message["type"] == "websocket.close":
            self.closed = message["code"]
            return
        self.write_now(message.get("text") or message.get("bytes"))
        await self.open.wait()

    def write_now(self, payload: Any) -> bool:
        """Take a frame at once."""
        self.frames.append(self._decode(payload))
        return True

    def events(self) -> list[dict[str, Any]]:
        """Return the events, out of batches too."""
        return [event for frame in self.frames for event in frame.get("messages", [frame]) if "data" in event]

    def seqs(self) -> list[int]:
        """Return the events' seqs."""
        return [event["seq"] for event in self.events()]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the frames of a type."""
        return [frame for frame in self.frames if frame["type"] == kind]


@asynccontextmanager
async def running_hub() -> AsyncIterator[Hub]:
    """Run a hub; it has joined its groups and swept once."""
    hub = Hub()
    await hub.start()
    await asyncio.sleep(0.1)
    try:
        yield hub
    finally:
        await hub.stop()


async def connect(
    hub: Hub,
    user: Any,
    *,
    encoding: Encoding = Encoding.JSON,
    rate: float | None = None,
    route_client: str | None = None,
    at_once: bool = False,
    **options: Any,
) -> tuple[Connection, Wire]:
    """Register a connection of `user` that follows nothing yet. `at_once`: its server has `write_now`."""
    wire = Wire(encoding)
    identity = await sync_to_async(identities.identify)(Credential("token", token_for(user)))
    given = {
        "identity": identity,
        "route_client": route_client,
        "encoding": encoding,
        "batches": False,
        "selective": False,
        "address": "127.0.0.1",
        "write_now": wire.write_now if at_once else None,
    } | options
    made = (
        Connection(hub, wire.send, **given)
        if rate is None
        else PacedConnection(hub, wire.send, rate=rate, **given)
    )
    hub.register(made)
    return made, wire


async def follow_msp(hub: Hub, tenant: Any, **options: Any) -> tuple[Connection, Wire]:
    """Connect the tenant's MSP's user, live on the MSP's stream."""
    connection, wire = await connect(hub, tenant.msp_user, **options)
    await hub.streams.follow(connection, groups.msp(tenant.msp.pk))
    connection.start()
    await asyncio.sleep(0)
    return connection, wire


def announced(tenant: Any, seq: int, data: str = '{"id":"1"}', type_: str = "alert") -> list[Any]:
    """Return an event as a group message carries it."""
    return [seq, seq, type_, str(tenant.client.pk), "low", "2026-01-01T00:00:00+00:00", data]


async def settled(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def meanwhile(module: Any, name: str, change: Callable[[], Awaitable[Any] | Any], monkeypatch: Any) -> None:
    """Let `change` happen while `module.name` is awaited, once: after it has its answer, before the caller goes on."""
    true = getattr(module, name)
    done = False

    async def changed(*arguments: Any, **options: Any) -> Any:
        nonlocal done
        answer = await true(*arguments, **options)
        if not done:
            done = True
            result = change()
            if asyncio.iscoroutine(result):
                await result
        return answer

    monkeypatch.setattr(module, name, changed)
