"""`serve`: the portal, for production and for trying it out."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

import structlog
from daphne.management.commands.runserver import get_default_application
from django.conf import settings
from django.core.management.base import CommandError

from realtime import metrics_endpoint
from realtime.management.console import PortalCommand
from realtime.server.daphne import Server

log = structlog.get_logger(__name__)

BACKLOG = 4096
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
RESTART_PAUSE_SECONDS = 1.0


class Command(PortalCommand):
    """Serve pages, API and sockets with our Daphne.

    Back-pressure, honest close codes, and a drain on SIGTERM.
    """

    help = (
        "Serve pages, API and sockets. SIGTERM hands live connections over before the process stops "
        "(REALTIME_DRAIN_SECONDS); Ctrl-C stops at once."
    )

    examples = """\
  manage.py serve                                  one process on http://127.0.0.1:8000
  manage.py serve --host 0.0.0.0 --port 80         on every address
  manage.py serve --processes 4                    four processes sharing one port (REDIS_URL, PostgreSQL)"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
        parser.add_argument(
            "--processes",
            type=int,
            default=1,
            help=(
                "server processes that share the port (default: %(default)s); "
                "more than one wants REDIS_URL and PostgreSQL"
            ),
        )
        parser.add_argument(
            "--behind-proxy",
            action="store_true",
            help="believe X-Forwarded-For: only where a proxy overwrites it, as deploy/nginx does",
        )
        parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until stopped."""
        if options["processes"] < 1:
            raise CommandError("--processes is at least 1.")
        self._behind_proxy = options["behind_proxy"]
        if options["fd"] is not None:
            self._serve([f"fd:fileno={options['fd']}"])
            return
        self._warn_of_debug(options["host"])
        listening = self._listen(options["host"], options["port"])
        address = f"http://{options['host']}:{listening.getsockname()[1]}"
        self.stderr.write(f"Serving {address}/ with {options['processes']} process(es). Ctrl-C stops.")
        if options["processes"] == 1:
            self._serve([_endpoint(listening)])
        else:
            self._supervise(listening, options["processes"])

    def _warn_of_debug(self, host: str) -> None:
        """With DEBUG, errors show settings and source, and the secret key is a public one: for this machine only."""
        if settings.DEBUG and host not in LOOPBACK:
            self.stderr.write(
                self.style.ERROR(
                    f"WARNING: DEBUG is on and {host} can be reached from other machines. Everybody there can forge "
                    "sessions and tokens (the secret key is the public one of development) and read the source in "
                    "error pages. Set DEBUG=false, or serve on 127.0.0.1."
                )
            )

    def _listen(self, host: str, port: int) -> socket.socket:
        if not 0 <= port <= 65535:
            raise CommandError(f"--port {port}: a port is between 0 and 65535.")
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, kind, protocol)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(
                    f"Port {port} is taken: stop what listens there, or choose another --port."
                ) from None
            raise CommandError(f"Cannot listen on {host}:{port}: {error}") from None
        return listening

    def _serve(self, endpoints: list[str]) -> None:
        Server(
            application=get_default_application(),
            endpoints=endpoints,
            verbosity=1,
            proxy_forwarded_address_header="X-Forwarded-For" if self._behind_proxy else None,
        ).run()

    def _supervise(self, listening: socket.socket, count: int) -> None:
        """Keep `count` children serving the one listening socket.

        Pass SIGTERM and SIGINT on and wait for them.
        """
        os.set_inheritable(listening.fileno(), True)
        with tempfile.TemporaryDirectory(prefix="portal-metrics-") as folder:
            os.environ.setdefault(metrics_endpoint.FILES, folder)  # the processes' metrics add up there
            self._keep_serving(listening, count)

    def _keep_serving(self, listening: socket.socket, count: int) -> None:
        command = [sys.executable, sys.argv[0], "serve", "--fd", str(listening.fileno())]
        command += ["--behind-proxy"] if self._behind_proxy else []
        stopping: list[int] = []
        children: list[subprocess.Popen[bytes]] = []

        def stop(number: int, _frame: object) -> None:
            stopping.append(number)
            for child in children:
                if child.poll() is None:
                    child.send_signal(number)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        while not stopping:
            children[:] = [child for child in children if child.poll() is None]
            while len(children) < count and not stopping:
                children.append(
                    subprocess.Popen(command, pass_fds=[listening.fileno()], start_new_session=True)  # noqa: S603
                )
            time.sleep(RESTART_PAUSE_SECONDS)
        for child in children:
            child.wait()


def _endpoint(listening: socket.socket) -> str:
    """Return Twisted's description of a socket that listens already. Twisted duplicates the descriptor."""
    return f"fd:fileno={listening.fileno()}"
