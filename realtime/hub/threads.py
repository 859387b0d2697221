"""Where database work of the event loop runs.

Small pools, so that a storm of one kind does not hold up another.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal, ParamSpec, TypeVar

from channels.db import database_sync_to_async

from realtime import conf

P = ParamSpec("P")
R = TypeVar("R")
Purpose = Literal["hub", "reading", "authenticating"]
"""`hub`: sweeps, repairs, connection rows.

`reading`: backlogs and requests. `authenticating`: handshakes and re-checks.
"""


@cache
def _pool(purpose: Purpose) -> ThreadPoolExecutor:
    workers = 2 if purpose == "hub" else conf.current().read_threads
    return ThreadPoolExecutor(max_workers=workers, thread_name_prefix=f"realtime-{purpose}")


async def run(purpose: Purpose, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` in the pool of `purpose`, with Django's care for its database connection."""
    call = database_sync_to_async(function, thread_sensitive=False, executor=_pool(purpose))
    result: R = await call(*args, **kwargs)
    return result
