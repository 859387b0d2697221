"""App configuration of the domain."""

from django.apps import AppConfig


class EngagementConfig(AppConfig):
    """The portal's domain: who uses which AI service, how much, and what was flagged."""

    name = "engagement"
    verbose_name = "AI engagement"
    default_auto_field = "django.db.models.BigAutoField"
