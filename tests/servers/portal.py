"""The portal itself, as users run it: `manage.py serve`, or uvicorn."""

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tests.servers.process import LOOPBACK, ServerProcess
from tests.servers.warm import ROOT

Kind = Literal["daphne", "uvicorn"]


class PortalServer(ServerProcess):
    """A portal server on the given database and, where one is given, Redis.

    `kind` is the server software: our Daphne (`manage.py serve`) or uvicorn. `environment` adds settings.
    `warm` spares the import of the libraries (`warm.py`); without it, all is as when a user types it.
    """

    name = "Portal"
    stop_seconds = 30  # longer than it takes to hand over its connections (REALTIME_DRAIN_SECONDS)

    def __init__(
        self,
        *,
        database_url: str,
        redis_url: str = "",
        kind: Kind = "daphne",
        processes: int = 1,
        environment: Mapping[str, str] | None = None,
        warm: bool = False,
    ) -> None:
        super().__init__(warm=warm)
        self.kind = kind
        self.processes = processes
        self._environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **(environment or {})}

    @property
    def url(self) -> str:
        """The address of its pages, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address of its WebSockets, without a slash at the end."""
        return f"ws://{LOOPBACK}:{self.port}"

    def command(self) -> list[str]:
        """Return the command a user would type."""
        address = ["--host", LOOPBACK, "--port", str(self.port)]
        if self.kind == "daphne":
            return [sys.executable, "manage.py", "serve", *address, "--processes", str(self.processes)]
        # fmt: off
        return [
            sys.executable, "-m", "uvicorn", "compliance_portal.asgi:application", *address,
            "--ws", "websockets-sansio", "--workers", str(self.processes),
        ]
        # fmt: on

    def environment(self) -> Mapping[str, str]:
        """Return our environment with the server's own settings over it."""
        return {**os.environ, "PYTHONUNBUFFERED": "1", **self._environment}

    def working_folder(self) -> Path:
        """Run from the repository."""
        return ROOT

    def is_ready(self) -> bool:
        """Any answer to an HTTP request will do."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("HEAD", "/")
            connection.getresponse()
        except http.client.HTTPException:
            return False
        finally:
            connection.close()
        return True
