"""Settings of the portal with the engine: what it had before, and what the engine needs."""

from portal.before import *  # noqa: F403
from portal.before import DATABASES, INSTALLED_APPS

INSTALLED_APPS = ["realtime", "daphne", *INSTALLED_APPS, "channels", "rest_framework"]
ASGI_APPLICATION = "portal.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework_simplejwt.authentication.JWTAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
REALTIME_PORTAL = "incidents.live.IncidentPortal"
REALTIME_CLIENT_MODEL = "incidents.Company"
REALTIME_MSP_MODEL = "incidents.Partner"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # one writer at a time, and readers beside it
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
