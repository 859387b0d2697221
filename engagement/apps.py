"""App configuration of the domain."""

from django.apps import AppConfig

from engagement.middleware.time_limit import guard_connections


class EngagementConfig(AppConfig):
    """The portal's domain: who uses which AI service, how much, and what was flagged."""

    name = "engagement"
    verbose_name = "AI engagement"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Watch over the statements of requests: before the first connection is made."""
        guard_connections()
