"""Record uses of AI services, and count them into the day's roll-ups at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from django.db import transaction
from django.utils import timezone

from engagement.actions import rollups
from engagement.errors import InvalidValue, WrongTenant
from engagement.models import Agent, Application, Client, Department, Interaction

BATCH = 2000
"""Interactions per INSERT."""

MAX_COUNT = 1_000_000
"""The most uses one interaction may stand for. A day's roll-up sums any number of them."""


MAX_USER_REF = 200
"""Characters of the name of a client's employee: what the column holds."""


class Use(msgspec.Struct, frozen=True, gc=False):
    """`count` uses of one application or one agent. `occurred_at` is now where not given, and has a time zone."""

    application: Application | None = None
    agent: Agent | None = None
    count: int = 1
    department: Department | None = None
    user_ref: str = ""
    flagged: bool = False
    occurred_at: datetime | None = None


def record_interactions(client: Client, uses: Sequence[Use]) -> list[Interaction]:
    """Record `uses` for `client`, and add them to the roll-ups of their days; all of it or nothing.

    A roll-up counts a `user_ref` once per subject and day; uses without one are of nobody in particular. The
    number of queries does not depend on the number of uses (but for batches of `BATCH`). Safe beside any
    number of concurrent callers: the touched roll-ups are locked in one order. Two calls in one outer
    transaction lock twice, so there a deadlock is possible: put the uses into one call.

    Raises InvalidValue where a use names no subject or two, a count outside 1 to `MAX_COUNT`, a naive time, or a
    `user_ref` beyond `MAX_USER_REF`; WrongTenant where a subject or a department is of another client.
    """
    check(client, uses)
    now = timezone.now()
    interactions = [_interaction(client, use, now) for use in uses]
    with transaction.atomic():
        rollups.add(client, interactions)
        return Interaction.objects.bulk_create(interactions, batch_size=BATCH)


def check(client: Client, uses: Iterable[Use]) -> None:
    """Raise InvalidValue or WrongTenant where one of `uses` cannot be recorded for `client`."""
    named: dict[int, Application | Agent | Department] = {}
    for use in uses:
        if (use.application is None) == (use.agent is None):
            raise InvalidValue("An interaction is with an application or with an agent: name one of them.")
        # A count that is no whole number would be summed as it was typed, and stored as the column takes it.
        if type(use.count) is not int or not 1 <= use.count <= MAX_COUNT:
            raise InvalidValue(f"An interaction counts from 1 to {MAX_COUNT:,} uses, not {use.count}.")
        if use.occurred_at is not None and use.occurred_at.tzinfo is None:
            raise InvalidValue(
                f"The time {use.occurred_at.isoformat()} names no time zone: add one, such as Z."
            )
        if use.occurred_at is not None and not 1 < use.occurred_at.year < 9999:
            raise InvalidValue(f"The year {use.occurred_at.year} is none in which anything was used.")
        if len(use.user_ref) > MAX_USER_REF or "\0" in use.user_ref:
            raise InvalidValue(
                f"A user reference has at most {MAX_USER_REF} characters, none of them the NUL character."
            )
        for row in (use.application, use.agent, use.department):
            if row is not None:
                named[id(row)] = row
    for row in named.values():
        if row.client_id != client.pk:
            raise WrongTenant(f"{row} belongs to another client than {client}: record it for its own client.")


def _interaction(client: Client, use: Use, now: datetime) -> Interaction:
    return Interaction(
        client=client,
        application=use.application,
        agent=use.agent,
        department=use.department,
        user_ref=use.user_ref,
        count=use.count,
        flagged=use.flagged,
        occurred_at=use.occurred_at.astimezone(UTC) if use.occurred_at else now,
    )
