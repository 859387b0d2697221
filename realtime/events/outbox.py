"""What waits in the outbox, for who renders: rows that will be told later say what is no longer in their tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from realtime.models import Outbox
from realtime.protocol.groups import Key


class Waiting(NamedTuple):
    """A recorded change that is not sequenced yet."""

    tx: UUID
    key: str
    client_id: Key | None
    msp_id: Key | None
    facts: dict[str, Any]


def waiting(kind: str, keys: Collection[str]) -> list[Waiting]:
    """Return what waits of a kind under these keys, in the order in which it was recorded."""
    rows = Outbox.objects.filter(kind=kind, key__in=keys).order_by("pk")
    values = rows.values_list(*Waiting._fields)
    return [
        Waiting(tx, key, client, msp, msgspec.json.decode(facts)) for tx, key, client, msp, facts in values
    ]
