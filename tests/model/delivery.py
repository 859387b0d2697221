"""A model of delivery, small enough to be explored whole: every order in which its steps can happen.

Changes are recorded and committed in any order. Two publishers, each of which may die at any point, move them from
the outbox to the log and publish them. What is published is lost, duplicated or reordered. One hub receives it,
repairs gaps from the log and sweeps it. One client is sent what its cursor has not passed, disconnects, and resumes,
while retention prunes the log and a backup is restored.

Each guard of the real code stands here by name. A test takes each of them out and demands that the exploration finds
what it was there for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

ASLEEP, AWAKE, READ, PUBLISH = range(4)
"""A publisher waits to be woken, is about to look, has read a batch, has written one and not published it yet."""

NEW, OPEN, COMMITTED, SEQUENCED, GONE = range(5)
"""A change is still to come, recorded, in the outbox, in the log, or lost with the database that was replaced."""

AWAY, LIVE, RESUMING = range(3)
"""A client has no socket, gets events, or waits for the answer to its resume: nothing is sent meanwhile."""

GUARDS = {
    "compare-and-set": "a batch is written only where the log is where the batch found it",
    "one statement": "the outbox loses a row in the statement that puts it into the log",
    "position first": "a batch reads the log's position no later than the outbox",
    "sweep wakes": "a sweep that finds rows in the outbox wakes a publisher",
    "sweep": "the hub looks through the log for what was never published",
    "swept when level": "a sweep moves its mark on only when all it found was taken in",
    "next only": "an event is taken in only where it comes next; what is ahead waits",
    "drop duplicates": "an event that was taken in before is dropped",
    "page begins at the cursor": "a page that does not begin after the cursor makes the follower refetch",
    "cursor unmoved": "a page that was read for another cursor is not sent",
    "hold": "nothing is sent while a resume is decided",
    "resume epoch": "a resume with another epoch is refused",
    "sweep epoch": "a sweep that finds another epoch starts over",
    "start over clears": "starting over forgets what was ahead",
    "repair epoch": "a repair that was read from the former log is dropped",
}


class Hub(NamedTuple):
    """What a process knows of one stream."""

    epoch: int = 0
    swept: int = 0
    head: int = 0
    ahead: tuple[tuple[int, int], ...] = ()
    memory: tuple[int, ...] = ()
    """Its newest events: those up to `head`."""
    repair: tuple[int, int, int, tuple[int, ...]] | int = 0
    """0, 1 where one is wanted, or what was read: epoch, head then, first seq, events."""
    sweep: tuple[int, int, bool] | None = None
    """What was read: epoch, position, whether the outbox holds something."""


class Client(NamedTuple):
    """One socket and what is behind it."""

    state: int = LIVE
    epoch: int = 0
    position: int = 0
    """The last event the client has, by its own account."""
    cursor: int = 0
    """The last event the server has sent."""
    decision: tuple[int, bool] | None = None
    """What the rows said to its resume: the epoch then, and whether all is there."""
    page: tuple[int, int, tuple[int, ...]] | None = None
    """What was read from the rows: for which cursor, first seq, events."""
    refetch: bool = False


class State(NamedTuple):
    """The whole system."""

    changes: tuple[int, ...]
    log: tuple[int, ...] = ()
    pruned: int = 0
    epoch: int = 0
    publishers: tuple[tuple[int, int, tuple[int, ...]], ...] = ((ASLEEP, 0, ()), (ASLEEP, 0, ()))
    """Of each its step, a number (position found, or first position to publish), and the changes in hand."""
    network: tuple[tuple[int, tuple[int, ...]], ...] = ()
    hub: Hub = Hub()
    client: Client = Client()
    faults: tuple[int, ...] = (0,) * 8
    """How many of each may still happen."""


DEATH, LOSS, DUPLICATE, FAILED_READ, DISCONNECT, REWIND, PRUNE, RESTORE = range(8)


class Violation(Exception):
    """The client was sent what it must not be sent, or the system came to rest with something missing."""


class Model:
    """The steps that the system can take. `without`: guards that are taken out. `memory`: events a hub keeps."""

    def __init__(self, without: frozenset[str] = frozenset(), memory: int = 1) -> None:
        unknown = without - GUARDS.keys()
        if unknown:
            raise ValueError(f"No such guard: {', '.join(sorted(unknown))}.")
        self._without = without
        self._memory = memory

    def steps(self, s: State) -> Iterator[State]:
        """Yield each state that can follow. Raise Violation."""
        yield from self._changes(s)
        yield from self._publishers(s)
        yield from self._network(s)
        yield from self._repairs(s)
        yield from self._sweeps(s)
        yield from self._client(s)
        yield from self._operator(s)

    def check_end(self, s: State) -> None:
        """Raise Violation where a system that can take no step is not as it should be."""
        if any(change in {NEW, OPEN, COMMITTED} for change in s.changes):
            raise Violation("a committed change was never sequenced")
        if (s.client.epoch, s.client.position) != (s.epoch, len(s.log)):
            raise Violation("the client does not have all events")

    # Saving

    def _changes(self, s: State) -> Iterator[State]:
        for number, change in enumerate(s.changes):
            if change == NEW:
                yield s._replace(changes=_set(s.changes, number, OPEN))
                break  # recorded in the order of their numbers, committed in any
        for number, change in enumerate(s.changes):
            if change == OPEN:
                committed = s._replace(changes=_set(s.changes, number, COMMITTED))
                yield self._woken(committed, number % 2)
                if s.faults[DEATH]:  # the saving process dies before it wakes its publisher
                    yield committed._replace(faults=_less(s.faults, DEATH))

    @staticmethod
    def _woken(s: State, number: int) -> State:
        if s.publishers[number][0] != ASLEEP:
            return s
        return s._replace(publishers=_set(s.publishers, number, (AWAKE, 0, ())))

    # Sequencing

    def _publishers(self, s: State) -> Iterator[State]:
        for number, (step, at, hand) in enumerate(s.publishers):
            if step == AWAKE:
                yield from self._read_batch(s, number)
            elif step == READ:
                yield from self._write_batch(s, number, at, hand)
            elif step == PUBLISH:
                sent = tuple(sorted((*s.network, (at, hand))))
                yield self._moved(s, number, (AWAKE, 0, ()))._replace(network=sent)
            if step not in {ASLEEP, AWAKE} and s.faults[DEATH]:
                yield self._moved(s, number, (ASLEEP, 0, ()))._replace(faults=_less(s.faults, DEATH))

    def _read_batch(self, s: State, number: int) -> Iterator[State]:
        waiting = tuple(n for n, change in enumerate(s.changes) if change == COMMITTED)
        if not waiting:
            yield self._moved(s, number, (ASLEEP, 0, ()))
        elif "position first" in self._without:
            yield self._moved(s, number, (READ, -1, waiting))  # reads the position when it writes
        else:
            yield self._moved(s, number, (READ, len(s.log), waiting))

    def _write_batch(self, s: State, number: int, found: int, hand: tuple[int, ...]) -> Iterator[State]:
        if found != len(s.log) and found != -1 and "compare-and-set" not in self._without:
            yield self._moved(s, number, (AWAKE, 0, ()))
            return
        if not set(hand).isdisjoint(s.log):
            raise Violation("a change was sequenced twice")
        changes = s.changes
        for change in hand:
            changes = _set(changes, change, SEQUENCED)
        written = s._replace(log=s.log + hand)
        if "one statement" in self._without and s.faults[DEATH]:
            dead = self._moved(written, number, (ASLEEP, 0, ()))
            yield dead._replace(faults=_less(s.faults, DEATH))
        yield self._moved(written, number, (PUBLISH, len(s.log) + 1, hand))._replace(changes=changes)

    @staticmethod
    def _moved(s: State, number: int, publisher: tuple[int, int, tuple[int, ...]]) -> State:
        both = (publisher, s.publishers[1]) if number == 0 else (s.publishers[0], publisher)
        return State(s.changes, s.log, s.pruned, s.epoch, both, s.network, s.hub, s.client, s.faults)

    # Receiving

    def _network(self, s: State) -> Iterator[State]:
        for number, (first, events) in enumerate(s.network):
            if number and s.network[number - 1] == (first, events):
                continue
            rest = s.network[:number] + s.network[number + 1 :]
            received = self._offered(s, first, events)
            yield received._replace(network=rest)
            if s.faults[LOSS]:
                yield s._replace(network=rest, faults=_less(s.faults, LOSS))
            if s.faults[DUPLICATE]:
                yield received._replace(faults=_less(s.faults, DUPLICATE))

    def _offered(self, s: State, first: int, events: tuple[int, ...]) -> State:
        """Take events into the tail, as `Tail.offer` does."""
        hub = s.hub
        head, memory, ahead = hub.head, hub.memory, dict(hub.ahead)
        for seq, event in enumerate(events, first):
            if seq == head + 1 or (seq > head and "next only" in self._without):
                head, memory = seq, (*memory, event)
            elif seq <= head:
                if "drop duplicates" in self._without:
                    head, memory = head + 1, (*memory, event)
            else:
                ahead[seq] = event
        while head + 1 in ahead:
            head += 1
            memory = (*memory, ahead.pop(head))
        ahead = {seq: event for seq, event in ahead.items() if seq > head}
        repair = hub.repair
        if ahead and not repair:
            repair = 1
        memory = memory[max(0, len(memory) - self._memory) :]
        still_ahead = tuple(sorted(ahead.items()))
        return _with_hub(s, Hub(hub.epoch, hub.swept, head, still_ahead, memory, repair, hub.sweep))

    def _repairs(self, s: State) -> Iterator[State]:
        repair = s.hub.repair
        if repair == 1:
            first, events = _rows_after(s, s.hub.head)
            yield _with_hub(s, s.hub._replace(repair=(s.hub.epoch, s.hub.head, first, events)))
            if s.faults[FAILED_READ]:
                yield s._replace(hub=s.hub._replace(repair=0), faults=_less(s.faults, FAILED_READ))
        elif repair:
            yield self._repaired(s._replace(hub=s.hub._replace(repair=0)), repair)

    def _repaired(self, s: State, found: tuple[int, int, int, tuple[int, ...]]) -> State:
        epoch, before, first, events = found
        if epoch != s.hub.epoch and "repair epoch" not in self._without:
            return s
        if events and s.hub.head == before and first != before + 1:
            s = self._jumped(s, first - 1)
        return self._offered(s, first, events)

    def _jumped(self, s: State, head: int) -> State:
        """Give up what is pruned up to `head`."""
        client = s.client
        if client.state == LIVE and client.cursor < head:
            client = client._replace(refetch=True)
        return s._replace(hub=s.hub._replace(head=head, memory=()), client=client)

    # Sweeping

    def _sweeps(self, s: State) -> Iterator[State]:
        hub = s.hub
        if "sweep" in self._without:
            return
        if hub.sweep is not None:
            yield from self._swept(s._replace(hub=hub._replace(sweep=None)), *hub.sweep)
            return
        found = s.epoch, len(s.log), COMMITTED in s.changes
        if found == (hub.epoch, hub.swept, False) and not hub.ahead:
            return
        if (
            next(self._swept(s, *found)) != s
        ):  # one that would change nothing is no step: else the system never ends
            yield _with_hub(s, hub._replace(sweep=found))

    def _swept(self, s: State, epoch: int, position: int, waiting: bool) -> Iterator[State]:
        if (epoch != s.hub.epoch or position < s.hub.swept) and "sweep epoch" not in self._without:
            yield self._started_over(s, epoch, position)
            return
        if waiting and "sweep wakes" not in self._without:
            s = self._woken(s, 1)
        is_new = position > s.hub.swept
        if (s.hub.head >= position or not is_new) and not s.hub.ahead:
            yield self._marked(s, position)
            return
        first, events = _rows_after(s, s.hub.head)
        repaired = self._repaired(s, (s.hub.epoch, s.hub.head, first, events))
        yield self._marked(repaired, position) if repaired.hub.head >= position else repaired
        if s.faults[FAILED_READ]:
            failed = s._replace(faults=_less(s.faults, FAILED_READ))
            yield self._marked(failed, position) if "swept when level" in self._without else failed

    @staticmethod
    def _marked(s: State, position: int) -> State:
        return _with_hub(s, s.hub._replace(swept=max(position, s.hub.swept)))

    def _started_over(self, s: State, epoch: int, position: int) -> State:
        head = len(s.log)
        ahead = s.hub.ahead if "start over clears" in self._without else ()
        hub = s.hub._replace(epoch=epoch, swept=position, head=head, ahead=ahead, memory=())
        return s._replace(hub=hub, client=s.client._replace(refetch=s.client.state != AWAY))

    # The client

    def _client(self, s: State) -> Iterator[State]:
        client = s.client
        if client.state == AWAY:
            yield _with_client(s, client._replace(state=RESUMING, cursor=s.hub.head))
            return
        if s.faults[DISCONNECT]:
            gone = client._replace(state=AWAY, cursor=0, decision=None, page=None, refetch=False)
            yield s._replace(client=gone, faults=_less(s.faults, DISCONNECT))
        if s.faults[REWIND] and client.state == LIVE and client.position:  # it asks again for what it had
            back = client._replace(state=RESUMING, position=client.position - 1)
            yield s._replace(client=back, faults=_less(s.faults, REWIND))
        if client.state == RESUMING:
            yield from self._resuming(s)
            if "hold" not in self._without:
                return
        yield from self._sending(s)

    def _resuming(self, s: State) -> Iterator[State]:
        client, hub = s.client, s.hub
        first = hub.head - len(hub.memory) + 1
        if client.decision is not None:
            epoch, is_there = client.decision
            if epoch != hub.epoch:
                yield _with_client(s, client._replace(decision=None))
            elif is_there:
                yield self._resumed(s)
            else:
                yield self._refetched(s)
        elif client.epoch != hub.epoch and "resume epoch" not in self._without:
            yield self._refetched(s)
        elif first - 1 <= client.position <= hub.head:
            yield self._resumed(s)
        else:
            yield s._replace(client=client._replace(decision=(hub.epoch, self._is_there(s))))

    def _is_there(self, s: State) -> bool:
        """Return whether the rows hold all that a resume needs."""
        if s.client.epoch != s.epoch and "resume epoch" not in self._without:
            return False
        return s.pruned <= s.client.position <= len(s.log)

    @staticmethod
    def _resumed(s: State) -> State:
        return _with_client(s, s.client._replace(state=LIVE, cursor=s.client.position, decision=None))

    @staticmethod
    def _refetched(s: State) -> State:
        """Tell the client to read everything anew: then it has all up to the hub's head."""
        client = s.client._replace(
            state=LIVE,
            epoch=s.hub.epoch,
            position=s.hub.head,
            cursor=s.hub.head,
            decision=None,
            refetch=False,
            page=None,
        )
        return _with_client(s, client)

    def _sending(self, s: State) -> Iterator[State]:
        client, hub = s.client, s.hub
        first = hub.head - len(hub.memory) + 1
        if client.refetch:
            yield self._refetched(s)
        elif client.page is not None:
            yield from self._page_sent(s, *client.page)
        elif client.cursor < hub.head:
            if client.cursor >= first - 1:
                yield self._sent(s, client.cursor + 1, hub.memory[client.cursor + 1 - first])
            else:
                found, events = _rows_after(s, client.cursor)
                yield _with_client(s, client._replace(page=(client.cursor, found, events)))

    def _page_sent(self, s: State, cursor: int, first: int, events: tuple[int, ...]) -> Iterator[State]:
        s = _with_client(s, s.client._replace(page=None))
        if s.client.cursor != cursor and "cursor unmoved" not in self._without:
            yield s
        elif (not events or first != cursor + 1) and "page begins at the cursor" not in self._without:
            yield _with_client(s, s.client._replace(refetch=True))
        else:
            for seq, event in enumerate(events, first):
                s = self._sent(s, seq, event)
            yield s

    @staticmethod
    def _sent(s: State, seq: int, event: int) -> State:
        client = s.client
        if seq != client.position + 1:
            raise Violation(f"the client has {client.position} and was sent {seq}")
        if s.hub.epoch == s.epoch == client.epoch and (len(s.log) < seq or s.log[seq - 1] != event):
            raise Violation(f"the client was sent something else than the log holds at {seq}")
        return _with_client(s, client._replace(position=seq, cursor=seq))

    # The operator

    @staticmethod
    def _operator(s: State) -> Iterator[State]:
        if s.faults[PRUNE] and s.pruned < len(s.log):
            yield s._replace(pruned=s.pruned + 1, faults=_less(s.faults, PRUNE))
        if s.faults[RESTORE] and s.log:
            for kept in range(max(s.pruned, len(s.log) - 2), len(s.log)):
                changes = tuple(
                    GONE if c in {OPEN, COMMITTED} or (c == SEQUENCED and n not in s.log[:kept]) else c
                    for n, c in enumerate(s.changes)
                )
                yield s._replace(
                    changes=changes,
                    log=s.log[:kept],
                    epoch=s.epoch + 1,
                    publishers=((ASLEEP, 0, ()), (ASLEEP, 0, ())),
                    network=(),
                    faults=_less(s.faults, RESTORE),
                )


def _rows_after(s: State, cursor: int) -> tuple[int, tuple[int, ...]]:
    """Return the events of the log after `cursor` that retention has kept, and the seq of the first."""
    start = max(cursor, s.pruned)
    return start + 1, s.log[start:]


def _with_hub(s: State, hub: Hub) -> State:
    return State(s.changes, s.log, s.pruned, s.epoch, s.publishers, s.network, hub, s.client, s.faults)


def _with_client(s: State, client: Client) -> State:
    return State(s.changes, s.log, s.pruned, s.epoch, s.publishers, s.network, s.hub, client, s.faults)


def _set(values: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:index], value, *values[index + 1 :])


def _less(faults: tuple[int, ...], which: int) -> tuple[int, ...]:
    return _set(faults, which, faults[which] - 1)


def explore(model: Model, start: State, max_states: int = 10_000_000) -> int:
    """Visit every state that can be reached. Return how many there are. Raise Violation."""
    seen = {start}
    pending = [start]
    while pending:
        state = pending.pop()
        final = True
        for following in model.steps(state):
            final = False
            known = len(seen)
            seen.add(following)
            if len(seen) > known:
                pending.append(following)
        if final:
            model.check_end(state)
        if len(seen) > max_states:
            raise RuntimeError(f"More than {max_states:,} states.")
    return len(seen)
