"""Domain signals: what Django's own signals do not tell.

`bulk_create`, `bulk_update` and `QuerySet.update` send no `post_save`. The querysets of tracked models send
`rows_changed` instead, inside the same transaction as the change, so that a listener's writes commit or roll
back with it. `QuerySet.delete` needs nothing: Django sends `post_delete` for each row when somebody listens.
"""

from django.dispatch import Signal

rows_changed = Signal()
"""Sent with `sender` (the model), `rows` (saved instances, each with its `previous` values) and `using`."""

interactions_imported = Signal()
"""Many interactions came in at once, without instances. Sent inside their transaction with `client_id`, `using` and
`sums`: by subject (`application` or `agent`, and its id) and UTC day, how many uses there were, and how many of them
flagged."""

access_changed = Signal()
"""Who may see what has changed. Sent inside the transaction of the change, with `using` and one or more of
`user_ids` (users whose role, tenant, password or activity changed), `client_ids` (clients that changed MSP, or
are gone) and `session_keys` (browser sessions that logged out)."""
