"""The stage of all measures: PostgreSQL, Redis, the load client, and tenants to serve."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from benchmarks import cores, kit
from benchmarks.driver import Load
from tests.servers import PortalServer, PostgresServer, RedisServer
from tests.servers.portal import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from engagement.models import MSP, Client, User

ENVIRONMENT = {
    "DEBUG": "false",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECURE_SSL_REDIRECT": "false",
    "ACCESS_TOKEN_SECONDS": "3600",
    "REALTIME_CONNECTIONS_PER_USER": "100000",
    "REALTIME_CONNECTIONS_PER_ADDRESS": "100000",
    "REALTIME_CONNECTIONS_PER_CLIENT": "100000",
    "REALTIME_HANDSHAKES_PER_SECOND": "100000",
    "REALTIME_HANDSHAKES_BURST": "100000",
    "REALTIME_SILENCE_TIMEOUT": "3600",
    "REALTIME_DRAIN_SECONDS": "0",
}
"""As in production, but for TLS, which a proxy would do. Limits are out of the way, and load clients never ping."""


class Portal(PortalServer):
    """The portal under test. uvicorn's own pings are out of the way: the load client does not see them under load."""

    def command(self) -> list[str]:
        typed = super().command()
        return [*typed, "--ws-ping-interval", "1000"] if self.kind == "uvicorn" else typed


class Stage:
    """Runs PostgreSQL (fsync on), Redis and the load client while it is open, and sets Django up on them."""

    def __init__(self, *, quick: bool, servers: list[str] | None = None) -> None:
        self.quick = quick
        self.servers = servers
        """Keys of the servers to compare; None: all."""
        self.postgres = PostgresServer(durable=True)
        self.redis = RedisServer()
        self.load = Load()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            with cores.on(cores.LOAD):
                opening.enter_context(self.postgres)
                opening.enter_context(self.redis)
            self.load.start()
            opening.callback(lambda: self.load.stop())
            os.environ.update(
                ENVIRONMENT,
                DATABASE_URL=self.postgres.url,
                REDIS_URL=self.redis.url,
                DJANGO_SETTINGS_MODULE="compliance_portal.settings",
                LOG_LEVEL="WARNING",
            )
            migrate = [sys.executable, "manage.py", "migrate", "-v0"]
            subprocess.run(migrate, cwd=kit.ROOT, check=True, timeout=120)
            import django

            django.setup()
            from realtime.server import collecting

            collecting.spare_what_stays()  # this process saves as a server's does
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from realtime.events import publisher

        publisher.flush()
        self._open.close()

    def compares(self, key: str) -> bool:
        """Return whether a server is among those to compare."""
        return self.servers is None or key in self.servers

    def renew_load(self) -> None:
        """Start the load client anew: after a failure nobody knows what it is at."""
        self.load.stop()
        self.load.start()

    def pick(self, full: Any, quick: Any) -> Any:
        """Return how much to do: in a full run, in a quick one."""
        return quick if self.quick else full

    @contextmanager
    def portal(
        self,
        kind: Kind = "daphne",
        *,
        processes: int = 1,
        on: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Portal]:
        """Run the portal, on the servers' core unless told otherwise, with INFO logs as it comes."""
        settings = {"LOG_LEVEL": "INFO", **(environment or {})}
        portal = Portal(
            database_url=self.postgres.url,
            redis_url=self.redis.url,
            kind=kind,
            processes=processes,
            environment=settings,
        )
        with ExitStack() as running:
            with cores.on(on or cores.SERVER):
                running.enter_context(portal)
            running.callback(self.load.do, "close")
            yield portal

    @contextmanager
    def everything_everywhere(self) -> Iterator[None]:
        """Let PostgreSQL and Redis run on all cores inside this."""
        for server in (self.postgres, self.redis):
            cores.move(server.pid, cores.ALL)
        try:
            yield
        finally:
            for server in (self.postgres, self.redis):
                cores.move(server.pid, cores.LOAD)


class Tenant:
    """An MSP with clients, a user who sees it all, and that user's token."""

    def __init__(self, clients: int = 1) -> None:
        from engagement.models import MSP, Client, User

        name = secrets.token_hex(6)
        self.msp: MSP = MSP.objects.create(name=f"MSP {name}")
        self.clients: list[Client] = Client.objects.bulk_create(
            [Client(msp=self.msp, name=f"Client {index}") for index in range(clients)]
        )
        self.user: User = User.objects.create_user(name, password=None, role="msp_admin", msp=self.msp)
        self.token = token(self.user)

    @property
    def stream(self) -> str:
        """The MSP's stream."""
        return f"msp.{self.msp.pk}"

    def announcing(
        self, redis_url: str, streams: list[str] | None = None, heads: dict[str, int] | None = None
    ) -> dict[str, Any]:
        """Return the load client's order to announce events into streams (default: the MSP's)."""
        return {
            "kind": "announcement",
            "redis": redis_url,
            "prefix": "portal",
            "streams": streams or [self.stream],
            "heads": heads or {},
        }


def token(user: User) -> str:
    """Return an access token of a user."""
    from rest_framework_simplejwt.tokens import AccessToken

    return str(AccessToken.for_user(user))


def route(
    bearer: str,
    count: int,
    *,
    batch: bool,
    encoding: str | None = None,
    query: str = "",
    client: UUID | None = None,
) -> dict[str, Any]:
    """Return sockets of the portal to open: how many, by which path, with which headers."""
    path = f"/api/v1/ws/client/{client}/engagement" if client else "/api/v1/ws/engagement"
    headers = {"Authorization": f"Bearer {bearer}"}
    if encoding:
        headers["Sec-WebSocket-Protocol"] = encoding
    return {"path": f"{path}?batch={int(batch)}{query}", "headers": headers, "count": count}
