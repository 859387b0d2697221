"""Rows of delivery: the event log, and who is connected."""

from realtime.models.connections import Asked, Bookmark, LiveConnection, SelectedClient, ServerProcess, Ticket
from realtime.models.log import DayTotal, DeadLetter, Event, Kind, Log, Outbox, Stream

__all__ = [
    "Asked",
    "Bookmark",
    "DayTotal",
    "DeadLetter",
    "Event",
    "Kind",
    "LiveConnection",
    "Log",
    "Outbox",
    "SelectedClient",
    "ServerProcess",
    "Stream",
    "Ticket",
]
