"""Fill the database with the demo world."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core.management.base import CommandError
from django.utils import timezone
from rich import box
from rich.table import Table

from engagement.access import CLIENT_ROLES
from engagement.demo import scenes, seeding, world
from engagement.models import MSP, User
from realtime.management.console import PortalCommand, patient_bar

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

MOST_DAYS = 365


class Command(PortalCommand):
    """See `help`."""

    help = """\
Fill the database with demo data: two MSPs with three clients each, their departments, applications, agents and
logins, and the last days of their history. The same every time. Adds only what is missing: run again, it fills the
days since, and leaves what you changed as it is. History is written without events: nobody is told of it.

The logins have a known password (the environment's DEMO_PASSWORD, else "demo-only"), so with DEBUG off this asks
for --force."""
    examples = """\
  manage.py seed_demo                     the demo, with 30 days of history
  manage.py seed_demo --days 90           with more
  manage.py seed_demo --if-empty          only into a database without MSPs and users (what `make run` does)
  DEMO_PASSWORD=… manage.py seed_demo --force     on a server with DEBUG off"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=int,
            default=30,
            help=f"days of history, today included: 1 to {MOST_DAYS} (default: 30)",
        )
        parser.add_argument(
            "--if-empty", action="store_true", help="do nothing where there is an MSP or a user"
        )
        parser.add_argument("--force", action="store_true", help="run with DEBUG off too")

    def handle(self, *args: Any, days: int, if_empty: bool, force: bool, **options: Any) -> None:
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--days is from 1 to {MOST_DAYS}, not {days}.")
        if not settings.DEBUG and not force:
            raise CommandError(
                "seed_demo makes logins with a known password, so with DEBUG off it wants --force."
            )
        password = os.environ.get("DEMO_PASSWORD") or world.DEFAULT_PASSWORD
        if if_empty and (MSP.objects.exists() or User.objects.exists()):
            found = f"{MSP.objects.count()} MSPs, {User.objects.count()} users"
            self.say(f"The database is not empty ({found}): nothing seeded.")
            self._logins(password)
            return
        self._seed(password, days)
        self._logins(password)
        if not if_empty:  # whoever starts the portal in one go says himself what comes next
            self._next_steps()

    def _seed(self, password: str, days: int) -> None:
        new = seeding.people_the_world(password)
        added = [f"{count} {what}" for what, count in new.items() if count]
        clients = scenes.demo_clients()
        now = timezone.now()
        filled = set()
        with patient_bar(self.console, "Writing history", clients.count()) as advance:
            for client in clients:
                filled |= set(seeding.fill_history(client, days, now))
                advance()
        if filled:
            added.append(f"{len(filled)} day{'' if len(filled) == 1 else 's'} of history up to {max(filled)}")
        if added:
            self.say(f"Added {', '.join(added)}.")
        else:
            self.say(
                f"Found the demo complete ({clients.count()} clients, {days} days of history): nothing added."
            )

    def _logins(self, password: str) -> None:
        usernames = [login.username for login in world.LOGINS]
        users = User.objects.filter(username__in=usernames).select_related("msp", "client")
        if not users:
            return
        by_name = {user.username: user for user in users}
        holds = {hashed: check_password(password, hashed) for hashed in {user.password for user in users}}
        # A secret of the operator's own stays out of logs.
        named = password if password == world.DEFAULT_PASSWORD else "$DEMO_PASSWORD"
        table = Table("login", "password", "sees", box=box.SIMPLE)
        for login in world.LOGINS:
            if user := by_name.get(login.username):
                shown = named if holds[user.password] else "(another, set before)"
                table.add_row(user.username, shown, _sees(user))
        self.console.print(table)

    def _next_steps(self) -> None:
        client = world.MSPS[0].clients[0].name
        self.say(
            f"""\
Next:
  manage.py serve       then open http://127.0.0.1:8000 and sign in
  manage.py simulate    for living traffic
  manage.py watch       for the stream in a terminal
  manage.py emit_event alert --client "{client}" --severity high --details "Suspicious activity" --app ChatGPT"""
        )


def _sees(user: User) -> str:
    if user.is_superuser:
        return "everything; admin site"
    if user.role in CLIENT_ROLES:
        return str(user.client)
    return f"clients of {user.msp}{'; admin site' if user.is_staff else ''}"
