"""What is to be written of connections, and how: all of a batch or nothing, and a row that is refused alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

import structlog
from django.db import DataError, IntegrityError, models, transaction

from realtime import metrics
from realtime.models import LiveConnection, SelectedClient, ServerProcess

log = structlog.get_logger(__name__)

MAX_PENDING = 20_000
"""So many connections that came and went are remembered while the database takes no rows; older ones are dropped."""

MAX_CLOSE_CODE = 4999

REFUSED = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""What is raised for values that no retry makes acceptable."""

END = ("closed_at", "close_code", "sent")


@dataclass(slots=True)
class Changes:
    """What happened to connections since it was last written; each kind by connection."""

    opened: dict[UUID, LiveConnection] = field(default_factory=dict)
    moved: dict[UUID, LiveConnection] = field(default_factory=dict)
    """Rows with a new role and MSP."""
    closed: dict[UUID, LiveConnection] = field(default_factory=dict)
    selected: dict[tuple[UUID, UUID], bool] = field(default_factory=dict)
    """Whether a connection has selected a client, by both."""

    def followed_by(self, newer: Changes) -> Changes:
        """Return both as one."""
        return Changes(
            self.opened | newer.opened,
            self.moved | newer.moved,
            self.closed | newer.closed,
            self.selected | newer.selected,
        )

    def by_connection(self) -> Iterable[Changes]:
        """Return the changes of each connection for itself."""
        each: defaultdict[UUID, Changes] = defaultdict(Changes)
        for key, row in self.opened.items():
            each[key].opened[key] = row
        for key, row in self.moved.items():
            each[key].moved[key] = row
        for key, row in self.closed.items():
            each[key].closed[key] = row
        for (key, client), chosen in self.selected.items():
            each[key].selected[key, client] = chosen
        return each.values()

    def drop_excess(self) -> None:
        """Forget the oldest of those that came and went, past `MAX_PENDING`: nobody has seen their rows yet."""
        excess = len(self.opened) - MAX_PENDING
        if excess <= 0:
            return
        gone = set(islice((key for key in self.opened if key in self.closed), excess))
        for key in gone:
            del self.opened[key], self.closed[key]
            self.moved.pop(key, None)
        self.selected = {key: chosen for key, chosen in self.selected.items() if key[0] not in gone}
        metrics.rows_refused.inc(len(gone))
        log.error("connection rows dropped", count=len(gone), why="the database has taken none for long")


def cleaned(row: LiveConnection) -> LiveConnection:
    """Return `row` with texts that fit their columns: cut, without NUL and lone surrogates, which no database takes."""
    for column in row._meta.concrete_fields:
        if isinstance(column, models.CharField) and (value := getattr(row, column.attname)):
            text = str(value).encode("utf-8", "replace").decode().replace("\x00", "")
            setattr(row, column.attname, text[: column.max_length])
    if row.close_code is not None and not 0 <= row.close_code <= MAX_CLOSE_CODE:
        row.close_code = None
    return row


def store(process: ServerProcess, changes: Changes) -> None:
    """Write all changes, or none. Where the database refuses them, those of each connection for themselves: one that
    is refused then too is dropped, and all the others are written.
    """
    try:
        _write(changes)
    except REFUSED as error:
        log.warning("batch of connection rows refused", error=repr(error), next="written one by one")
        # It may be this process's own row that is missing: in a restored database, say.
        ServerProcess.objects.bulk_create([process], ignore_conflicts=True)
        for each in changes.by_connection():
            _write_or_drop(each)


def _write_or_drop(changes: Changes) -> None:
    try:
        _write(changes)
    except REFUSED:
        log.exception(
            "connection row refused", connection=[str(key) for key in changes.opened or changes.closed]
        )
        metrics.rows_refused.inc()


def _write(changes: Changes) -> None:
    with transaction.atomic():
        _insert(changes)
        if changes.moved:
            LiveConnection.objects.bulk_update(changes.moved.values(), ["role", "msp_id"], batch_size=500)
        closed = [row for key, row in changes.closed.items() if key not in changes.opened]
        if closed:
            LiveConnection.objects.bulk_update(closed, END, batch_size=500)
        _store_selected(changes)


def _insert(changes: Changes) -> None:
    """Insert what was opened. What has ended already is written with its end, if its row is there already too."""
    lasting = [row for key, row in changes.opened.items() if key not in changes.closed]
    # Not `ignore_conflicts`: with it SQLite leaves out, without a word, rows that it refuses for another reason.
    _upsert(lasting, ["opened_at"])
    ended = []
    for key in changes.opened.keys() & changes.closed.keys():
        row, end = changes.opened[key], changes.closed[key]
        row.closed_at, row.close_code, row.sent = end.closed_at, end.close_code, end.sent
        ended.append(row)
    _upsert(ended, END)


def _upsert(rows: list[LiveConnection], fields: Collection[str]) -> None:
    """Insert rows; of those that an earlier try has inserted, write `fields`."""
    LiveConnection.objects.bulk_create(
        rows, batch_size=1000, update_conflicts=True, unique_fields=["id"], update_fields=fields
    )


def _store_selected(changes: Changes) -> None:
    """Write which clients are selected, of connections that have a row and are open."""
    chosen, left = [], defaultdict(list)
    for (connection, client), keep in changes.selected.items():
        if connection in changes.closed:
            continue
        if keep:
            chosen.append((connection, client))
        else:
            left[connection].append(client)
    if chosen:
        wanted = {connection for connection, _ in chosen}
        known = set(LiveConnection.objects.filter(pk__in=wanted, closed_at=None).values_list("pk", flat=True))
        rows = [SelectedClient(connection_id=one, client_id=client) for one, client in chosen if one in known]
        SelectedClient.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
    for connection, clients in left.items():
        SelectedClient.objects.filter(connection_id=connection, client_id__in=clients).delete()
    if changes.closed:
        SelectedClient.objects.filter(connection__in=list(changes.closed)).delete()
