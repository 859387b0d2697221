"""What the engine (`realtime`) must know of this portal: the one place where the two meet. See `docs/embedding.md`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from engagement import access
from engagement.models import Client, User
from realtime.portal import Portal


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
