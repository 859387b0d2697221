"""Signals of the domain."""

from __future__ import annotations

from django.dispatch import Signal

interactions_imported = Signal()
"""Many interactions came in at once, without instances. Sent inside their transaction with `client_id`, `using` and
`sums`: by subject (`application` or `agent`, and its id) and UTC day, how many uses there were, and how many of them
flagged."""
