"""`prune_events`: retention."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from realtime import conf, portal
from realtime.events import retention
from realtime.management.console import PortalCommand


class Command(PortalCommand):
    """Delete old events and old rows of the watch log."""

    help = (
        "Delete events older than REALTIME_RETENTION_HOURS, in batches that hold no lock for long, and closed "
        "connections and sign-ins older than REALTIME_WATCH_LOG_DAYS. Run it daily. A client that was away for longer "
        "refetches instead of resuming."
    )

    examples = """\
  manage.py prune_events                           what REALTIME_RETENTION_HOURS says
  manage.py prune_events --hours 24                keep one day"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument(
            "--hours", type=float, help="keep the events of so many hours instead of the setting's"
        )
        parser.add_argument(
            "--batch",
            type=int,
            default=retention.BATCH,
            help="events deleted at a time (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune."""
        hours = conf.current().retention_hours if options["hours"] is None else options["hours"]
        if not hours >= 0:
            raise CommandError("--hours is a number from 0 on.")
        if options["batch"] < 1:
            raise CommandError("--batch is at least 1.")
        console = Console(file=self.stderr, force_terminal=None)  # type: ignore[arg-type]
        gone = 0
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("Pruning events", total=None)
            for count in retention.prune_events(timezone.now() - timedelta(hours=hours), options["batch"]):
                gone += count
                progress.update(task, description=f"Pruning events: {gone:,} gone")
        connections = retention.prune_connections()
        retention.prune_leftovers()
        dead = retention.prune_dead_letters()
        others = portal.current().prune(timezone.now() - timedelta(days=conf.current().watch_log_days))
        self.stdout.write(
            f"{gone} event(s) older than {hours:g} h, {connections} old connection row(s) "
            f"and {others} old row(s) of the portal deleted"
            f"{f', {dead} dead letter(s) too' if dead else ''}."
        )
