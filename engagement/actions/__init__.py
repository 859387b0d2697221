"""What people and services do to the domain. Each deed checks its own permission and is one transaction.

::

    from engagement import actions

    actions.record_interactions(client, [actions.Use(application=chatgpt, count=5, user_ref="ana@example.com")])
    alert = actions.raise_alert(client, severity="high", details="Customer data pasted", application=chatgpt)
    alert = actions.assign_alert(alert, ana, by=ana)

Refusals are `engagement.errors.EngagementError`.
"""

from engagement.actions.alerts import (
    acknowledge_alert,
    assign_alert,
    change_alert,
    raise_alert,
    reopen_alert,
    resolve_alert,
)
from engagement.actions.imports import import_interactions
from engagement.actions.interactions import Use, record_interactions
from engagement.actions.rollups import roll_up

__all__ = [
    "Use",
    "acknowledge_alert",
    "assign_alert",
    "change_alert",
    "import_interactions",
    "raise_alert",
    "record_interactions",
    "reopen_alert",
    "resolve_alert",
    "roll_up",
]
