"""A topic: the rows of one tracked model, and how their changes are told. A portal declares its topics
(`portal.Portal.topics`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import date

    from django.db.models import QuerySet

    from realtime.capture.signals import Change
    from realtime.capture.tracking import TrackedModel
    from realtime.events.recording import Fact
    from realtime.events.rendering import Folded, Rendered
    from realtime.events.totals import Counting


def nothing(_: Iterable[Change]) -> list[Fact]:
    """Record nothing."""
    return []


@dataclass(frozen=True, slots=True)
class Topic:
    """How the changes of one tracked model are recorded, and rendered when they are sequenced."""

    kind: str
    """What its rows in the outbox are called; at most 16 characters."""
    model: type[TrackedModel]
    facts: Callable[[Iterable[Change]], list[Fact]]
    """What is recorded of a write, in its transaction: as little as will do. No query."""
    render: Callable[[Sequence[Folded], Counting], list[list[Rendered]]]
    """The messages of each event, from what is in the database now. For many events, with few queries."""
    least: Callable[[Iterable[Change]], list[Fact]] = nothing
    """What is recorded where `facts` raises: a fault of ours must not fail the write."""
    folds_by_key: bool = False
    """Whether what a transaction recorded under one key is one event, whatever client it names."""
    uses_of_day: Callable[[Mapping[str, Sequence[str]], date, str], Sequence[QuerySet[Any]]] | None = None
    """For `totals.Counting`: by the beginnings of keys, ids of subjects; a UTC day; a database. Returns queries of
    (subject's id, sum of its uses that day, beginning of its key)."""
