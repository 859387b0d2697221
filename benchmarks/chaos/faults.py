"""What breaks, and how it is mended. Only servers that the run started itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.chaos.plan import Fault
from tests.servers import PortalServer, PostgresServer, RedisServer


@dataclass
class Broken:
    """A fault that happened: when it began and was mended (monotonic seconds), and on what."""

    kind: str
    target: str
    began: float
    mended: float
    heads: dict[str, int] = field(default_factory=dict)
    """The streams' heads with all that was committed when it was mended."""
    level_after: float | None = None
    """Seconds from `mended` until every client that stayed had all of it; None: never."""
    stayed: int = 0


@dataclass
class Servers:
    """All servers of a run."""

    portals: list[PortalServer]
    postgres: PostgresServer | None
    redis: RedisServer | None
    write_and_die: Callable[[], subprocess.CompletedProcess[bytes]]

    def commit(self, fault: Fault) -> Broken:
        """Break, hold, mend; return when all is up again."""
        portal = self.portals[fault.target]
        began = time.monotonic()
        target = fault.kind.partition("_")[0]
        match fault.kind:
            case "redis_kill":
                self._redis().kill()
                time.sleep(fault.held)
                self._redis().start()
            case "redis_stop":
                self._redis().pause()
                time.sleep(fault.held)
                self._redis().resume()
            case "server_kill":
                target = f"{portal.kind} {fault.target}"
                portal.kill()
                time.sleep(fault.held)
                portal.start()
            case "server_stop":
                target = f"{portal.kind} {fault.target}"
                portal.pause()
                time.sleep(fault.held)
                portal.resume()
            case "server_drain":
                # uvicorn closes with 1012 too, but has no drain of its own to spread it.
                portal = next(p for p in [portal, *self.portals] if p.kind == "daphne")
                target = f"{portal.kind} {self.portals.index(portal)}"
                portal.restart()
            case "postgres_restart":
                self._postgres().stop()
                time.sleep(fault.held)
                self._postgres().start()
            case "publisher_kill":
                ended = self.write_and_die()
                if ended.returncode != -9:
                    raise RuntimeError(
                        f"The writer was to be killed by its commit, and ended with {ended.returncode}."
                    )
                target, began = "writer", time.monotonic()
            case _:
                raise ValueError(f"No such fault: {fault.kind}.")
        return Broken(fault.kind, target, began, time.monotonic())

    def _redis(self) -> RedisServer:
        if self.redis is None:
            raise ValueError("There is no Redis in this run.")
        return self.redis

    def _postgres(self) -> PostgresServer:
        if self.postgres is None:
            raise ValueError("There is no PostgreSQL in this run.")
        return self.postgres
