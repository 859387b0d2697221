"""Where explorations begin: how many changes come, and which faults may happen, in any order."""

from __future__ import annotations

from tests.model.delivery import (
    DEATH,
    DISCONNECT,
    DUPLICATE,
    FAILED_READ,
    LOSS,
    NEW,
    PRUNE,
    RESTORE,
    REWIND,
    SEQUENCED,
    Client,
    Hub,
    State,
)


def start(changes: int, *faults: int) -> State:
    """Return a system to which so many changes come, and these faults."""
    return State(changes=(NEW,) * changes, faults=tuple(faults.count(fault) for fault in range(8)))


def behind(*faults: int) -> State:
    """Return a system with three events, of which the hub keeps the last and the client has the first."""
    return start(4, *faults)._replace(
        changes=(SEQUENCED, SEQUENCED, SEQUENCED, NEW),
        log=(0, 1, 2),
        hub=Hub(swept=3, head=3, memory=(2,)),
        client=Client(position=1, cursor=1),
    )


SCENARIOS = {
    "messages overtake each other": (2, start(3)),
    "a client comes back after retention": (1, start(2, LOSS, DISCONNECT, PRUNE, FAILED_READ)),
    "a publisher dies, a client comes back": (1, start(2, DEATH, LOSS, DISCONNECT)),
    "a client resumes from further back": (2, start(2, LOSS, DUPLICATE, REWIND)),
    "a publisher dies, messages are lost and duplicated": (2, start(2, DEATH, LOSS, DUPLICATE)),
    "a backup is restored": (2, start(2, DISCONNECT, RESTORE, LOSS)),
    "both publishers die": (1, start(2, DEATH, DEATH, LOSS)),
    "a client resumes while a page is read": (1, behind(LOSS, REWIND, PRUNE, DISCONNECT, DUPLICATE, DEATH)),
}
"""By name: how many events a hub keeps in memory, and where the exploration begins. The longest first."""

CAUGHT_BY = {
    "compare-and-set": "both publishers die",
    "one statement": "both publishers die",
    "position first": "both publishers die",
    "sweep wakes": "both publishers die",
    "sweep": "both publishers die",
    "swept when level": "a client comes back after retention",
    "next only": "messages overtake each other",
    "drop duplicates": "a publisher dies, messages are lost and duplicated",
    "page begins at the cursor": "a client comes back after retention",
    "cursor unmoved": "a client resumes while a page is read",
    "hold": "a client resumes while a page is read",
    "resume epoch": "a backup is restored",
    "sweep epoch": "a backup is restored",
    "start over clears": "a backup is restored",
    "repair epoch": "a backup is restored",
}
"""By guard: the scenario in which it is missed."""
