"""The domain's models, one module per thought: tenancy, catalog, activity, alerts."""

from engagement.models.activity import ActiveUser, Engagement, Interaction
from engagement.models.alerts import Alert, OriginalDetails
from engagement.models.catalog import Agent, Application, Department
from engagement.models.tenancy import MSP, Client, User

__all__ = [
    "MSP",
    "ActiveUser",
    "Agent",
    "Alert",
    "Application",
    "Client",
    "Department",
    "Engagement",
    "Interaction",
    "OriginalDetails",
    "User",
]
