"""Rows of delivery: the event log, and who is connected."""

from realtime.models.connections import Asked, Bookmark, LiveConnection, SelectedClient, ServerProcess, Ticket
from realtime.models.log import DayTotal, Event, Kind, Log, Outbox, Stream

__all__ = [
    "Asked",
    "Bookmark",
    "DayTotal",
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
