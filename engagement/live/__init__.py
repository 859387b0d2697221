"""What the engine (`realtime`) must know of this portal: the one place where the two meet. See `docs/embedding.md`."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet

from engagement import access, actions, sign_in
from engagement import figures as today
from engagement.demo import world
from engagement.errors import NotAllowed
from engagement.live import alerts, figures, interactions
from engagement.models import Alert, Client, Engagement, Interaction, User
from engagement.signals import interactions_imported
from realtime.portal import Portal
from realtime.positions import positions_before
from realtime.receivers import record_safely
from realtime.topics import Topic

__all__ = ["EngagementPortal", "positions_before"]


class EngagementPortal(Portal):
    """Clients of MSPs, and users with one of four roles."""

    msp_roles = access.MSP_ROLES
    admin_roles = access.ADMIN_ROLES
    admin_pages = (("Send a test event", "admin:engagement_test_event"),)
    stylesheets = ("engagement/tokens.css",)
    icon = "engagement/mark.svg"
    model_admin = "engagement.admin.scoping.BoundedSearch"
    api_view = "engagement.api.base.PortalAPIView"

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

    def snapshot(self, client_id: UUID) -> dict[str, Any]:
        """Return a client's figures of today."""
        return {
            "departments": today.departments(client_id),
            "applications": today.applications(client_id),
            "agents": today.agents(client_id),
        }

    def acknowledge(self, user: User, alert_id: UUID) -> tuple[str, datetime] | None:
        """Acknowledge an alert that the user sees."""
        try:
            alert = actions.acknowledge_alert(Alert.objects.visible_to(user).get(pk=alert_id), user)
        except (ObjectDoesNotExist, NotAllowed):  # unknown, foreign, or gone between two reads
            return None
        if alert.acknowledged_at is None:
            raise RuntimeError("An acknowledged alert has no time.")
        # Nobody, where who acknowledged it first was deleted since.
        by = alert.acknowledged_by
        return by.get_username() if by else "", alert.acknowledged_at

    def alert_key(self, text: str) -> UUID | None:
        """Return an alert's id."""
        try:
            return UUID(text)
        except ValueError:
            return None

    def default_password(self, username: str) -> str | None:
        """Return the demo's password, for its logins, where this is no production."""
        is_demo = settings.DEBUG and username in {login.username for login in world.LOGINS}
        return world.DEFAULT_PASSWORD if is_demo else None

    def prune(self, before: datetime) -> int:
        """Delete old rows of sign-ins and sessions."""
        return sign_in.prune(before)

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
