"""The admin site of the domain. Staff of an MSP or a client see only their own rows: `scoping.ScopedAdmin`."""

from engagement.admin.activity import EngagementAdmin, InteractionAdmin
from engagement.admin.alerts import AlertAdmin
from engagement.admin.catalog import AgentAdmin, ApplicationAdmin, DepartmentAdmin
from engagement.admin.sign_ins import AccessAttemptAdmin, AccessFailureLogAdmin, AccessLogAdmin
from engagement.admin.tenancy import ClientAdmin, MSPAdmin
from engagement.admin.users import UserAdmin

__all__ = [
    "AccessAttemptAdmin",
    "AccessFailureLogAdmin",
    "AccessLogAdmin",
    "AgentAdmin",
    "AlertAdmin",
    "ApplicationAdmin",
    "ClientAdmin",
    "DepartmentAdmin",
    "EngagementAdmin",
    "InteractionAdmin",
    "MSPAdmin",
    "UserAdmin",
]
