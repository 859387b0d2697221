"""Changes of access, and the handshakes that are under way while they are told.

A change that is told between the moment a handshake reads who somebody is and the moment their connection is registered
would touch nobody. So each handshake collects what is told meanwhile, and reads again where that touches it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime.protocol import groups

if TYPE_CHECKING:
    from realtime.auth.identity import Identity


@dataclass(frozen=True, slots=True)
class AccessChange:
    """Whose access may have changed: users and clients by id, sessions by mark; or `everybody`'s."""

    users: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    everybody: bool = False

    def touches(self, identity: Identity, streams: Collection[str]) -> bool:
        """Return whether what `identity` may see of `streams` must be asked again."""
        return (
            self.everybody
            or str(identity.user_id) in self.users
            or str(identity.scope.client_id) in self.clients
            or identity.session_mark in self.sessions
            or any(groups.client(client) in streams for client in self.clients)
        )


class Arrival:
    """A handshake under way, and the changes of access that were told since it last began to read."""

    def __init__(self) -> None:
        self._told: list[AccessChange] = []

    def note(self, change: AccessChange) -> None:
        """Note a change that is told now."""
        self._told.append(change)

    def read_anew(self) -> None:
        """Forget what was told: all that the decision depends on is read again from now on."""
        self._told.clear()

    def is_overtaken(self, identity: Identity, streams: Collection[str]) -> bool:
        """Return whether a change was told that may not be in what was read."""
        return any(change.touches(identity, streams) for change in self._told)
