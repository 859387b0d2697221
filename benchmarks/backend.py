"""A database and a channel layer for a measurement of its own, and Django set up on them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from tests.servers import PostgresServer, RedisServer
from tests.servers.portal import ROOT

Name = Literal["postgres", "sqlite"]
NAMES = ("postgres", "sqlite")


class Backend(NamedTuple):
    """Where it is: a server's settings. Without Redis, `redis_url` is empty."""

    database_url: str
    redis_url: str


@contextmanager
def running(name: Name) -> Iterator[Backend]:
    """Run PostgreSQL and Redis, or make an SQLite file, with the tables of the portal."""
    with ExitStack() as stack:
        if name == "sqlite":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-")))
            backend = Backend(f"sqlite:///{folder / 'portal.sqlite3'}", "")
        else:
            postgres, redis = stack.enter_context(PostgresServer()), stack.enter_context(RedisServer())
            backend = Backend(postgres.url, redis.url)
        os.environ |= {
            "DEBUG": "true",
            "DATABASE_URL": backend.database_url,
            "REDIS_URL": backend.redis_url,
            "LOG_LEVEL": "ERROR",
            "ACCESS_TOKEN_SECONDS": "3600",
            "DJANGO_SETTINGS_MODULE": "compliance_portal.settings",
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
        import django

        django.setup()
        yield backend
