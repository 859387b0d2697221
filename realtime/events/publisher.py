"""The publisher: one thread a process, with a database connection of its own, that places and announces what
was committed.

Started at first use. Callers wake it and go on; whatever committed meanwhile is one round. No error ends it: it is
logged and counted, and the round is tried again after a pause. A thread that ended all the same is started again by
whoever wakes it next. At exit the process waits for it, within `flush_timeout`.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import structlog
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.utils import timezone

from realtime import conf, metrics, telemetry
from realtime.events import placing
from realtime.events.announcing import Announcer, messages
from realtime.events.containment import Doubtful

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime.events.placing import Placed

log = structlog.get_logger(__name__)

RETRY_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Pauses after failed rounds in a row; the last one holds."""

FAILURES_BEFORE_DOUBT = 3
"""After so many failed rounds in a row, whether single events are the cause is found out."""

REST_PER_EVENT, LONGEST_REST, LONGEST_USELESS_REST = 0.004, 0.04, 0.1
"""Seconds. See `Publisher._rest`."""

LONG_ROUND_SECONDS = 15.0
"""A round that lasts longer is told: a renderer that hangs raises nothing."""

MOST_OTHERS = 8
"""By how many processes a rest grows: to a third of a second."""


class Publisher:
    """Places and announces in rounds, on a thread."""

    def __init__(self, using: str = DEFAULT_DB_ALIAS) -> None:
        self.using = using
        self._announcer = Announcer()
        self._state = threading.Lock()
        self._more = threading.Condition(self._state)
        """Told to the thread: there is something to do."""
        self._done_more = threading.Condition(self._state)
        """Told by the thread: something was done."""
        self._resting = False
        """True while the thread is not to be told of what was committed: waking it for that took savers' time."""
        self.is_idle = True
        """True where the thread waits to be woken, and would not look again by itself."""
        self._wanted = 0
        self._done = 0
        self._flushing = 0
        self._left = False
        self._position = 0
        self._others = 0.0
        """How many other processes place as this one does, by how much of the log was placed between two rounds."""
        self._again = False
        """True where the thread is to look again by itself."""
        self._failures = 0
        """Rounds that failed, in a row."""
        self._failing_with = ""
        self._round_began: float | None = None
        self._doubtful: Doubtful | None = None
        self._thread: threading.Thread | None = None

    @property
    def status(self) -> str:
        """How it is: `ok`; `failing: ` and the class of the error of the last round; or how long a round lasts."""
        if self._failing_with:
            return f"failing: {self._failing_with}"
        began = self._round_began
        seconds = 0.0 if began is None else time.monotonic() - began
        return f"in one round for {seconds:.0f} s" if seconds > LONG_ROUND_SECONDS else "ok"

    def wake(self) -> None:
        """Say that something was committed. Returns at once."""
        with self._state:
            self._wanted += 1
            self.is_idle = False
            self._see_to_the_thread()
            if not self._resting:
                self._more.notify()

    def _see_to_the_thread(self) -> None:
        """Start the thread where there is none, or where it has ended."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._resting = False
        self._thread = threading.Thread(target=self._run, name="realtime-publisher", daemon=True)
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was committed before this call is placed and announced.

        Return False after `timeout` seconds.
        """
        with self._state:
            if self._thread is None:
                return True
            self._see_to_the_thread()
            self._flushing += 1
            self._more.notify()
            try:
                return self._done_more.wait_for(self._all_is_done(self._wanted), timeout)
            finally:
                self._flushing -= 1

    def _all_is_done(self, wanted: int) -> Callable[[], bool]:
        """Return what says whether all that was `wanted` is placed; it asks for what was left to another process."""

        def is_done() -> bool:
            nonlocal wanted
            if self._done < wanted:
                return False
            if self._left:
                self._wanted += 1
                wanted = self._wanted
                self._more.notify()
                return False
            return True

        return is_done

    def round(self, *, wait: bool = True) -> int:
        """Place and announce all there is. Without `wait`, leave off where another process came between.

        Return how many events were placed: after any, look again, for those who left it to us meanwhile.
        """
        more, placed = True, 0
        while more:
            with telemetry.span("realtime.publish") as span:
                try:
                    events, more = self._place(wait)
                except placing.BusyError:
                    self._left = True
                    break
                self._announce(events)
                span.note(events=len(events), position=events[-1].position if events else None)
            _measure(events)
            self._left = False
            placed += len(events)
            if events:
                self._others = (
                    (events[0].position - 1 - self._position) / len(events) if self._position else 0.0
                )
                self._position = events[-1].position
        return placed

    def _place(self, wait: bool) -> tuple[list[Placed], bool]:
        limit = conf.current().publish_batch
        if self._doubtful is None:
            return placing.place(limit, self.using, wait=wait)
        return placing.place_with_doubt(limit, self.using, self._doubtful, wait=wait)

    def _announce(self, events: list[Placed]) -> None:
        """Announce; they are published in any case, and the hubs read from the rows what is not announced."""
        try:
            self._announcer.announce(messages(events))
        except Exception:
            metrics.announcements_failed.inc()
            log.exception("events not published, by a fault of the portal", events=len(events))

    def _run(self) -> None:
        rest = 0.0
        try:
            while True:
                rest = self._turn(rest)
        except BaseException:
            log.critical(
                "the publisher thread has ended", next="the next change starts it again", exc_info=True
            )
            raise

    def _turn(self, rest: float) -> float:
        """Wait for something to do, and do it. Return how many seconds to rest before the next turn."""
        with self._state:
            self._resting = True
            self._more.wait_for(lambda: self._flushing > 0, rest)
            self._resting = False
            # Somebody else may have left events to this process, or it to somebody who has ended since.
            looking = self._again or self._left
            self.is_idle = not looking and self._wanted <= self._done
            woken = self._more.wait_for(lambda: self._wanted > self._done, timeout=0 if looking else None)
            self.is_idle = False
            wanted, wait = self._wanted, self._flushing > 0
        self._round_began = time.monotonic()
        try:
            rest = self._look(rest, woken=woken, wait=wait)
        except Exception as error:
            self._again = True
            self._failed(error)
            return 0.0
        finally:
            self._round_began = None
        self._failures, self._failing_with = 0, ""
        if self._doubtful is not None and self._doubtful.attempts:
            time.sleep(RETRY_SECONDS[-1])  # they stay in the outbox, and are tried again beside others
        else:
            self._doubtful = None
        with self._state:
            self._done = max(self._done, wanted)
            self._done_more.notify_all()
        return rest

    def _look(self, rest: float, *, woken: bool, wait: bool) -> float:
        """Do a round where there is something to do; return how long to rest after it."""
        if not woken and not placing.anything(self.using):
            self._again = self._left = False
            return 0.0
        placed = self.round(wait=wait)
        self._again = placed > 0 or self._doubtful is not None
        return self._rest(placed, rest)

    def _failed(self, error: Exception) -> None:
        """Say that a round failed, and pause. The same error again and again is not logged each time."""
        name = type(error).__name__
        metrics.place_failures.inc()
        if self._failing_with != name:
            if isinstance(error, DatabaseError | InterfaceError):
                log.warning("events not sequenced yet", error=str(error).strip(), next="trying again")
            else:
                log.error("sequencing events failed", next="trying again", exc_info=error)
        self._failing_with = name
        self._failures += 1
        if self._failures >= FAILURES_BEFORE_DOUBT and self._doubtful is None:
            self._doubtful = Doubtful()
        try:
            connections[self.using].close()
        except Exception:
            log.exception("the publisher's connection could not be closed")
        time.sleep(RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1])

    def _rest(self, placed: int, before: float) -> float:
        """Return how many seconds to rest after a round, so that savers have the processor: rounds grow instead.

        A lone event is followed by no rest, a crowd by a longer one; and longer where other processes place too, since
        each round of any of them takes what there is. A round that found nothing, or that another one came into, was of
        no use: this process may do less.
        """
        if placed:
            return min((placed - 1) * REST_PER_EVENT, LONGEST_REST) * min(1 + self._others, MOST_OTHERS)
        return min(max(2 * before, REST_PER_EVENT), LONGEST_USELESS_REST)


def _measure(events: list[Placed]) -> None:
    for type_, count in Counter(event.type for event in events).items():
        metrics.placed.labels(type_).inc(count)
    now = timezone.now()
    for event in events:
        metrics.to_published.observe(max(0.0, (now - event.occurred_at).total_seconds()))


_publishers: dict[str, Publisher] = {}
_lock = threading.Lock()


def of(using: str = DEFAULT_DB_ALIAS) -> Publisher:
    """Return this process's publisher for a database."""
    with _lock:
        if using not in _publishers:
            _publishers[using] = Publisher(using)
        return _publishers[using]


def wake(using: str = DEFAULT_DB_ALIAS) -> None:
    """Say that something was committed."""
    of(using).wake()


def flush(timeout: float | None = None) -> bool:
    """Wait until all that was committed is placed and announced.

    Return False if that took longer than `timeout` seconds.
    """
    if not _publishers:
        return True
    limit = conf.current().flush_timeout if timeout is None else timeout
    flushed = [publisher.flush(limit) for publisher in list(_publishers.values())]
    return all(flushed)


def status() -> str:
    """Return how publishing goes in this process: `Publisher.status` of one that is not `ok`, if any."""
    states = [publisher.status for publisher in list(_publishers.values())]
    return next((state for state in states if state != "ok"), "ok")


def _flush_at_exit() -> None:
    if not flush():
        log.warning(
            "events left in the outbox at exit", next="the next publisher or a hub's sweep sequences them"
        )


def _forget_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _publishers.clear()


atexit.register(_flush_at_exit)
os.register_at_fork(after_in_child=_forget_in_child)
