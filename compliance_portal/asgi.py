"""ASGI entry point: pages, API and sockets, for Daphne (`manage.py serve`) and uvicorn alike."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "compliance_portal.settings")
pages = get_asgi_application()  # before anything that needs the app registry

from channels.routing import ProtocolTypeRouter  # noqa: E402

from engagement.middleware.admission import Admission  # noqa: E402
from realtime.routing import websocket_application  # noqa: E402
from realtime.server import collecting  # noqa: E402
from realtime.server.lifespan import lifespan  # noqa: E402

application = ProtocolTypeRouter(
    {"http": Admission(pages), "websocket": websocket_application, "lifespan": lifespan}
)
collecting.spare_what_stays()
