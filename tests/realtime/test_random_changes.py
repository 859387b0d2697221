"""Random changes by several writers at once: what was told, applied in order, is what the tables hold.

`RANDOM_CHANGES=20000` makes so many of them, `RANDOM_SEED=7` others.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections import Counter

import pytest

from engagement.models import Alert, Interaction
from realtime import metrics
from realtime.events import publisher
from realtime.models import Event
from tests.engagement.concurrency import in_threads
from tests.realtime.random_changes import Writer, make_tenants
from tests.realtime.told import Told, sequence

pytestmark = pytest.mark.django_db(transaction=True)

CHANGES = int(os.environ.get("RANDOM_CHANGES", "240"))
SEED = int(os.environ.get("RANDOM_SEED", "1"))
WRITERS = 2
CHECKED_EVERY = 1000
"""Changes: a difference is found near to where it came about."""


def write(writers: list[Writer], each: int) -> None:
    """Let the writers make changes at once, while what they recorded is sequenced."""
    ended = threading.Event()

    def work(index: int) -> None:
        if index == len(writers):
            while not ended.wait(0.01):
                sequence()
            return
        try:
            for _ in range(each):
                writers[index].change()
        finally:
            if index == 0:
                ended.set()

    assert in_threads(len(writers) + 1, work, seconds=60 + each) == []


def test_what_was_told_of_random_changes_is_what_the_tables_hold(monkeypatch):
    faulthandler.cancel_dump_traceback_later()  # a long run takes longer than a test may; `in_threads` has a limit
    monkeypatch.setattr(publisher, "wake", lambda using="default": None)
    failures = metrics.record_failures._value.get()
    make_tenants()
    told, writers = Told(), [Writer(SEED * 1000 + number) for number in range(WRITERS)]
    for first in range(0, CHANGES, CHECKED_EVERY):
        write(writers, min(CHECKED_EVERY, CHANGES - first) // WRITERS)
        sequence()
        told.follow()
        told.check()
    assert metrics.record_failures._value.get() == failures
    why = sum((writer.refused for writer in writers), Counter())
    refused = why.total()
    print(
        f"{CHANGES} changes, {refused} refused ({why.most_common()}), {Event.objects.count()} events; left: "
        f"{Alert.objects.count()} alerts, {Interaction.objects.count()} interactions"
    )
    assert refused < CHANGES / 2, "so few changes were made that they show nothing"
