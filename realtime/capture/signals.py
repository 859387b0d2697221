"""Signals of what was written: what Django's own signals do not tell.

`bulk_create`, `bulk_update` and `QuerySet.update` send no `post_save`, and `post_save` tells what an instance holds,
which is not always what the database holds. Tracked models (`realtime.capture.tracking`) send `rows_changed` for
every write instead, inside the same transaction, so that a listener's writes commit or roll back with it.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from django.dispatch import Signal


class Change(NamedTuple):
    """What a write did to one row. Both sides are columns as the database holds them, never what an instance holds.

    Which columns, and when a side is left out, is the model's declaration (`tracking.Told`).
    """

    kind: Literal["created", "updated", "deleted"]
    key: Any
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


rows_changed = Signal()
"""Sent with `sender` (the tracked model, also for rows of its proxies and children), `changes` (a list of `Change`)
and `using`. A write of many rows sends it several times."""

access_changed = Signal()
"""Who may see what has changed. Sent inside the transaction of the change, with `using` and one or more of
`user_ids` (users whose role, tenant, password or activity changed), `client_ids` (clients that changed MSP, or
are gone) and `session_keys` (browser sessions that logged out)."""
