"""Make events happen, to see them arrive: save alerts, interactions or roll-ups."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.utils import timezone

from engagement import actions
from engagement.errors import EngagementError
from engagement.management import lookup
from engagement.models import Agent, Alert, Application, Client, Engagement
from realtime.management.console import PortalCommand, patient_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import CommandParser

KINDS = ("alert", "interaction", "engagement")
DEFAULT_DETAILS = "Test alert from manage.py emit_event"


class Command(PortalCommand):
    """See `help`."""

    help = """\
Save alerts, interactions or roll-ups of a client, each in a transaction of its own, from any process: a server on
the same database delivers them to whoever may see that client.

  alert         raises an alert
  interaction   records one use of an application or agent, and counts it into today's roll-up
  engagement    saves today's roll-up of an application or agent again; its figures stay"""
    examples = """\
  manage.py emit_event alert --client "Harbor Dental" --severity high --details "Suspicious activity" --app ChatGPT
  manage.py emit_event interaction --client "Harbor Dental" --agent "Claims Coder" --count 100 --rate 10
  manage.py emit_event engagement --client 5f0c8d8e-4f0e-4b7e-9a36-0c1f2f0d7a11"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", metavar="alert|interaction|engagement", help="what to save")
        parser.add_argument("--client", metavar="NAME_OR_ID", help="whose (needed)")
        parser.add_argument(
            "--msp", metavar="NAME", help="the client's MSP, where two have a client of that name"
        )
        parser.add_argument("--app", metavar="NAME", help="the application (default: the client's first)")
        parser.add_argument("--agent", metavar="NAME", help="the agent, instead of an application")
        parser.add_argument(
            "--severity", help=f"of alerts: {', '.join(Alert.Severity.values)} (default: medium)"
        )
        parser.add_argument("--details", metavar="TEXT", help="of alerts: what happened")
        parser.add_argument("--count", metavar="N", type=int, default=1, help="how many (default: 1)")
        parser.add_argument(
            "--rate", metavar="R", type=float, help="so many a second (default: as fast as it goes)"
        )

    def handle(self, *args: Any, kind: str, count: int, rate: float | None, **options: Any) -> None:
        _check(kind, count, rate, options)
        client = _client(options["client"], options["msp"])
        application, agent = _subject(kind, client, options["app"], options["agent"])
        if kind == "alert":
            severity = options["severity"] or Alert.Severity.MEDIUM
            details = options["details"] or DEFAULT_DETAILS

            def emit() -> None:
                try:
                    actions.raise_alert(
                        client, severity=severity, details=details, application=application, agent=agent
                    )
                except EngagementError as error:
                    raise CommandError(str(error)) from error

            what = f"{severity} alert{'' if count == 1 else 's'}"
        elif kind == "interaction":

            def emit() -> None:
                actions.record_interactions(client, [actions.Use(application=application, agent=agent)])

            what = f"interaction{'' if count == 1 else 's'}"
        else:

            def emit() -> None:
                _save_roll_up(client, application, agent)

            what = f"engagement update{'' if count == 1 else 's'}"
        seconds = self._repeat(emit, count, rate)
        about = f" about {application or agent}" if application or agent else ""
        pace = f" in {seconds:.1f} s ({count / seconds:.0f} a second)" if count > 1 else ""
        self.say(f"Emitted {count} {what}{about} for {client.name} ({client.msp.name}){pace}.")

    def _repeat(self, emit: Callable[[], None], count: int, rate: float | None) -> float:
        """Call `emit` `count` times, at `rate` a second where given; return the seconds it took."""
        begun = time.monotonic()
        with patient_bar(self.console, "Emitting", count) as advance:
            for index in range(count):
                if rate:
                    time.sleep(max(0.0, begun + index / rate - time.monotonic()))
                emit()
                advance()
        return time.monotonic() - begun


def _check(kind: str, count: int, rate: float | None, options: dict[str, Any]) -> None:
    if kind not in KINDS:
        raise CommandError(f"There is no event {kind!r}: say alert, interaction or engagement.")
    if count < 1:
        raise CommandError(f"--count is 1 or more, not {count}.")
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise CommandError(f"--rate is a number of events a second above 0, not {rate:g}.")
    if options["app"] and options["agent"]:
        raise CommandError("--app and --agent exclude each other: an event is about one of them.")
    severity = options["severity"]
    if severity and severity not in Alert.Severity.values:
        raise CommandError(f"There is no severity {severity!r}: say {', '.join(Alert.Severity.values)}.")
    unused = [
        f"--{name}" for name in ("severity", "details") if options[name] is not None and kind != "alert"
    ]
    if unused:
        raise CommandError(f"Only alerts have {' and '.join(unused)}: leave that out, or emit an alert.")


def _client(name_or_id: str | None, msp: str | None) -> Client:
    if not name_or_id:
        names = lookup.known_clients()
        raise CommandError(f"Say whose event it is: --client NAME_OR_ID. {names}")
    return lookup.client(name_or_id, msp)


def _subject(
    kind: str, client: Client, app: str | None, agent: str | None
) -> tuple[Application | None, Agent | None]:
    """Return the application or agent that the event is about; an alert of a client that has none is about neither."""
    if agent:
        return None, lookup.agent(client, agent)
    if app:
        return lookup.application(client, app), None
    application = Application.objects.filter(client=client).first()
    first_agent = None if application else Agent.objects.filter(client=client).first()
    if kind != "alert" and application is None and first_agent is None:
        raise CommandError(f"{client.name} has neither applications nor agents, so nobody can have used one.")
    return application, first_agent


def _save_roll_up(client: Client, application: Application | None, agent: Agent | None) -> None:
    now = timezone.now()
    Engagement.objects.update_or_create(
        application=application,
        agent=agent,
        department=None,
        day=now.date(),
        defaults={"last_activity": now},
        create_defaults={"client": client, "last_activity": now},
    )
