"""A stream in the terminal."""

from __future__ import annotations

import getpass
import json
import os
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.management.base import CommandError

from realtime import portal
from realtime.management.console import PortalCommand, suggestion
from realtime.printing import printable
from realtime.protocol.inbound import SEVERITIES, TOPICS
from realtime.watching import lines
from realtime.watching.errors import WatchError
from realtime.watching.portal import Portal
from realtime.watching.watcher import Timing, Wanted, Watcher

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(PortalCommand):
    """See `help`."""

    help = """\
Follow a portal's events over its WebSocket, as a browser would: sign in, connect, print each event on a line of its own
as it comes. Reconnects by itself and shows what was missed. Needs only the address: the database is not touched.

Events go to standard output, how the connection is doing to standard error."""
    examples = """\
  manage.py watch                                              as msp_admin of the demo: every client
  manage.py watch --client "Harbor Dental" --topics alert --min-severity high
  manage.py watch --url https://portal.example --username ana  asks for the password
  manage.py watch --json --count 10 | jq .data                 ten events as JSON, one a line, then the end
  manage.py watch --from-last                                  first what came since this user last looked"""
    requires_system_checks = []

    timing = Timing()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url", default="http://127.0.0.1:8000", help="the portal (default: http://127.0.0.1:8000)"
        )
        parser.add_argument("--username", default="msp_admin", help="who signs in (default: msp_admin)")
        parser.add_argument(
            "--password",
            help="better left out, as others on this machine can read it: then DEMO_PASSWORD of the environment, "
            "else the demo's password for a demo login, else you are asked",
        )
        parser.add_argument(
            "--client", metavar="NAME_OR_ID", help="only this client (default: all you may see)"
        )
        parser.add_argument(
            "--topics",
            nargs="+",
            metavar="TOPIC",
            help=f"only these: {', '.join(TOPICS)} (default: all but presence)",
        )
        parser.add_argument(
            "--min-severity", metavar="SEVERITY", help=f"alerts from here up: {', '.join(SEVERITIES)}"
        )
        parser.add_argument("--json", action="store_true", help="print events as JSON, one a line")
        parser.add_argument("--count", metavar="N", type=int, help="stop after N events (default: never)")
        parser.add_argument(
            "--from-last", action="store_true", help="begin with what came since this user last looked"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        topics = _topics(options["topics"])
        min_severity = _min_severity(options["min_severity"])
        if options["count"] is not None and options["count"] < 1:
            raise CommandError(f"--count is 1 or more, not {options['count']}.")
        username: str = options["username"]
        try:
            site = Portal(options["url"], username, options["password"] or _password(username))
            tokens = site.sign_in()
            names = site.clients(tokens)
            wanted = Wanted(
                client_id=_client_id(options["client"], names),
                topics=topics,
                min_severity=min_severity,
                count=options["count"],
                from_last=options["from_last"],
            )
            Watcher(site, tokens, wanted, _Terminal(self, names, as_json=options["json"]), self.timing).run()
        except WatchError as error:
            raise CommandError(str(error)) from error


class _Terminal:
    """Events on standard output, the connection's state on standard error."""

    def __init__(self, command: Command, names: dict[str, str], *, as_json: bool) -> None:
        self._command = command
        self._names = names
        self._as_json = as_json

    def event(self, event: dict[str, Any]) -> None:
        """Print an event, at once: somebody may be reading through a pipe."""
        if self._as_json:
            self._command.stdout.write(printable(json.dumps(event, ensure_ascii=False)))
        else:
            self._command.console.print(lines.of(event, self._names), soft_wrap=True, highlight=False)
        self._command.stdout.flush()

    def status(self, text: str) -> None:
        """Say how the connection is."""
        self._command.stderr.write(lines.printable(text), self._command.style.NOTICE)
        self._command.stderr.flush()


def _topics(given: list[str] | None) -> list[str]:
    topics = [topic for words in given or [] for topic in words.split(",") if topic]
    for topic in topics:
        if topic not in TOPICS:
            raise CommandError(f"There is no topic {topic!r}: say {', '.join(TOPICS)}.")
    return list(dict.fromkeys(topics))


def _min_severity(given: str | None) -> str | None:
    if given is not None and given not in SEVERITIES:
        raise CommandError(f"There is no severity {given!r}: say {', '.join(SEVERITIES)}.")
    return given


def _client_id(name_or_id: str | None, names: dict[str, str]) -> str | None:
    """Return the id of a client by name or id, among those the user sees."""
    if name_or_id is None:
        return None
    wanted = name_or_id.casefold()
    found = [key for key, name in names.items() if wanted in {name.casefold(), key}]
    if len(found) > 1:
        raise CommandError(
            f"{len(found)} clients are called {name_or_id!r}: give the id of one: {', '.join(found)}."
        )
    if found:
        return found[0]
    try:
        return str(UUID(name_or_id))  # not listed: the server says whether this user may see it
    except ValueError:
        hint = suggestion(name_or_id, names.values()) if names else "You see no clients at all."
        raise CommandError(f"There is no client {name_or_id!r} among those you see. {hint}") from None


def _password(username: str) -> str:
    from_environment = os.environ.get("DEMO_PASSWORD")
    if from_environment:
        return from_environment
    known = portal.current().default_password(username)
    if known is not None:
        return known
    if not sys.stdin.isatty():
        raise CommandError(
            f"No password for {username!r}: set DEMO_PASSWORD, or run this in a terminal to be asked."
        )
    return getpass.getpass(f"Password of {username}: ")
