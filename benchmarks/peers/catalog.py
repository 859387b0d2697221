"""The peers: how each is started, how sockets reach it, and how events do."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import kit
from tests.servers.process import LOOPBACK, ServerProcess, free_port

HERE = Path(__file__).parent
CONNECTIONS = 20_000
WINDOW = 400
CORE_WINDOW = 50
"""The core layer drops what goes beyond its capacity of 100 messages without a word: stay below."""


class PeerServer(ServerProcess):
    """A peer's process, with a port for sockets and one for events."""

    name = "Peer"

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], *, has_inlet: bool = True
    ) -> None:
        super().__init__()
        self.inlet_port = free_port()
        self._arguments = [argument.replace("{port}", str(self.port)) for argument in arguments]
        self._environment = environment
        self._has_inlet = has_inlet

    def command(self) -> list[str]:
        return [argument.replace("{folder}", str(self.folder)) for argument in self._arguments]

    def environment(self) -> Mapping[str, str]:
        ports = {"PORT": str(self.port), "INLET_PORT": str(self.inlet_port)}
        return {**os.environ, "PYTHONUNBUFFERED": "1", "NODE_ENV": "production", **ports, **self._environment}

    def working_folder(self) -> Path:
        return kit.ROOT

    def is_ready(self) -> bool:
        for port in (self.port, self.inlet_port) if self._has_inlet else (self.port,):
            socket.create_connection((LOOPBACK, port), timeout=2).close()
        return True


class NginxServer(PeerServer):
    """nginx with nchan: one worker, messages by POST."""

    name = "nginx"

    def prepare(self) -> None:
        configuration = (HERE / "nginx.conf").read_text()
        for name, value in {"port": self.port, "folder": self.folder, "module": kit.nchan_module()}.items():
            configuration = configuration.replace("{" + name + "}", str(value))
        (self.folder / "nginx.conf").write_text(configuration)


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to measure. `missing` returns why it cannot be run here, or None."""

    key: str
    title: str
    start: Callable[[str], ServerProcess]
    """From the address of Redis to the server, not started yet."""
    publisher: Callable[[Any, str], dict[str, Any]]
    path: str = "/ws/engagement"
    connect: Mapping[str, Any] = field(default_factory=dict)
    window: int = WINDOW
    missing: Callable[[], str | None] = lambda: None


def _bare(*options: str) -> Callable[[str], ServerProcess]:
    return lambda _: PeerServer([str(kit.PYTHON), "-m", "benchmarks.peers.bare", *options], {})


def _uvicorn(module: str) -> Callable[[str], ServerProcess]:
    arguments = [
        str(kit.PYTHON),
        "-m",
        "uvicorn",
        f"benchmarks.peers.{module}:application",
        "--port",
        "{port}",
    ]
    arguments += ["--ws", "websockets-sansio", "--ws-ping-interval", "1000", "--log-level", "warning"]
    arguments += ["--ws-per-message-deflate", "false"]
    return lambda _: PeerServer(arguments, {})


def _tutorial(layer: str) -> Callable[[str], ServerProcess]:
    arguments = [str(kit.PYTHON), "-m", "daphne", "-b", LOOPBACK, "-p", "{port}", "-v", "0"]
    arguments += ["benchmarks.peers.tutorial:application"]

    def start(redis_url: str) -> ServerProcess:
        environment = {"LAYER": layer, "REDIS_URL": redis_url, "LAYER_PREFIX": f"tutorial-{layer}"}
        return PeerServer(arguments, environment, has_inlet=False)

    return start


def _over_layer(layer: str) -> Callable[[Any, str], dict[str, Any]]:
    return lambda _, redis_url: {
        "kind": f"tutorial-{layer}",
        "redis": redis_url,
        "prefix": f"tutorial-{layer}",
    }


def _inlet(server: Any, _: str) -> dict[str, Any]:
    return {"kind": "inlet", "port": server.inlet_port}


def _node(program: str) -> Callable[[str], ServerProcess]:
    return lambda _: PeerServer([shutil.which("node") or "node", str(kit.NODE_FOLDER / program)], {})


def _nchan(_: str) -> ServerProcess:
    return NginxServer(["nginx", "-p", "{folder}", "-c", "{folder}/nginx.conf"], {}, has_inlet=False)


SOCKET_IO = {"ready": "40{", "hello": "40"}
SOCKET_IO_PATH = "/socket.io/?EIO=4&transport=websocket"

PEERS = (
    Peer("bare", "bare loop, a frame per event (the limit)", _bare(), _inlet),
    Peer("bare-batch", "bare loop, batched (the limit)", _bare("batch"), _inlet),
    Peer(
        "tutorial-pubsub",
        "Channels tutorial, pub/sub layer, Daphne",
        _tutorial("pubsub"),
        _over_layer("pubsub"),
    ),
    Peer(
        "tutorial-core",
        "Channels tutorial, core layer, Daphne",
        _tutorial("core"),
        _over_layer("core"),
        window=CORE_WINDOW,
    ),
    Peer("seed", "in-process manager, FastAPI, uvicorn", _uvicorn("seed_manager"), _inlet),
    Peer(
        "python-socketio",
        "python-socketio, uvicorn",
        _uvicorn("socketio_server"),
        _inlet,
        path=SOCKET_IO_PATH,
        connect=SOCKET_IO,
    ),
    Peer("node-ws", "ws, Node", _node("node_ws.mjs"), _inlet, missing=kit.why_no_node_peers),
    Peer(
        "node-socketio",
        "socket.io, Node",
        _node("node_socketio.mjs"),
        _inlet,
        path=SOCKET_IO_PATH,
        connect=SOCKET_IO,
        missing=kit.why_no_node_peers,
    ),
    Peer(
        "nchan",
        "nchan, nginx",
        _nchan,
        lambda server, _: {"kind": "nchan", "port": server.port},
        path="/subscribe",
        missing=kit.why_no_nchan,
    ),
)
