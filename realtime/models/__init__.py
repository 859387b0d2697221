"""Rows of delivery: the event log, and who is connected."""

from realtime.models.connections import LiveConnection, ServerProcess, Ticket
from realtime.models.log import Event, Kind, Log, Outbox, Stream

__all__ = ["Event", "Kind", "LiveConnection", "Log", "Outbox", "ServerProcess", "Stream", "Ticket"]
