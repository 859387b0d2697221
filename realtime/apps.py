"""App configuration of delivery."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """Delivery: from a saved row to the sockets that may see it."""

    name = "realtime"
    verbose_name = "Real time"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect to the domain's signals; register the system checks."""
        from realtime import checks, receivers

        checks.register()
        receivers.connect()
