"""The real servers that tests, benchmarks and fault runs stand on."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from tests.servers import PostgresServer, RedisServer, ServerError, ServerProcess, warm
from tests.servers import postgres as postgres_module
from tests.servers import redis as redis_module
from tests.servers.process import LOOPBACK, process_tree

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("installation", postgres_module.installations(), ids=str)
def test_every_postgres_found_survives_kill_and_restart(installation: Path) -> None:
    with PostgresServer(durable=False, installation=installation) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept (word text)")
            connection.execute("INSERT INTO kept VALUES ('still here')")
        server.kill()
        assert not server.is_running()
        server.start()
        server.restart()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT word FROM kept").fetchone() == ("still here",)


def test_durable_is_the_default() -> None:
    with PostgresServer() as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


@pytest.mark.parametrize("program", redis_module.installations(), ids=str)
def test_every_redis_found_restarts_on_its_port(program: Path) -> None:
    with RedisServer(program=program) as server:
        url = server.url
        server.kill()
        server.restart()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_a_paused_server_is_silent_until_resumed() -> None:
    with RedisServer() as server, redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


@pytest.mark.parametrize("server_class", [PostgresServer, RedisServer])
def test_close_leaves_nothing_behind(server_class: Callable[[], ServerProcess]) -> None:
    with server_class() as server:
        tree = process_tree(server.pid)
        server.pause()
    assert not server.folder.exists()
    assert not [pid for pid in tree if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("server_class", [PostgresServer, RedisServer])
def test_a_taken_port_is_named_with_the_end_of_the_log(server_class: Callable[[], ServerProcess]) -> None:
    server = server_class()
    with socket.socket() as squatter:
        squatter.bind((LOOPBACK, server.port))
        squatter.listen()
        with pytest.raises(ServerError, match=rf"(?s){server.name} cannot start: it ended .*in use"):
            server.start()
    server.close()


def test_a_machine_without_a_server_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "installations", list)
    monkeypatch.setattr(postgres_module, "installations", list)
    with pytest.raises(ServerError, match="make install-dev"), RedisServer():
        pass
    with pytest.raises(ServerError, match="make install-dev"), PostgresServer():
        pass


def test_a_program_that_cannot_run_is_a_clear_error() -> None:
    with pytest.raises(ServerError, match="Redis cannot start"), RedisServer(program=Path(os.devnull)):
        pass


STORY = """
import atexit, os, sys, threading, time
atexit.register(print, "the end")
threading.Thread(target=lambda: (time.sleep(0.2), print(os.environ["TOLD"]))).start()
print(sys.argv[1:], __name__, os.environ.get("DATABASE_URL"))
sys.exit(7)
"""


@pytest.mark.skipif(not warm.is_possible(), reason="needs Linux")
def test_a_warm_program_is_a_process_like_one_that_was_typed(tmp_path: Path) -> None:
    (tmp_path / "story.py").write_text(STORY)
    command, environment = [sys.executable, "story.py", "now"], {"TOLD": "hello"}
    program = warm.WarmProcess(command, environment=environment, folder=tmp_path, output=tmp_path / "log")
    typed = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert program.wait(30) == program.poll() == typed.returncode == 7
    told = sorted((tmp_path / "log").read_bytes().splitlines())
    assert told == sorted(typed.stdout.splitlines())
    assert len(told) == 3


@pytest.mark.skipif(not warm.is_possible(), reason="needs Linux")
def test_a_warm_program_that_is_killed_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "http.server", "0"]
    program = warm.WarmProcess(command, environment={}, folder=tmp_path, output=tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.1)
    program.send_signal(signal.SIGKILL)
    assert program.wait(30) == -signal.SIGKILL
    program.send_signal(signal.SIGKILL)
