"""A process that writes as backends do: single saves, rollbacks, bulk writes, transactions over two clients,
broadcasts, deletes. What it marked and what became of it stands in its journal, a line each.

Started by `run`: `python -m benchmarks.chaos.writer --seed 1 --rate 10 --journal FILE --seconds 60`. SIGTERM ends it
in order.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import django

django.setup()

from django.db import DEFAULT_DB_ALIAS, Error, connection, transaction  # noqa: E402 - models need Django set up

from benchmarks.chaos import poison  # noqa: E402
from engagement import actions  # noqa: E402
from engagement.models import Agent, Alert, Application, Client, Interaction  # noqa: E402
from realtime import broadcast, metrics  # noqa: E402
from realtime.events import recording  # noqa: E402
from realtime.models import Outbox  # noqa: E402

SEVERITIES = ("low", "medium", "high", "critical")


class Abandoned(Exception):
    """Rolls a transaction back."""


class Writer:
    """Does one deed after the other."""

    def __init__(self, seed: str, journal: TextIO, poison: int = 0) -> None:
        self.chance = random.Random(seed)
        self.poison_chance = random.Random(f"poison {seed}")
        """Of its own: with poison and without, the rest is the same."""
        self.poison = poison
        self.seed = seed
        self.journal = journal
        self.written = 0
        self.clients = list(Client.objects.select_related("msp").order_by("name"))
        self.applications = {
            client.pk: list(Application.objects.filter(client=client).order_by("name"))
            for client in self.clients
        }
        self.agents = {client.pk: Agent.objects.get(client=client) for client in self.clients}
        self.deeds: list[tuple[Callable[[], None], int]] = [
            (self.alert, 24),
            (self.interaction, 12),
            (self.use, 12),
            (self.changed_alert, 12),
            (self.rolled_back, 8),
            (self.half_rolled_back, 6),
            (self.of_two_clients, 8),
            (self.bulk_interactions, 5),
            (self.bulk_alerts, 3),
            (self.bulk_update, 2),
            (self.told_by_broadcast, 10),
            (self.deleted_alert, 4),
            (self.bulk_delete, 1),
        ]

    def deed(self) -> None:
        """Do one, chosen by the seed."""
        deeds, weights = zip(*self.deeds, strict=True)
        before = _recorded()
        self.chance.choices(deeds, weights)[0]()
        for _ in range(_recorded() - before if self.poison else 0):
            if self.poison_chance.random() < 1 / self.poison:
                self.poisoned()

    # Deeds

    def alert(self) -> None:
        """Save one alert, in autocommit."""
        with self.telling() as (kept, _):
            self._raise(self._client(), self._mark(kept))

    def interaction(self) -> None:
        """Save one interaction."""
        with self.telling():
            client = self._client()
            Interaction.objects.create(client=client, application=self._application(client), count=1)

    def use(self) -> None:
        """Record uses by the domain's action: interactions and roll-ups."""
        client = self._client()
        uses = [
            actions.Use(
                application=self._application(client), count=self.chance.randint(1, 5), user_ref="ana"
            ),
            actions.Use(agent=self.agents[client.pk], flagged=self.chance.random() < 0.2),
        ]
        with self.telling():
            actions.record_interactions(client, uses)

    def changed_alert(self) -> None:
        """Change an alert."""
        with self.telling():
            alert = self._some_alert()
            if alert is not None:
                alert.status = self.chance.choice(Alert.Status.values)
                alert.save()

    def rolled_back(self) -> None:
        """Save, and roll back."""
        with self.telling() as (_, gone), transaction.atomic():
            self._raise(self._client(), self._mark(gone))
            self._raise(self._client(), self._mark(gone))
            raise Abandoned

    def half_rolled_back(self) -> None:
        """Save, and roll back a savepoint in the middle."""
        with self.telling() as (kept, gone), transaction.atomic():
            self._raise(self._client(), self._mark(kept))
            try:
                with transaction.atomic():
                    self._raise(self._client(), self._mark(gone))
                    raise Abandoned
            except Abandoned:
                pass
            self._raise(self._client(), self._mark(kept))

    def of_two_clients(self) -> None:
        """Save for two clients in one transaction, in either order."""
        with self.telling() as (kept, _), transaction.atomic():
            for client in self.chance.sample(self.clients, 2):
                self._raise(client, self._mark(kept))

    def bulk_interactions(self) -> None:
        """Create many interactions at once: one event for each application."""
        client = self._client()
        with self.telling():
            Interaction.objects.bulk_create(
                Interaction(client=client, application=self._application(client), count=2) for _ in range(40)
            )

    def bulk_alerts(self) -> None:
        """Create several alerts at once: an event each."""
        client = self._client()
        with self.telling() as (kept, _):
            Alert.objects.bulk_create(self._new(client, self._mark(kept)) for _ in range(10))

    def bulk_update(self) -> None:
        """Change several alerts by `QuerySet.update`."""
        with self.telling():
            some = Alert.objects.filter(client=self._client()).order_by("-created_at").values("pk")[:5]
            Alert.objects.filter(pk__in=list(some.values_list("pk", flat=True))).update(status="Pending")

    def told_by_broadcast(self) -> None:
        """Broadcast, with no model behind it."""
        client = self._client()
        ids = (client.pk, client.msp_id)
        which = self.chance.randrange(3)
        with self.telling() as (kept, _):
            if which == 0:
                broadcast.broadcast_alert(
                    *ids, {"severity": "high", "details": f"broadcast {len(kept)}", "app": "-"}
                )
            elif which == 1:
                broadcast.broadcast_interaction_update(*ids, {"app_id": "-", "interaction_count": 5})
            else:
                broadcast.broadcast_engagement_update(*ids, {"departments": []})

    def deleted_alert(self) -> None:
        """Delete an alert."""
        with self.telling():
            alert = self._some_alert()
            if alert is not None:
                alert.delete()

    def bulk_delete(self) -> None:
        """Delete some interactions by `QuerySet.delete`."""
        with self.telling():
            some = list(Interaction.objects.filter(client=self._client()).values_list("pk", flat=True)[:20])
            Interaction.objects.filter(pk__in=some).delete()

    def poisoned(self) -> None:
        """Write what cannot be published, alone or between two alerts that can."""
        client, row = (
            self.poison_chance.choice(self.clients),
            self.poison_chance.choice(list(poison.KINDS.values())),
        )
        beside = self.poison_chance.random() < 0.5
        with self.telling() as (kept, _), transaction.atomic():
            for is_poison in (False, True, False) if beside else (True,):
                if is_poison:
                    fields = row(self._mark(kept, "poison"))
                    tx = recording._transaction_id(DEFAULT_DB_ALIAS)  # which wakes the publisher, too
                    Outbox.objects.create(tx=tx, client_id=client.pk, msp_id=client.msp_id, **fields)
                else:
                    Alert.objects.create(client=client, severity="low", details=self._mark(kept))

    def killed_after_commit(self) -> None:
        """Commit, and be gone before an event of it is placed: the first on-commit hook kills this process."""
        marks: list[str] = []
        chosen = self.chance.sample(self.clients, 2)
        for _ in chosen:
            self._note(self._mark(marks), "unknown")
        with transaction.atomic():
            transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
            for client, mark in zip(chosen, marks, strict=True):
                self._raise(client, mark)

    # Around them

    @contextmanager
    def telling(self) -> Iterator[tuple[list[str], list[str]]]:
        """Give lists for the marks of what is kept and of what is rolled back; write down what became of them."""
        kept: list[str] = []
        gone: list[str] = []
        try:
            yield kept, gone
        except Abandoned:
            outcomes = dict.fromkeys([*kept, *gone], "rolled_back")
        except Error:
            # The database went away: before the commit or after it, nobody here can know.
            outcomes = dict.fromkeys([*kept, *gone], "unknown")
            connection.close()
            time.sleep(0.2)
        else:
            outcomes = dict.fromkeys(kept, "committed") | dict.fromkeys(gone, "rolled_back")
        for mark, outcome in outcomes.items():
            self._note(mark, outcome)

    def _note(self, mark: str, outcome: str) -> None:
        self.journal.write(f"{mark} {outcome}\n")
        self.journal.flush()

    def _mark(self, where: list[str], word: str = "mark") -> str:
        self.written += 1
        where.append(f"{word} {self.seed} {self.written}")
        return where[-1]

    def _new(self, client: Client, mark: str) -> Alert:
        application = self._application(client)
        return Alert(
            client=client, application=application, severity=self.chance.choice(SEVERITIES), details=mark
        )

    def _raise(self, client: Client, mark: str) -> None:
        self._new(client, mark).save()

    def _some_alert(self) -> Alert | None:
        return Alert.objects.filter(client=self._client()).order_by("?").first()

    def _client(self) -> Client:
        return self.chance.choice(self.clients)

    def _application(self, client: Client) -> Application:
        return self.chance.choice(self.applications[client.pk])


def _recorded() -> int:
    """Return how many changes this process has recorded."""
    samples = (sample for metric in metrics.recorded.collect() for sample in metric.samples)
    return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))


def main() -> None:
    """Write until told to stop, or until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", required=True, help="what the writes follow from; also in their marks")
    parser.add_argument("--journal", type=Path, required=True, help="where to write down what became of them")
    parser.add_argument("--rate", type=float, default=10.0, help="deeds a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long at most")
    parser.add_argument("--poison", type=int, default=0, help="one in so many changes cannot be published")
    parser.add_argument(
        "--killed-after-commit", action="store_true", help="commit once, and die before placing"
    )
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    with options.journal.open("a") as journal:
        writer = Writer(options.seed, journal, options.poison)
        if options.killed_after_commit:
            writer.killed_after_commit()
            return
        due, end = time.monotonic(), time.monotonic() + options.seconds
        while not stopping and time.monotonic() < end:
            writer.deed()
            due = max(due, time.monotonic() - 1) + 1 / options.rate
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
