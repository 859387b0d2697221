"""Health: whether the process lives, and whether it should be sent new work. Cheap, and nothing in them is secret."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from typing import Any
from uuid import UUID

import structlog
from channels.layers import get_channel_layer
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from realtime import conf
from realtime.events import announcing, publisher
from realtime.hub import hub as hubs
from realtime.hub import threads
from realtime.models import DeadLetter, ServerProcess

log = structlog.get_logger(__name__)

WRITE_SECONDS = 5.0
"""How long the answer to a write holds: probes come every second, from several neighbours."""

MAX_COUNTED = 10_000
"""Dead letters are counted up to here: probes must stay cheap."""

LATE_SECONDS = 5.0
"""A process whose event loop is later than this should not be sent new work."""


async def healthz(request: HttpRequest) -> JsonResponse:
    """Answer that the process's event loop turns."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """Answer whether this process takes new connections: 200, or 503 with what is missing.

    A channel layer that is away is told and does not make the process unready: the sweep delivers. Nor does a task
    that failed once, or one that delivery does not depend on; nor dead letters; nor this process's publisher: what it
    does not publish, another's does, and the sweep asks again.
    """
    checks = {
        "database": await _database(),
        "draining": "yes" if hubs.is_draining() else "no",
        "channel_layer": await layer(),
        "event_loop": "ok" if hubs.loop_lag() < LATE_SECONDS else "late",
        "tasks": _tasks(),
        "publisher": publisher.status(),
        "dead_letters": await _dead_letters(),
    }
    ready = (
        checks["database"] == "ok"
        and checks["draining"] == "no"
        and checks["event_loop"] == "ok"
        and hubs.tasks_are_ready()
    )
    return JsonResponse({"status": "ready" if ready else "not ready", **checks}, status=200 if ready else 503)


def _tasks() -> str:
    failing = hubs.failing_tasks()
    return f"failing: {', '.join(failing)}" if failing else "ok"


async def _dead_letters() -> int | None:
    """Return how many changes could not be published; None where the database does not say."""
    try:
        return await asyncio.wait_for(
            threads.run("hub", _count_dead_letters), conf.current().announce_timeout
        )
    except (Error, TimeoutError):
        return None


def _count_dead_letters() -> int:
    return DeadLetter.objects.all()[:MAX_COUNTED].count()


async def _database() -> str:
    try:
        return await asyncio.wait_for(
            threads.run("hub", _state, hubs.current().ledger.process.pk), conf.current().announce_timeout * 3
        )
    except (Error, OperationalError):
        return "away"
    except TimeoutError:
        return "slow"


def _state(process: UUID) -> str:
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if pending:
        return f"{len(pending)} migrations to apply"
    return "ok" if _takes_writes(process) else "takes no writes"


_written = {"at": -math.inf, "ok": True}


def _takes_writes(process: UUID) -> bool:
    """Return whether the database takes a write that is committed: a full disk, or a replica, answers every read.

    The process's own heartbeat is written, at most once in `WRITE_SECONDS`.
    """
    if time.monotonic() - _written["at"] < WRITE_SECONDS:
        return bool(_written["ok"])
    mine = ServerProcess.objects.filter(pk=process)
    try:
        mine.update(heartbeat_at=timezone.now())
        ok = True
    except Error:
        log.exception("the database takes no writes")
        ok = False
    _written.update(at=time.monotonic(), ok=ok)
    return ok


async def layer() -> str:
    """Return how the channel layer is: `ok`, `away`, or `in-memory`, which is always there."""
    if not announcing.is_shared():
        return "in-memory"
    try:
        async with asyncio.timeout(conf.current().announce_timeout):
            await _echo(get_channel_layer())
    except Exception as error:
        log.warning("channel layer does not bring back what it was sent", error=repr(error))
        return "away"
    return "ok"


async def _echo(layer: Any) -> None:
    """Send a message to a group and receive it: a Redis may take messages and refuse to bring any."""
    group, channel = f"realtime.health.{uuid.uuid4().hex}", await layer.new_channel()
    try:
        await layer.group_add(group, channel)
        await layer.group_send(group, {"type": "health"})
        await layer.receive(channel)
        await layer.group_discard(group, channel)
    finally:
        # A receiver that is cancelled has the layer forget its channel; there is no other way to say so.
        leftover = asyncio.ensure_future(layer.receive(channel))
        await asyncio.sleep(0)
        leftover.cancel()
        await asyncio.gather(leftover, return_exceptions=True)
