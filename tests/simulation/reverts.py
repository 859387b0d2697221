"""Mends taken back, one at a time: the simulation must find each fault again within a bounded number of seeds.

A mend is taken back in the source of one function. Where the text that it put there is not found any more, this fails
loudly: then the mend was rewritten, and what takes it back has to be written anew.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from engagement.live import EngagementPortal
from realtime import consumers
from realtime.events import placing, reading
from realtime.hub import connection_rows, sharing
from realtime.hub.connection import Connection
from realtime.hub.hub import Hub
from realtime.hub.presence import PresenceWatch
from realtime.hub.streams import Streams
from realtime.hub.supervisor import Supervisor
from realtime.hub.tail import StreamEvent, Tail
from realtime.hub.watch import Watch
from tests.simulation import plans, runs


class MendNotFound(Exception):
    """The text of a mend is not in the source any more."""


@dataclass(frozen=True)
class Revert:
    """A mend that is taken back: what the function says now, and what it said before."""

    name: str
    owner: Any
    function: str
    edits: tuple[tuple[str, str], ...]
    kind: str
    """The kind of run that finds it."""
    invariants: frozenset[str]
    """What it breaks."""
    seeds: int
    """Within how many seeds it must be found."""
    besides: str | None = None
    """The name of another mend that is taken back with it: each makes up for the other."""

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """Run without the mend."""
        found = inspect.getattr_static(self.owner, self.function)
        is_static = isinstance(found, staticmethod)
        function = found.__func__ if is_static else found
        changed = self._without(function)
        setattr(self.owner, self.function, staticmethod(changed) if is_static else changed)
        other = next((each.taken_back() for each in REVERTS if each.name == self.besides), nullcontext())
        try:
            with other:
                yield
        finally:
            setattr(self.owner, self.function, found)

    def _without(self, function: Any) -> Any:
        source = textwrap.dedent(inspect.getsource(function))
        for mend, before in self.edits:
            if source.count(mend) != 1:
                raise MendNotFound(f"{self.name}: {self.function} has {source.count(mend)} times {mend!r}.")
            source = source.replace(mend, before)
        made: dict[str, Any] = {}
        exec(compile(source, f"<{self.name}>", "exec"), function.__globals__, made)
        return made[function.__name__]

    def first_seed(self) -> tuple[int, runs.Violation] | None:
        """Return the first seed that finds it, and what it says."""
        with self.taken_back():
            for seed in range(self.seeds):
                found = runs.run(seed, plans.by_name(self.kind)).violation
                if found is not None:
                    return seed, found
        return None


REVERTS = (
    Revert(
        "an error of ours ends a task of the hub",
        Supervisor,
        "_forever",
        (
            (
                "except (Exception, asyncio.CancelledError) as error",
                "except (OperationalError, InterfaceError) as error",
            ),
        ),
        "faults",
        frozenset({"complete", "closed in time"}),
        60,
    ),
    Revert(
        "an alert that vanishes while it is acknowledged ends in a traceback",
        EngagementPortal,
        "acknowledge",
        (("(ObjectDoesNotExist, NotAllowed)", "ObjectDoesNotExist"),),
        "acknowledgements",
        frozenset({"no traceback"}),
        80,
    ),
    Revert(
        "a socket that goes while it is greeted or resumed ends in a traceback",
        consumers.StreamConsumer,
        "__call__",
        (("except SocketGone", "except ZeroDivisionError"),),
        "delivery",
        frozenset({"no traceback"}),
        100,
    ),
    Revert(
        "a socket that goes before it is told something ends in a traceback",
        Connection,
        "tell",
        (("suppress(SocketGone)", "suppress()"),),
        "presence",
        frozenset({"no traceback"}),
        60,
    ),
    Revert(
        "a database that is away at a resume within the handshake ends in a traceback",
        consumers.StreamConsumer,
        "_resume",
        (("except Error as error", "except ZeroDivisionError as error"),),
        "delivery",
        frozenset({"no traceback"}),
        200,
    ),
    Revert(
        "heads that a sweep found and could not reach are forgotten",
        Streams,
        "level",
        (("found.head < head\n", "found.head < 0\n"),),
        "delivery",
        frozenset({"complete"}),
        300,
    ),
    Revert(
        "the end of a connection is lost where its row was written without it",
        connection_rows,
        "_insert",
        (("_upsert(ended, END)", "LiveConnection.objects.bulk_create(ended, ignore_conflicts=True)"),),
        "rows",
        frozenset({"rows of connections"}),
        150,
    ),
    Revert(
        "what cannot be published stops what can",
        placing._Batch,
        "publish",
        (("if self._doubtful is None and not containment.is_of_content(error)", "if True"),),
        "poison",
        frozenset({"no traceback", "complete"}),
        20,
    ),
    Revert(
        "the MSP of an event is the one of when it was recorded",
        placing,
        "_fill",
        (
            (
                "round_.add(draft, msps.get(draft.client_id, draft.msp_id))",
                """former = {groups.msp(draft.msp_id)} if draft.msp_id else set()
        round_.heads |= _heads(former - round_.heads.keys(), using)
        round_.add(draft, draft.msp_id or msps.get(draft.client_id))""",
            ),
        ),
        "sequencing",
        frozenset({"placed where it belongs"}),
        100,
    ),
    Revert(
        "a handshake goes by what it read before it was registered",
        consumers.StreamConsumer,
        "_handshake",
        (("if not arrival.is_overtaken(identity, [stream] if stream else [])", "if True"),),
        "arrivals",
        frozenset({"closed in time", "no more than may be seen"}),
        200,
    ),
    Revert(
        "a session that has just ended lets a socket in",
        consumers.StreamConsumer,
        "_enter",
        (("if hub.watch.has_ended(identity.session_mark)", "if False"),),
        "arrivals",
        frozenset({"closed in time"}),
        300,
    ),
    Revert(
        "a re-check under way undoes a renewed token",
        Watch,
        "_recheck",
        (
            (
                "if connection.identity is not before:\n        return False",
                "if isinstance(found, Identity):\n        connection.identity = found",
            ),
        ),
        "renewals",
        frozenset({"let in", "closed in time"}),
        300,
    ),
    Revert(
        "an access check that fails lets the socket go on",
        Watch,
        "_recheck_and_go_on",
        (("except Exception", "except ZeroDivisionError"),),
        "faults",
        frozenset({"closed in time", "no more than may be seen"}),
        300,
    ),
    Revert(
        "a change of access that nobody told of is never found",
        Watch,
        "recheck_due",
        (("each.checked_at <= before", "False"),),
        "silent",
        frozenset({"closed in time", "no more than may be seen"}),
        20,
    ),
    Revert(
        "a change of access that was lost is passed over by the next one",
        Hub,
        "_heard",
        (("has_gap = message", 'has_gap = message["type"] == "stream.events" and message'),),
        "losses",
        frozenset({"nothing after the change"}),
        100,
    ),
    Revert(
        "what is in memory of a client that has left is kept",
        Streams,
        "clients_moved",
        (("self.pages = Pages()", "return"),),
        "moves",
        frozenset({"no more than may be seen"}),
        60,
    ),
    Revert(
        "a client that was moved behind the signals' back keeps its past in memory",
        Streams,
        "look_for_moved_clients",
        (("if shown[msp] & left[msp] or hidden[msp] - left[msp]", "if False"),),
        "silent",
        frozenset({"no more than may be seen"}),
        300,
    ),
    Revert(
        "the rows of a client that has left are read by its former MSP",
        reading,
        "page",
        (('if kind == "msp":', "if False:"),),
        "moves",
        frozenset({"no more than may be seen"}),
        100,
    ),
    Revert(
        "a drain ends while handshakes are under way",
        Hub,
        "drain",
        (("while quiet < QUIET_LOOKS and", "while False and"),),
        "drains",
        frozenset({"told of the end"}),
        60,
    ),
    Revert(
        "who listens to several places is told of the first change of a look",
        PresenceWatch,
        "_tell",
        (("if not pending:", "if True:"),),
        "presence",
        frozenset({"who watches", "no traceback"}),
        100,
    ),
    Revert(
        "who comes and goes while a frame is being sent is not told",
        PresenceWatch,
        "_look",
        (
            (
                "if _concerns(place, connection)",
                "if connection not in self._telling and _concerns(place, connection)",
            ),
        ),
        "presence",
        frozenset({"who watches"}),
        100,
    ),
    Revert(
        "an event that an encoding cannot carry ends its sockets",
        StreamEvent,
        "body",
        (("except Exception as error", "except ZeroDivisionError as error"),),
        "followers",
        frozenset({"no traceback", "let in"}),
        20,
    ),
    Revert(
        "a socket that cannot be written to at once is not left to its writer",
        Connection,
        "_taken_now",
        (("except Exception", "except ZeroDivisionError"),),
        "followers",
        frozenset({"no traceback"}),
        60,
    ),
    Revert(
        "one follower that cannot be woken keeps the news from those after it",
        Tail,
        "_wake_followers",
        (("except Exception", "except ZeroDivisionError"),),
        "followers",
        frozenset({"no traceback", "complete"}),
        60,
        besides="a socket that cannot be written to at once is not left to its writer",
    ),
    Revert(
        "a failure that nobody waits for any more is reported as an error",
        sharing,
        "_mark_retrieved",
        (("if not task.cancelled()", "if False"),),
        "sequencing",
        frozenset({"no traceback"}),
        60,
    ),
)
