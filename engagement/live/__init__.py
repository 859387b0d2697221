"""What the engine (`realtime`) must know of this portal: the one place where the two meet. See `docs/embedding.md`."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from engagement import access
from engagement.live import alerts, figures, interactions
from engagement.models import Alert, Client, Engagement, Interaction, User
from engagement.signals import interactions_imported
from realtime.portal import Portal
from realtime.receivers import record_safely
from realtime.topics import Topic


class EngagementPortal(Portal):
    """Clients of MSPs, and users with one of four roles."""

    client_model = "engagement.Client"
    msp_roles = access.MSP_ROLES

    def scope_of(self, user: Any) -> access.Scope | None:
        """Return the scope of a user, by the rule of `engagement.access`."""
        return access.scope_of(user)

    def visible_clients(self, user: Any) -> QuerySet[Client]:
        """Return the clients that a user sees."""
        return Client.objects.visible_to(user)

    def may_see(self, user: Any, client: Client) -> bool:
        """Return whether a user sees a client: both rows say so."""
        return access.may_see(user, client)

    def users(self) -> QuerySet[User]:
        """Return all users, with their clients: a client says who the user's MSP is."""
        rows: QuerySet[User] = User.objects.select_related("client")
        return rows

    def declare_topics(self) -> tuple[Topic, ...]:
        """Return what is told live: alerts, uses of AI services, and each day's figures."""
        return (
            Topic(alerts.KIND, Alert, alerts.facts, alerts.render, least=alerts.least, folds_by_key=True),
            Topic(
                interactions.KIND,
                Interaction,
                interactions.facts,
                interactions.render,
                uses_of_day=interactions.uses_of_day,
            ),
            Topic(figures.KIND, Engagement, figures.facts, figures.render),
        )

    def connect(self) -> None:
        """Listen to bulk imports, which write rows without instances and tell sums."""
        interactions_imported.connect(_imported, dispatch_uid="engagement.live.imported")


def _imported(sender: object, client_id: UUID, sums: interactions.Sums, using: str, **_: Any) -> None:
    record_safely(partial(interactions.imported, client_id, sums), list, using)
