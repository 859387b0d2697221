"""A socket of a run: what a server does with it, and what its client knows and checks."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from realtime.hub.connection import WRITE_NOW
from realtime.protocol.inbound import EVENT_TOPICS, SEVERITIES
from realtime.routing import websocket_application
from tests.simulation import workers
from tests.simulation.clock import STARTS_AT
from tests.simulation.database import InjectedFault
from tests.simulation.tenants import NAMES, Credential

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.runs import Run

EVENTS = {"engagement_update", "interaction_update", "alert"}
OF_ONE_CLIENT = {*EVENTS, "acknowledged"}
INNOCENT = {"error", "reconnect", "unsubscribed", "pong", "authenticated"}
"""Frames that tell nothing of a tenant: they may come after the end of an access."""


@dataclass(frozen=True)
class Wish:
    """What a subscription asks for."""

    topics: frozenset[str] = frozenset(EVENT_TOPICS)
    min_severity: str | None = None

    def admits(self, type_: str, severity: str) -> bool:
        if type_ not in self.topics:
            return False
        if self.min_severity is None or type_ != "alert":
            return True
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.min_severity)  # type: ignore[arg-type]


@dataclass
class Followed:
    """A stream, as a client knows it."""

    cursor: int
    whole: Wish = Wish()
    parts: dict[str, Wish] = field(default_factory=dict)

    def admits(self, client: str, type_: str, severity: str) -> bool:
        return self.parts.get(client, self.whole).admits(type_, severity)

    @property
    def wants_presence(self) -> bool:
        return "presence" in self.whole.topics


class Socket:
    """One socket from its handshake to its end."""

    def __init__(
        self,
        run: Run,
        process: Process,
        credential: Credential,
        *,
        route: str | None = None,
        query: dict[str, str],
        subprotocol: str = "compliance.v1",
    ) -> None:
        self.run = run
        self.process = process
        self.number = len(run.sockets) + 1
        self.credential = credential
        self.route = route
        self.query = query
        self.subprotocol = subprotocol
        self.is_stalled = False
        self.latency = random.choice(run.plan.latencies)
        self.raises_when_gone = random.random() < 0.5
        self.is_accepted = self.is_gone = self.was_dropped = False
        self.closed_with: int | None = None
        self.error: str | None = None
        self.failed_before: float | None = None
        """How long before the last error frame a statement had failed, in seconds."""
        self.connection_id: str | None = None
        self.epoch = ""
        self.tenant: tuple[str, UUID] | None = None
        self._tenant_before = run.tenants.tenant(credential.user)
        self.streams: dict[str, Followed] = {}
        self.presence: dict[str | None, dict[str, Any]] = {}
        self.answers: dict[int, dict[str, Any]] = {}
        self.asked: dict[int, Any] = {}
        self.must_renew = False
        self._queue: deque[dict[str, Any]] = deque()
        self._receiver: asyncio.Future[None] | None = None
        self._flow: asyncio.Future[None] | None = None
        self._busy = 0
        self._changed: list[asyncio.Future[None]] = []
        self.holds = True
        self.ever_ended = False
        self.ended_by_change: float | None = None
        """When its access ended by a change that is told; None where it holds, or ended by its time."""
        self.ended: tuple[float, float] | None = None
        """When its access ended, and until when that may go unnoticed."""
        self.visible: frozenset[UUID] = frozenset()
        self.lost: dict[UUID, float] = {}
        """By client that may not be seen any more: until when what was sent may still tell of it."""
        self.once_lost: set[UUID] = set()
        self.came: dict[UUID, int] = {}
        """By client that it may see only since it was opened, or shortly before: the log's position then.

        An MSP's stream holds the past of a client that comes back. Who reads it from the rows as the client comes
        finds it hidden or not; who reads it later must get it.
        """
        run.sockets.append(self)
        self.look_at_access()
        self.came = run.clients_came_lately(self.visible)

    def __str__(self) -> str:
        return f"socket {self.number} of {NAMES[str(self.credential.user)]}"

    # The server's side: ASGI

    async def serve(self) -> None:
        """Run the application on this socket, as a server does."""
        scope = {
            "type": "websocket",
            "path": f"/ws/client/{self.route}/engagement" if self.route else "/ws/engagement",
            "query_string": "&".join(f"{name}={value}" for name, value in self.query.items()).encode(),
            "headers": [(b"origin", b"http://testserver"), (b"host", b"testserver")],
            "subprotocols": [self.subprotocol],
            "client": ["192.0.2.1", 1],
            "scheme": "ws",
        }
        value = self.credential.value
        if self.credential.kind == "session":
            scope["headers"].append((b"cookie", f"sessionid={value}".encode()))  # type: ignore[attr-defined]
        elif self.credential.kind == "token":
            scope["subprotocols"].insert(0, f"bearer.{value}")  # type: ignore[attr-defined]
        else:
            scope["query_string"] += f"&ticket={value}".encode()  # type: ignore[operator]
        if random.random() < 0.5:
            scope["extensions"] = {WRITE_NOW: self.write_now}
        self._queue.append({"type": "websocket.connect"})
        try:
            await websocket_application(scope, self.receive, self.send)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            if isinstance(error, InjectedFault) and self.is_accepted and not self.is_gone:
                self._close(1011)  # as servers do
            elif not isinstance(error, InjectedFault) and not (
                isinstance(error, OSError) and (self.is_gone or self.process.is_dead)
            ):
                self.run.fail("no traceback", f"the application of {self} ended with {error!r}", error)
        finally:
            self.process.applications.pop(self, None)
            self._notify()
        if self.is_accepted and not self.is_gone and self.closed_with is None and not self.process.is_dead:
            self.was_dropped = True

    async def receive(self) -> dict[str, Any]:
        while not self._queue:
            self._receiver = asyncio.get_running_loop().create_future()
            await self._receiver
        return self._queue.popleft()

    async def send(self, message: dict[str, Any]) -> None:
        if self.is_gone or self.process.is_dead:
            if self.raises_when_gone:
                raise OSError("this socket is gone")
            return
        kind = message["type"]
        if kind == "websocket.accept":
            self.is_accepted = True
        elif kind == "websocket.close":
            self._close(message.get("code", 1000))
            return
        elif kind == "websocket.send" and self.closed_with is None:
            self._take(message.get("text") or message.get("bytes"))
        await self._wait_for_room()

    def write_now(self, payload: str | bytes) -> bool:
        if (
            self._busy
            or self.is_stalled
            or self.is_gone
            or self.closed_with is not None
            or self.process.is_dead
        ):
            return False
        if random.random() < self.run.plan.breaking:
            raise InjectedFault("the server cannot write")
        self._take(payload)
        return True

    async def _wait_for_room(self) -> None:
        self._busy += 1
        try:
            if self.latency:
                await asyncio.sleep(random.random() * self.latency)
            while self.is_stalled and not self.is_gone:
                self._flow = self._flow or asyncio.get_running_loop().create_future()
                await asyncio.shield(self._flow)
        finally:
            self._busy -= 1

    def _close(self, code: int) -> None:
        if self.closed_with is not None:
            return
        self.closed_with = code
        self.run.say(f"{self} is closed with {code}{f' ({self.error})' if self.error else ''}")
        self.run.check_close(self)
        self._notify()
        wait = 10.0 if self.is_stalled else random.random() * 0.05
        self.run.loop.call_later(wait, self._ended, code)

    def _ended(self, code: int) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.stall(False)
            self._put({"type": "websocket.disconnect", "code": code})

    def _put(self, message: dict[str, Any]) -> None:
        self._queue.append(message)
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    # The client's side

    @property
    def is_open(self) -> bool:
        """True where both sides take it for open. Of a process that died its client may not know yet."""
        lasts = not self.is_gone and self.closed_with is None and not self.process.is_dead
        return self.connection_id is not None and lasts

    def leave(self, code: int) -> None:
        """Close from the client's side."""
        if not self.is_gone:
            self.run.say(f"{self} leaves")
            self._ended(code)
            self._notify()

    def stall(self, stalled: bool) -> None:
        """Read no more, or go on reading."""
        self.is_stalled = stalled
        if not stalled and self._flow is not None:
            if not self._flow.done():
                self._flow.set_result(None)
            self._flow = None

    def ask(self, message: dict[str, Any]) -> int:
        """Send a message; return its number."""
        ref = len(self.asked) + 1
        self.asked[ref] = message
        self.run.say(f"{self} sends {describe(message)}")
        text = msgspec.json.encode({**message, "ref": ref}).decode()
        if self.subprotocol.endswith("msgpack"):
            self._put({"type": "websocket.receive", "bytes": msgspec.msgpack.encode({**message, "ref": ref})})
        else:
            self._put({"type": "websocket.receive", "text": text})
        return ref

    async def changed(self, seconds: float) -> None:
        """Wait until something happens here, or for so long."""
        future = asyncio.get_running_loop().create_future()
        self._changed.append(future)
        await workers.within(future, max(0.0, seconds))

    def _notify(self) -> None:
        waiting, self._changed = self._changed, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _take(self, payload: str | bytes | None) -> None:
        if payload is None:
            return
        news = False
        for frame in self._frames(payload):
            self.run.say(lambda frame=frame: f"{self} is sent {describe(frame)}")
            self._check_access(frame)
            handle = getattr(self, f"_on_{frame['type']}", None)
            if handle is not None:
                handle(frame)
            if isinstance(frame.get("ref"), int):
                self.answers[frame["ref"]] = frame
            news = news or frame["type"] not in EVENTS
        if news:
            self._notify()

    def _frames(self, payload: str | bytes) -> Iterator[dict[str, Any]]:
        if self.subprotocol.endswith("msgpack") and isinstance(payload, bytes):
            frame = msgspec.msgpack.decode(payload)
        else:
            frame = msgspec.json.decode(payload if isinstance(payload, str) else zlib.decompress(payload))
        if frame["type"] == "batch":
            yield from frame["messages"]
        else:
            yield frame

    def _on_connection(self, frame: dict[str, Any]) -> None:
        self.connection_id = frame["connection_id"]
        self.epoch = frame["epoch"]
        if frame["scope"] == "msp" or frame.get("msp_id"):
            self.tenant = ("msp", UUID(frame["msp_id"]))
        else:
            self.tenant = ("client", UUID(frame["client_id"]))
        self.route = frame.get("client_id") or self.route
        self.streams = {stream: Followed(seq) for stream, seq in frame["positions"].items()}
        self.look_at_access()

    def _on_event(self, frame: dict[str, Any]) -> None:
        stream, seq = frame.get("stream"), frame.get("seq")
        if frame.get("snapshot"):
            return
        followed = self.streams.get(stream)  # type: ignore[arg-type]
        if followed is None or seq is None:
            self.run.fail("asked for", f"{self} was sent event {seq} of {stream}, which it does not follow")
            return
        if seq <= followed.cursor:
            self.run.fail(
                "in order",
                f"{self} was sent event {seq} of {describe_stream(stream)} after {followed.cursor}",
            )
        severity = frame["data"].get("severity", "") if isinstance(frame["data"], dict) else ""
        if not followed.admits(frame["client_id"], frame["type"], severity):
            self.run.fail("asked for", f"{self} was sent a {frame['type']} that it had left out")
        if seq > followed.cursor + 1 and "rate" not in self.query:
            self._excuse(followed, stream, followed.cursor, seq)
        followed.cursor = seq

    _on_engagement_update = _on_interaction_update = _on_alert = _on_event

    def _excuse(self, followed: Followed, stream: str | None, after: int, before: int) -> None:
        if self.run.log is not None and before > len(self.run.log.streams.get(str(stream), ())):
            return  # the log was restored meanwhile: what those events were cannot be looked up any more
        rows = {row.seq: row for row in self.run.events(str(stream), after, before)}
        for seq in range(after + 1, before):
            if seq not in rows or self.must_get(followed, rows[seq]):
                self.run.fail(
                    "no gap", f"{self} was sent event {before} of {describe_stream(stream)} after {after}"
                )
                return

    def must_get(self, followed: Followed, row: Any) -> bool:
        """Return whether this socket must be sent a row of a stream that it follows."""
        client = UUID(row.client)
        if client not in self.visible or client in self.once_lost or row.position <= self.came.get(client, 0):
            return False
        if row.is_for_json_alone and self.subprotocol.endswith("msgpack"):
            return False
        return followed.admits(row.client, row.type, row.severity)

    def _on_subscribed(self, frame: dict[str, Any]) -> None:
        stream, client = frame["stream"], frame.get("client_id")
        wish = Wish(frozenset(frame["topics"]), frame.get("min_severity"))
        followed = self.streams.setdefault(stream, Followed(frame["seq"]))
        if frame["seq"] > followed.cursor:
            # What lies between was passed over, by what was asked for before.
            if "rate" not in self.query:
                self._excuse(followed, stream, followed.cursor, frame["seq"] + 1)
            followed.cursor = frame["seq"]
        if client is not None and stream.startswith("msp."):
            followed.parts[client] = wish
        else:
            followed.whole = wish

    def _on_unsubscribed(self, frame: dict[str, Any]) -> None:
        client = frame.get("client_id")
        own = f"client.{client}"
        wish = Wish(frozenset(frame["topics"]))
        if client is not None and own in self.streams and "scope" in self.query and not frame["topics"]:
            del self.streams[own]
            return
        for stream, followed in self.streams.items():
            if client is not None and stream.startswith("msp."):
                before = followed.parts.get(client, followed.whole)
                followed.parts[client] = replace(before, topics=wish.topics)
            elif client is None or stream == own:
                followed.whole = replace(followed.whole, topics=wish.topics)

    def _on_resumed(self, frame: dict[str, Any]) -> None:
        followed = self.streams.get(frame["stream"])
        asked = self.asked.get(frame.get("ref") or 0, {}).get("positions") or self.query.get("positions")
        if followed is None:
            self.run.fail("asked for", f"{self} resumed {frame['stream']}, which it does not follow")
            return
        if isinstance(asked, dict) and asked.get(frame["stream"]) != frame["from"]:
            self.run.fail("resumed", f"{self} resumed from {frame['from']} and had asked for {asked}")
        followed.cursor = frame["from"]
        self.came = self.run.clients_came_lately(self.visible)
        if frame["stream"].startswith(
            "msp."
        ):  # the past of a client that has come back some time ago is owed again
            self.once_lost -= self.visible - self.came.keys()

    def _on_resync(self, frame: dict[str, Any]) -> None:
        self.epoch = frame["epoch"]
        if frame["stream"] in self.streams:
            self.streams[frame["stream"]].cursor = frame["seq"]

    def _on_authenticated(self, frame: dict[str, Any]) -> None:
        if frame.get("expiring"):
            self.must_renew = True
            return
        token = self.asked[frame["ref"]]["credential"]
        self.credential = replace(self.credential, expires_at=token.expires_at, password=token.password)
        self.look_at_access()

    def _on_presence(self, frame: dict[str, Any]) -> None:
        self.presence[frame.get("client_id")] = frame

    def _on_error(self, frame: dict[str, Any]) -> None:
        self.error = frame["code"]
        self.failed_before = self.run.database.weather.failed_before

    def watches(self, kind: str, key: UUID) -> bool:
        """Return whether presence counts it among those who watch an MSP, or a client."""
        if kind == "msp":
            return self.route is None and "scope" not in self.query and self.tenant == ("msp", key)
        if "scope" in self.query and self.route is None:
            return f"client.{key}" in self.streams
        return self.route == str(key)

    # Access

    def look_at_access(self) -> None:
        """Note what the rows say now of what this socket may see."""
        tenants, now = self.run.tenants, self.run.clock.now
        user = self.credential.user
        visible = tenants.visible(user) if tenants.holds(self.credential) else frozenset()
        if self.tenant is not None and tenants.tenant(user) != self.tenant:
            visible = frozenset()
        if self.route is not None:
            visible &= {UUID(self.route)}
        if tenants.tenant(user) != self._tenant_before:
            self.ever_ended = True  # its user moved: it may be closed for that
        expired_for = tenants.expired_for(self.credential)
        holds = expired_for <= 0 and (bool(visible) or (self.route is None and self._is_idle_msp()))
        until = now + self.run.bound
        for client in self.visible - visible:
            self.lost[client] = until
            self.once_lost.add(client)
        for client in visible:
            self.lost.pop(client, None)
        for client in visible - self.visible:
            self.came[client] = self.run.position
        if not holds and self.ended is None:
            ago = max(0.0, expired_for)
            self.ended = now - ago, until - ago
            self.ever_ended = True
        elif holds:
            self.ended = None
        if holds or expired_for > 0:
            self.ended_by_change = None
        elif self.ended_by_change is None:
            self.ended_by_change = now
        self.visible, self.holds = visible, holds

    def _is_idle_msp(self) -> bool:
        """True for a user of an MSP that has lost its last client."""
        tenants, user = self.run.tenants, self.credential.user
        tenant = tenants.tenant(user)
        fits = self.tenant is None or tenant == self.tenant
        return tenant is not None and tenant[0] == "msp" and fits and tenants.holds(self.credential)

    def _check_order(self, frame: dict[str, Any]) -> None:
        """What was recorded after a change that ended this socket's access does not come, however soon: the hub has
        heard of the change before. Not so where a gap is read from the rows at that moment: they may hold what came
        after a change that was not heard of yet, so that only some kinds of runs ask for it.
        """
        if self.ended_by_change is None or frame["type"] not in EVENTS or frame.get("snapshot"):
            return
        after = datetime.fromisoformat(frame["timestamp"]).timestamp() - STARTS_AT - self.ended_by_change
        if self.run.plan.in_order and after > 0:
            self.run.fail(
                "nothing after the change",
                f"{self} was sent {describe(frame)}, recorded {after:.3f} s after its access ended",
            )

    def _check_access(self, frame: dict[str, Any]) -> None:
        if self.credential.expires_at is not None:
            self.look_at_access()
        now = self.run.clock.now
        if self.ended is not None and now > self.ended[1] and frame["type"] not in INNOCENT:
            self.run.fail(
                "no more than may be seen",
                f"{self} was sent {describe(frame)}, and its access ended {now - self.ended[0]:.2f} s before",
            )
        self._check_order(frame)
        client = frame.get("client_id")
        if client is None or frame["type"] not in OF_ONE_CLIENT or UUID(client) in self.visible:
            return
        if self.ended is not None:
            return  # its access ended, and it may go on within the bound, also with a client that came since
        resumed_until = self.run.clients_left.get((frame.get("stream", ""), client), -1.0)
        if now > max(self.lost.get(UUID(client), -1.0), resumed_until):
            self.run.fail(
                "no more than may be seen", f"{self} was sent {describe(frame)}, which it may not see"
            )


def describe(message: dict[str, Any]) -> str:
    """Return a message in a few words."""
    parts = []
    for name, value in message.items():
        if (
            name in {"stream", "client_id", "seq", "code", "from", "to", "reason", "topics", "alert_id"}
            and value
        ):
            parts.append(f"{name} {describe_stream(value) if isinstance(value, str) else value}")
        elif name == "positions" and isinstance(value, dict):
            parts.append(f"positions { {describe_stream(stream): at for stream, at in value.items()} }")
    return f"{message['type']} {', '.join(parts)}".strip()


def describe_stream(stream: str | None) -> str:
    """Return a stream's or a tenant's name instead of its id."""
    kind, _, key = str(stream).rpartition(".")
    return f"{kind}{'.' if kind else ''}{NAMES.get(key, key)}"
