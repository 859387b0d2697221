"""What administrators ask of server processes: hand your connections over, close this one, tell its figures.

The request is a mark on a row, and a group message that says "look now". Without a shared channel layer, or while Redis
is away, the process finds the mark with its next heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db.models import QuerySet

from realtime import conf
from realtime.models import Asked, LiveConnection, ServerProcess
from realtime.protocol import groups

log = structlog.get_logger(__name__)


def drain(processes: Iterable[UUID]) -> bool:
    """Ask processes to hand their connections over and stop. Return whether they have heard of it already."""
    ids = list(processes)
    ServerProcess.objects.filter(pk__in=ids).update(draining=True)
    told = [_tell({"type": "control.drain", "process": str(process)}) for process in ids]
    return all(told)


def close(connections: QuerySet[LiveConnection]) -> int:
    """Ask for open connections to be closed with 4003. Return how many were asked."""
    return _ask(connections, Asked.CLOSE)


def report(connections: QuerySet[LiveConnection]) -> int:
    """Ask for the figures (`sent`, `lag`) of open connections. Return how many were asked."""
    return _ask(connections.filter(asked=Asked.NOTHING), Asked.REPORT)


def _ask(connections: QuerySet[LiveConnection], what: Asked) -> int:
    wanted = LiveConnection.objects.open().filter(pk__in=list(connections.values_list("pk", flat=True)))
    processes = sorted({str(key) for key in wanted.values_list("process_id", flat=True)})
    count = wanted.update(asked=what)
    if count:
        _tell({"type": "control.asked", "processes": processes})
    return count


def _tell(message: dict[str, object]) -> bool:
    try:
        async_to_sync(_send)(message)
    except Exception as error:
        log.warning("broadcast failed", error=repr(error), next="the process looks with its next heartbeat")
        return False
    return True


async def _send(message: dict[str, object]) -> None:
    send = get_channel_layer().group_send(groups.CONTROL, message)
    await asyncio.wait_for(send, conf.current().announce_timeout)
