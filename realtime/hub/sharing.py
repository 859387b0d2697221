"""Work that is begun once and awaited by all who need it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


def share(work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
    """Begin `work`. Each who needs it awaits it by `asyncio.shield`, so that one waiter's end does not end it.

    A failure goes to those who wait. Where all of them are gone it is nobody's: who needs the work next begins anew.
    """
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_mark_retrieved)
    return task


def _mark_retrieved(task: asyncio.Task[Any]) -> None:
    """Have asyncio not report a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
