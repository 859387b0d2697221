"""ASGI entry point of the portal."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
pages = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402

from realtime.routing import websocket_application  # noqa: E402
from realtime.server.lifespan import lifespan  # noqa: E402

application = ProtocolTypeRouter({"http": pages, "websocket": websocket_application, "lifespan": lifespan})
