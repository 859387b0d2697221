"""Health: whether the process lives, and whether it should be sent new work. Cheap, and nothing in them is secret."""

from __future__ import annotations

import asyncio

from channels.layers import get_channel_layer
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError
from django.http import HttpRequest, JsonResponse

from realtime import conf
from realtime.events import announcing
from realtime.hub import hub as hubs
from realtime.hub import threads

LATE_SECONDS = 5.0
"""A process whose event loop is later than this should not be sent new work."""


async def healthz(request: HttpRequest) -> JsonResponse:
    """Answer that the process's event loop turns."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """Answer whether this process takes new connections: 200, or 503 with what is missing.

    A channel layer that is away is told and does not make the process unready: the sweep delivers.
    """
    checks = {
        "database": await _database(),
        "draining": "yes" if hubs.is_draining() else "no",
        "channel_layer": await layer(),
        "event_loop": "ok" if hubs.loop_lag() < LATE_SECONDS else "late",
    }
    ready = checks["database"] == "ok" and checks["draining"] == "no" and checks["event_loop"] == "ok"
    return JsonResponse({"status": "ready" if ready else "not ready", **checks}, status=200 if ready else 503)


async def _database() -> str:
    try:
        return await asyncio.wait_for(threads.run("hub", _migrated), conf.current().announce_timeout * 3)
    except (Error, OperationalError):
        return "away"
    except TimeoutError:
        return "slow"


def _migrated() -> str:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(pending)} migrations to apply" if pending else "ok"


async def layer() -> str:
    """Return how the channel layer is: `ok`, `away`, or `in-memory`, which is always there."""
    if not announcing.is_shared():
        return "in-memory"
    try:
        await asyncio.wait_for(
            get_channel_layer().group_send("realtime.health", {"type": "health"}),
            conf.current().announce_timeout,
        )
    except Exception:
        return "away"
    return "ok"
