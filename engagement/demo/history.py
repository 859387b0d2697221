"""What happened at a client on one day: unsaved rows, the same ones for the same client and day, whenever asked."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from engagement.actions.rollups import bounds
from engagement.demo import incidents, rhythm
from engagement.models import ActiveUser, Alert, Engagement, Interaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from engagement.demo.scenes import Scene, Staff, Subject
    from engagement.models import Department, User
    from engagement.models.catalog import Agent, Application

SEED = "compliance-portal-demo-1"
"""Everything random in the history comes from this, the client's name and the day."""

RETIRED_DAYS = 16
"""How long ago a retired agent was last used: longer than any trend looks back."""

ALERTS_PER_DAY = 0.8
"""On a plain working day, at one client."""

SETTLED_DAYS = 4
"""Most alerts older than this are resolved."""


@dataclass(frozen=True, slots=True)
class Day:
    """The rows of one day."""

    interactions: list[Interaction]
    engagements: list[Engagement]
    active_users: list[ActiveUser]
    alerts: list[Alert]


def of(scene: Scene, day: datetime.date, now: datetime.datetime, responders: Sequence[User]) -> Day:
    """Return what happened at the scene's client on the UTC `day`, up to `now`. `responders` handle its alerts."""
    rng = Random(f"{SEED}/{scene.client.name}/{day}")  # noqa: S311 - no secret
    begin, _ = bounds(day)
    age = (now.astimezone(datetime.UTC).date() - day).days
    interactions = [use for use in _interactions(rng, scene, begin, age) if use.occurred_at <= now]
    alerts = [alert for alert in _alerts(rng, scene, begin, now, responders) if alert.created_at <= now]
    return Day(interactions, *_roll_ups(scene, day, interactions), alerts)


def _roll_ups(
    scene: Scene, day: datetime.date, interactions: Iterable[Interaction]
) -> tuple[list[Engagement], list[ActiveUser]]:
    """Return the day's roll-ups and who they count, as `engagement.actions` would have counted them up."""
    of_subject: dict[Department | Application | Agent, list[Interaction]] = {}
    for use in interactions:
        for subject in (use.department, use.application, use.agent):
            if subject is not None:
                of_subject.setdefault(subject, []).append(use)
    rolled = [(_roll_up(scene, day, subject, uses), uses) for subject, uses in of_subject.items()]
    counted = [
        ActiveUser(engagement=rollup, user_ref=person)
        for rollup, uses in rolled
        for person in sorted({use.user_ref for use in uses})
    ]
    return [rollup for rollup, _ in rolled], counted


def _roll_up(
    scene: Scene, day: datetime.date, subject: Department | Application | Agent, uses: Sequence[Interaction]
) -> Engagement:
    return Engagement(
        client=scene.client,
        day=day,
        interactions=sum(use.count for use in uses),
        active_users=len({use.user_ref for use in uses}),
        flagged=sum(use.count for use in uses if use.flagged),
        last_activity=max(use.occurred_at for use in uses),
        **{type(subject).__name__.lower(): subject},
    )


def _interactions(rng: Random, scene: Scene, begin: datetime.datetime, age: int) -> Iterator[Interaction]:
    for staff in scene.staff:
        for subject in scene.subjects:
            if subject.retired and age < RETIRED_DAYS:
                continue
            for person in _users(rng, scene, staff, subject, begin.date()):
                yield Interaction(
                    client=scene.client,
                    application=subject.application,
                    agent=subject.agent,
                    department=staff.department,
                    user_ref=person,
                    count=1 + int(rng.expovariate(1 / subject.uses)),
                    flagged=rng.random() < subject.flagged,
                    occurred_at=rhythm.moment(rng, begin),
                )


def _users(rng: Random, scene: Scene, staff: Staff, subject: Subject, day: datetime.date) -> list[str]:
    swing = rhythm.swing(day, f"{scene.client.name}/{subject.name}") * rhythm.swing(
        day, f"{scene.client.name}/{staff.name}"
    )
    share = min(0.95, subject.adoption * staff.appetite * rhythm.busyness(day) * swing)
    return [person for person in staff.people if rng.random() < share]


def _alerts(
    rng: Random, scene: Scene, begin: datetime.datetime, now: datetime.datetime, responders: Sequence[User]
) -> Iterator[Alert]:
    while rng.random() < ALERTS_PER_DAY * rhythm.busyness(begin.date()) / (1 + ALERTS_PER_DAY):
        raised = draw_alert(rng, scene)
        if raised is None:
            return
        raised.created_at = rhythm.moment(rng, begin)
        _handle(rng, raised, now, responders)
        yield raised


def draw_alert(rng: Random, scene: Scene) -> Alert | None:
    """Return an unsaved alert about something the scene's client uses; None where it uses nothing."""
    incident = incidents.choose(
        rng, {kind for subject in scene.subjects for kind in subject.kinds}, scene.client.industry
    )
    if incident is None:
        return None
    subject = rng.choice([one for one in scene.subjects if incident.about in one.kinds])
    users, count = incidents.extent(rng)
    where = rng.choice(scene.staff).name
    return Alert(
        client=scene.client,
        application=subject.application,
        agent=subject.agent,
        asset_kind=Alert.AssetKind.AGENT if subject.agent else Alert.AssetKind.APPLICATION,
        family=incident.family,
        subtype=incident.subtype,
        severity=incident.severity,
        details=incident.details.format(subject=subject.name, department=where, users=users, count=count),
        users_affected=users,
        count=count,
        frameworks=list(incident.frameworks),
    )


def _handle(rng: Random, alert: Alert, now: datetime.datetime, responders: Sequence[User]) -> None:
    """Let somebody take care of the alert, the likelier the older it is. Sets `updated_at` to when that was."""
    alert.updated_at = alert.created_at
    reaction = datetime.timedelta(minutes=5 + rng.expovariate(1 / 90))
    work = datetime.timedelta(hours=rng.expovariate(1 / 9))
    dice = rng.random()
    who = rng.choice(responders) if responders else None
    seen = alert.created_at + reaction
    if who is None or seen > now:
        return
    age = (now - alert.created_at).days
    if alert.severity == Alert.Severity.LOW and dice < 0.35:
        alert.status, alert.updated_at = Alert.Status.AI_RESOLVED, seen
    elif age >= SETTLED_DAYS and dice < 0.9 and seen + work <= now:
        alert.status, alert.updated_at = Alert.Status.COMPLETE, seen + work
    elif dice < 0.6:
        alert.status, alert.updated_at = Alert.Status.PENDING, seen
    else:
        return
    if alert.status != Alert.Status.AI_RESOLVED:
        alert.assignee = alert.acknowledged_by = who
        alert.acknowledged_at = seen
