"""`drain`: hand connections over before a stop."""

from __future__ import annotations

import argparse
import time
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from realtime import conf, control
from realtime.management.console import PortalCommand
from realtime.models import LiveConnection, ServerProcess

POLL_SECONDS = 0.2


class Command(PortalCommand):
    """Ask server processes to hand their connections over and stop."""

    help = (
        "Ask server processes to take no new connections, close theirs evenly over REALTIME_DRAIN_SECONDS with a "
        "hint when to reconnect, and stop. Clients resume elsewhere and lose nothing. With Redis the request "
        "arrives at once, without it within a heartbeat. A supervisor (systemd, `serve --processes`) starts the "
        "process again."
    )

    examples = """\
  manage.py drain --list                           the live server processes
  manage.py drain web1:4711                        one of them
  manage.py drain                                  all of them"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument(
            "process", nargs="?", help="id, pid or host:pid of one process; without: all live ones"
        )
        parser.add_argument("--list", action="store_true", help="only list the live processes")
        parser.add_argument(
            "--no-wait", action="store_true", help="return at once instead of when they have stopped"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Drain."""
        live = list(ServerProcess.objects.live())
        if options["list"]:
            for process in live:
                self.stdout.write(f"{process.pk}  {process}  {_connections(process)} connection(s)")
            return
        chosen = (
            [process for process in live if _is(process, options["process"])] if options["process"] else live
        )
        if not chosen:
            known = ", ".join(str(process) for process in live) or "none"
            raise CommandError(f"No such live server process. Live: {known}.")
        heard = control.drain(process.pk for process in chosen)
        for process in chosen:
            self.stdout.write(f"{process}: asked to hand over {_connections(process)} connection(s).")
        if not heard:
            self.stderr.write("Channel layer not reached: a process learns of it with its next heartbeat.")
        if not options["no_wait"]:
            self._wait([process.pk for process in chosen])

    def _wait(self, ids: list[UUID]) -> None:
        settings = conf.current()
        deadline = time.monotonic() + settings.drain_seconds + settings.heartbeat + settings.heartbeat_expiry
        while remaining := list(ServerProcess.objects.live().filter(pk__in=ids)):
            if time.monotonic() > deadline:
                names = ", ".join(str(process) for process in remaining)
                raise CommandError(f"Still running: {names}. Look at its log, or stop it by its pid.")
            time.sleep(POLL_SECONDS)
        self.stdout.write("Drained.")


def _is(process: ServerProcess, name: str) -> bool:
    return name in {str(process.pk), str(process.pid), str(process)}


def _connections(process: ServerProcess) -> int:
    return LiveConnection.objects.filter(process=process, closed_at=None).count()
