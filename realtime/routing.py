"""The sockets' routes, each with and without the API's prefix; every other path is answered too."""

from channels.routing import URLRouter
from django.urls import re_path

from realtime.consumers import ClientEngagementConsumer, EngagementConsumer, UnknownRouteConsumer

PREFIX = r"^(?:api/v1/)?ws/"

websocket_urlpatterns = [
    re_path(PREFIX + r"engagement/?$", EngagementConsumer.as_asgi()),
    re_path(PREFIX + r"client/(?P<client_id>[^/]+)/engagement/?$", ClientEngagementConsumer.as_asgi()),
    re_path(r"", UnknownRouteConsumer.as_asgi()),
]
websocket_application = URLRouter(websocket_urlpatterns)
