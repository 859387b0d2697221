"""Living traffic: the clients' people go on working while you look."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import CommandError
from django.db import IntegrityError, InterfaceError, OperationalError, connection
from django.utils import timezone

from engagement.demo import rhythm, scenes
from engagement.demo.traffic import Traffic
from engagement.management import lookup
from realtime.management.console import INTERRUPTED, PortalCommand, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.management.base import CommandParser

    from engagement.demo.scenes import Scene

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses after failures of the database in a row; the last one holds."""

RELOAD_SECONDS = 60.0
"""How old the simulation's picture of the clients gets: new applications and departments join in."""


MISHAPS = (OperationalError, InterfaceError, IntegrityError, ObjectDoesNotExist)
"""The database is locked, restarting or away; or a client was deleted under our feet."""


@dataclass(slots=True)
class Clock:
    """Sleeps until a signal (`stopped_by`) or the end of the `duration` in seconds; None: no end."""

    duration: float | None = None
    stopped_by: int | None = None
    _wake: threading.Event = field(default_factory=threading.Event)
    _begun: float = field(default_factory=time.monotonic)

    def sleep(self, seconds: float) -> bool:
        """Sleep; return False when it is time to stop."""
        left = math.inf if self.duration is None else self._begun + self.duration - time.monotonic()
        return not self._wake.wait(max(0.0, min(seconds, left))) and seconds < left

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop it, where this thread may say so: only the main one may."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: object) -> None:
        self.stopped_by = number
        self._wake.set()


class Command(PortalCommand):
    """See `help`."""

    help = """\
Go on using AI at the demo's clients until stopped: people use applications and agents, more by day than by night;
now and then an alert is raised, acknowledged, assigned or resolved. All of it through the domain's actions, one
transaction each."""
    examples = """\
  manage.py simulate                                   every demo client, 2 events a second at the busiest hour
  manage.py simulate --rate 20 --duration 60           more, for a minute
  manage.py simulate --client "Harbor Dental" -v 2     one client, saying what happens"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rate",
            metavar="R",
            type=float,
            default=2.0,
            help="events a second at the busiest hour (default: 2)",
        )
        parser.add_argument(
            "--client",
            metavar="NAME_OR_ID",
            action="append",
            help="only this client, any one; may be repeated (default: the demo's)",
        )
        parser.add_argument(
            "--seed",
            metavar="N",
            type=int,
            help="choose the same events every time",
        )
        parser.add_argument(
            "--duration", metavar="S", type=float, help="stop after so many seconds (default: never)"
        )

    def handle(
        self, *args: Any, rate: float, duration: float | None, seed: int | None, **options: Any
    ) -> None:
        if not (rate > 0 and math.isfinite(rate)):
            raise CommandError(f"--rate is a number of events a second above 0, not {rate:g}.")
        if duration is not None and not duration > 0:
            raise CommandError(f"--duration is a number of seconds above 0, not {duration:g}.")
        names: list[str] | None = options["client"]
        clock = Clock(duration)
        traffic = Traffic(_scenes(names), Random(seed))  # noqa: S311 - no secret
        with clock.stopped_by_signals():
            clients = f"{len(traffic.scenes)} client{'s' if len(traffic.scenes) > 1 else ''}"
            self.say(f"Simulating {clients}, up to {rate:g} events a second. Ctrl-C stops.")
            self._run(traffic, clock, rate, names, loud=options["verbosity"] > 1)
            self.say(f"Stopped. Simulated {_summary(traffic)}.")
        if clock.stopped_by == signal.SIGINT:
            sys.exit(INTERRUPTED)

    def _run(
        self, traffic: Traffic, clock: Clock, rate: float, names: list[str] | None, *, loud: bool
    ) -> None:
        failures, loaded = 0, time.monotonic()
        while clock.sleep(_backoff(failures) if failures else _pause(traffic.rng, rate)):
            try:
                if failures or time.monotonic() - loaded > RELOAD_SECONDS:
                    traffic.scenes, loaded = _scenes(names), time.monotonic()
                said = traffic.step()
            except MISHAPS as error:
                failures += 1
                self._warn(error, failures)
                connection.close_if_unusable_or_obsolete()
                continue
            if failures:
                self.say("The database answers again.")
            failures = 0
            if loud:
                self.say(said)

    def _warn(self, error: Exception, failures: int) -> None:
        wait = _backoff(failures)
        self.stderr.write(f"The database refused ({first_line(error)}): trying again in {wait:g} s.")


def _scenes(names: list[str] | None) -> list[Scene]:
    """Return what to simulate: the clients named, else those of the demo."""
    clients = list(scenes.demo_clients())
    if names:
        clients = list({client.pk: client for client in map(lookup.client, names)}.values())
    if not clients:
        raise CommandError(
            "There are no demo clients: run manage.py seed_demo first, or name clients with --client."
        )
    loaded = [scenes.load(client) for client in clients]
    usable = [scene for scene in loaded if scene.subjects]
    if not usable:
        idle = ", ".join(scene.client.name for scene in loaded)
        raise CommandError(f"Neither applications nor agents to use: {idle}. Add some in the admin site.")
    return usable


def _pause(rng: Random, rate: float) -> float:
    """Return the seconds to the next event: random, as people are, around the rate of this hour."""
    return rng.expovariate(rate * rhythm.pace(timezone.localtime()))


def _backoff(failures: int) -> float:
    return BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]


def _summary(traffic: Traffic) -> str:
    counted = [f"{count} {deed}{'' if count == 1 else 's'}" for deed, count in traffic.done.most_common()]
    return ", ".join(counted) or "nothing"
