"""Who may see what: the one place that every door asks.

The rule: `msp_admin` and `msp_user` see every client of their own MSP; `client_admin` and
`client_user` see their own client. A superuser sees everything in the admin site and over REST, but follows no stream
of its own, having no tenant. Everybody else sees nothing. Doors ask by queryset, so a missing client and a foreign
one answer alike.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from engagement.models.tenancy import Client, User


class Role(enum.StrEnum):
    """The roles the portal's API speaks."""

    MSP_ADMIN = "msp_admin"
    MSP_USER = "msp_user"
    CLIENT_ADMIN = "client_admin"
    CLIENT_USER = "client_user"


MSP_ROLES = frozenset({Role.MSP_ADMIN, Role.MSP_USER})
CLIENT_ROLES = frozenset({Role.CLIENT_ADMIN, Role.CLIENT_USER})
ADMIN_ROLES = frozenset({Role.MSP_ADMIN, Role.CLIENT_ADMIN})


@dataclass(frozen=True, slots=True)
class Scope:
    """A user's place in the tenancy: all clients of one MSP (`client_id` is None), or one client of it."""

    role: Role
    msp_id: UUID
    client_id: UUID | None

    @property
    def is_msp(self) -> bool:
        """True where the scope spans an MSP's clients."""
        return self.client_id is None


def scope_of(user: User | AnonymousUser) -> Scope | None:
    """Return the scope of `user`, or None where there is none: anonymous, inactive, without role or tenant.

    Reads `user.client.msp_id` for a client's user: load it with `select_related("client")`.
    """
    if not user.is_authenticated or not user.is_active:
        return None
    if user.role in MSP_ROLES and user.msp_id:
        return Scope(Role(user.role), user.msp_id, None)
    if user.role in CLIENT_ROLES and user.client is not None:
        return Scope(Role(user.role), user.client.msp_id, user.client.pk)
    return None


def may_see(user: User | AnonymousUser, client: Client) -> bool:
    """Return whether `user` may see a client: `client_filter` asked of rows that were read already."""
    if user.is_authenticated and user.is_active and user.is_superuser:
        return True
    scope = scope_of(user)
    if scope is None:
        return False
    return scope.msp_id == client.msp_id if scope.is_msp else scope.client_id == client.pk


def client_filter(user: User | AnonymousUser, path: str = "") -> Q:
    """Return the condition that keeps rows of clients visible to `user`.

    `path` is the lookup from the filtered model to its client (`"client"`, `"alert__client"`); empty for Client itself.
    """
    prefix = f"{path}__" if path else ""
    if user.is_authenticated and user.is_active and user.is_superuser:
        return Q()
    scope = scope_of(user)
    if scope is None:
        return Q(pk__in=[])
    if scope.client_id is not None:
        return Q(**{f"{prefix}pk": scope.client_id})
    return Q(**{f"{prefix}msp_id": scope.msp_id})


def viewer_filter(client: Client) -> Q:
    """Return the condition on users that their scope holds `client`: `client_filter` seen from the other side."""
    return Q(is_active=True) & (
        Q(role__in=sorted(MSP_ROLES), msp_id=client.msp_id)
        | Q(role__in=sorted(CLIENT_ROLES), client_id=client.pk)
    )


def may_administer(user: User | AnonymousUser) -> bool:
    """Return whether `user` may change alerts of what they see: everybody with a scope may; superusers too."""
    return bool(user.is_authenticated and user.is_active and (user.is_superuser or scope_of(user)))
