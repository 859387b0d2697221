"""`reset_epoch`: after a restore, tell every client that its positions mean nothing any more."""

from __future__ import annotations

import argparse
import uuid
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from realtime.management.console import PortalCommand
from realtime.models import Log, ServerProcess


class Command(PortalCommand):
    """Change the epoch of the event log."""

    help = (
        "Change the epoch of the event log. Run it once after the database was restored from a backup: positions that "
        "clients and bookmarks hold are those of another history, and may be given out again to other events. Every "
        "client is told to refetch; none loses anything that the database holds. Running servers notice within a sweep."
    )

    examples = """\
  manage.py reset_epoch                            asks first
  manage.py reset_epoch --yes                      for scripts"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        """Change it."""
        live = ServerProcess.objects.live().count()
        if not options["yes"] and not self._confirmed(live):
            raise CommandError("Nothing was changed: answer `yes`, or give --yes.")
        with transaction.atomic():
            log = Log.current(lock=True)
            before, log.epoch = log.epoch, uuid.uuid4()
            log.save(update_fields=["epoch"])
        self.say(
            f"The epoch was {before} and is {log.epoch}. Clients refetch when they resume; {live} live process(es)."
        )

    def _confirmed(self, live: int) -> bool:
        self.say(f"Every connected client of {live} live server process(es) will refetch its dashboards.")
        try:
            return input("Change the epoch? [yes/no] ").strip().lower() == "yes"
        except EOFError:
            return False
