"""Which process runs on which core, and what it uses: Linux's /proc."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import process_tree

ALL = os.sched_getaffinity(0)
_ordered = sorted(ALL)
SERVER = {_ordered[0]}
LOAD = {_ordered[1]} if len(_ordered) > 1 else ALL
"""The servers under test get one core, the load client and what serves both (Redis, PostgreSQL) another."""

_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """Start processes inside this on `cores`; threads and children inherit it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, cores: set[int]) -> None:
    """Move a process, its threads and its children to `cores`."""
    for member in process_tree(pid):
        for thread in Path(f"/proc/{member}/task").glob("[0-9]*"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its children so far."""
    return sum(sum(_times(member)[:2]) for member in process_tree(pid)) / _TICKS


class Others:
    """How much of the machine others took since this was made: other people's processes, and other machines of its host
    (time that the hypervisor took away, "steal").
    """

    def __init__(self) -> None:
        self._since = time.monotonic(), _busy_seconds(), _own_seconds()

    def percent(self) -> float:
        """Return their processor time in percent of all cores'."""
        at, busy, own = self._since
        theirs = (_busy_seconds() - busy) - (_own_seconds() - own)
        return max(0.0, theirs / (time.monotonic() - at) / (os.cpu_count() or 1) * 100)


def _busy_seconds() -> float:
    """Return the processor time of the whole machine that was not idle (proc(5): 4th and 5th are idle and waiting)."""
    values = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / _TICKS


def _own_seconds() -> float:
    """Return the processor time of this process and its descendants, those that ended included."""
    return sum(sum(_times(member)) for member in process_tree(os.getpid())) / _TICKS


def _times(pid: int) -> list[int]:
    """Return a process's user and system ticks, and those of the children it has waited for (proc(5), 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in fields[11:15]]


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children."""
    total = 0
    for member in process_tree(pid):
        for line in Path(f"/proc/{member}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total
