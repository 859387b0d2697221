"""App configuration of delivery."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """Delivery: from a saved row to the sockets that may see it."""

    name = "realtime"
    verbose_name = "Real time"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks; listen to what the portal declares, where it is declared rightly."""
        from realtime import checks, receivers

        checks.register()
        if not checks.declaration():  # else `manage.py check` says what is wrong, and starts nothing
            receivers.connect()
