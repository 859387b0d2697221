"""Living use: what happens next at the clients, done through the domain's actions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engagement import access, actions
from engagement.demo import history
from engagement.errors import EngagementError
from engagement.models import Alert, User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from engagement.demo.scenes import Scene

DEEDS = {"interaction": 900, "alert": 40, "acknowledgement": 25, "assignment": 15, "resolution": 30}
"""How often each happens, relative to the others."""

USES_AT_ONCE = 1.5
"""Uses of one interaction beyond the first, on average: a person who has opened a chat goes on with it."""

RESOLUTIONS = (Alert.Status.COMPLETE, Alert.Status.COMPLETE, Alert.Status.AI_RESOLVED)
"""How alerts end, evenly drawn."""

ATTENTION = 20
"""People look at the newest open alerts of a client, this many, and resolve among the oldest of as many."""


@dataclass(slots=True)
class Traffic:
    """Does one thing at a time at one of the `scenes`, chosen by `rng`. `done` counts what was done."""

    scenes: Sequence[Scene]
    rng: Random
    done: Counter[str] = field(default_factory=Counter)

    def step(self) -> str:
        """Do the next thing; return a line that says what."""
        scene = self.rng.choices(self.scenes, weights=[scene.size for scene in self.scenes])[0]
        deed = self.rng.choices(list(DEEDS), weights=list(DEEDS.values()))[0]
        said = self._handle(scene, deed) if deed not in {"interaction", "alert"} else None
        if deed == "alert":
            said = self._alert(scene)
        if said is None:  # no alert to handle, or nobody to handle it: people go on working
            deed, said = "interaction", self._interaction(scene)
        self.done[deed] += 1
        return f"{scene.client.name}: {said}"

    def _interaction(self, scene: Scene) -> str:
        used = [subject for subject in scene.subjects if not subject.retired] or scene.subjects
        subject = self.rng.choices(used, weights=[one.adoption for one in used])[0]
        staff = self.rng.choices(
            scene.staff, weights=[len(one.people) * one.appetite for one in scene.staff]
        )[0]
        use = actions.Use(
            application=subject.application,
            agent=subject.agent,
            count=1 + int(self.rng.expovariate(1 / USES_AT_ONCE)),
            department=staff.department,
            user_ref=self.rng.choice(staff.people),
            flagged=self.rng.random() < subject.flagged,
        )
        actions.record_interactions(scene.client, [use])
        return f"{use.count} × {subject.name} by {use.user_ref}{', flagged' if use.flagged else ''}"

    def _alert(self, scene: Scene) -> str | None:
        drawn = history.draw_alert(self.rng, scene)
        if drawn is None:
            return None
        actions.raise_alert(
            scene.client,
            severity=drawn.severity,
            details=drawn.details,
            application=drawn.application,
            agent=drawn.agent,
            family=drawn.family,
            subtype=drawn.subtype,
            users_affected=drawn.users_affected,
            count=drawn.count,
            frameworks=drawn.frameworks,
        )
        return f"{drawn.severity} alert: {drawn.details}"

    def _handle(self, scene: Scene, deed: str) -> str | None:
        people = [user for user in _staff(scene) if access.may_administer(user)]
        alert = self._pick(scene, deed)
        if alert is None or not people:
            return None
        who = self.rng.choice(people)
        try:
            if deed == "acknowledgement":
                actions.acknowledge_alert(alert, who)
            elif deed == "assignment":
                actions.assign_alert(alert, who, by=who)
            else:
                actions.resolve_alert(alert, who, self.rng.choice(RESOLUTIONS))
        except EngagementError:  # somebody else came first, in the portal itself or in another simulation
            return None
        return f"{deed} of an alert by {who.username}: {alert.details}"

    def _pick(self, scene: Scene, deed: str) -> Alert | None:
        still_open = Alert.objects.filter(client=scene.client, status__in=actions.alerts.OPEN)
        if deed == "acknowledgement":
            still_open = still_open.filter(acknowledged_at=None)
        elif deed == "assignment":
            still_open = still_open.filter(assignee=None)
        order = ("created_at", "id") if deed == "resolution" else ("-created_at", "-id")
        candidates = list(still_open.order_by(*order)[:ATTENTION])
        return self.rng.choice(candidates) if candidates else None


def _staff(scene: Scene) -> list[User]:
    users = (
        User.objects.filter(is_active=True, is_superuser=False).select_related("client").order_by("username")
    )
    return [*users.filter(msp=scene.client.msp_id), *users.filter(client=scene.client)]
