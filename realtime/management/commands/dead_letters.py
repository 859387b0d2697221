"""`dead_letters`: changes that could not be published."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet

from realtime.events import dead_letters, publisher
from realtime.management.console import PortalCommand
from realtime.models import DeadLetter

LISTED = 50


class Command(PortalCommand):
    """List, retry or discard dead letters."""

    help = (
        "Changes that could not be published, and why. All other events went out; these wait for a decision: retry "
        "them once the cause is gone, or discard them. They are deleted after 30 days."
    )

    examples = """\
  manage.py dead_letters                           list the newest
  manage.py dead_letters retry --all
  manage.py dead_letters discard 17 18"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("action", nargs="?", choices=("list", "retry", "discard"), default="list")
        parser.add_argument(
            "ids", nargs="*", type=int, help="dead letters, by the number that the list shows"
        )
        parser.add_argument("--all", action="store_true", help="all of them")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what is asked."""
        if options["action"] == "list":
            self._list()
            return
        chosen = self._chosen(options["ids"], every=options["all"])
        if options["action"] == "discard":
            self.say(f"{dead_letters.discard(chosen)} change(s) discarded.")
            return
        count = dead_letters.retry(chosen)
        publisher.flush()
        self.say(f"{count} change(s) retried; {DeadLetter.objects.count()} dead letter(s) now.")

    def _chosen(self, ids: list[int], *, every: bool) -> QuerySet[DeadLetter]:
        if every == bool(ids):
            raise CommandError("Name dead letters by their numbers, or give --all.")
        if every:
            return DeadLetter.objects.all()
        found = DeadLetter.objects.filter(pk__in=[key for key in ids if 0 < key < 2**63])
        missing = sorted(set(ids) - set(found.values_list("pk", flat=True)))
        if missing:
            raise CommandError(
                f"There is no dead letter {', '.join(map(str, missing))}: see manage.py dead_letters."
            )
        return found

    def _list(self) -> None:
        count = DeadLetter.objects.count()
        for letter in DeadLetter.objects.order_by("-pk")[:LISTED]:
            error = (letter.error.splitlines() or [""])[0][:100]
            self.say(
                f"{letter.pk:>8}  {letter.failed_at:%Y-%m-%d %H:%M:%S}  {letter.kind:<12} {letter.error_class}: {error}"
            )
        self.say(
            f"{count} dead letter(s)." if count <= LISTED else f"The newest {LISTED} of {count} dead letters."
        )
