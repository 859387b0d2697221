"""Settings of a portal that has not declared itself to the engine."""

from compliance_portal.settings import *  # noqa: F403

REALTIME_PORTAL = "nowhere.Portal"
