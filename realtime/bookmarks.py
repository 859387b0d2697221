"""Bookmarks: how far a user has got in a stream, on whatever device. `resume` with `"last"` starts there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.utils import timezone

from realtime import portal
from realtime.models import Bookmark
from realtime.protocol.groups import Key

Place = tuple[Key, str]
"""A user and a stream."""


def of(user_id: Key, streams: Collection[str]) -> dict[str, Bookmark]:
    """Return a user's bookmarks in these streams."""
    return {mark.stream: mark for mark in Bookmark.objects.filter(user_id=user_id, stream__in=streams)}


def move(reached: Mapping[Place, int], epoch: str) -> None:
    """Move bookmarks forward, many in two queries; in an epoch of its own a position counts whatever it was
    before.

    Two processes that move the same bookmark at the same moment may leave the lesser of two positions: then a
    few events come twice to the next device, and none is missed.
    """
    users, streams = {user for user, _ in reached}, {stream for _, stream in reached}
    known = {
        (mark.user_id, mark.stream): mark
        for mark in Bookmark.objects.filter(user_id__in=users, stream__in=streams, epoch=epoch)
    }
    alive = set(portal.current().users().filter(pk__in=users).values_list("pk", flat=True))
    moved = [
        Bookmark(user_id=user, stream=stream, position=position, epoch=epoch, moved_at=timezone.now())
        for (user, stream), position in sorted(
            reached.items(), key=lambda item: (str(item[0][0]), item[0][1])
        )
        if user in alive and ((user, stream) not in known or known[user, stream].position < position)
    ]
    Bookmark.objects.bulk_create(
        moved,
        update_conflicts=True,
        unique_fields=["user", "stream"],
        update_fields=["position", "epoch", "moved_at"],
    )
