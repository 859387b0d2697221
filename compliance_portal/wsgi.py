"""WSGI entry point, for hosts that serve pages and API apart from the sockets."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "compliance_portal.settings")
application = get_wsgi_application()

from realtime.server import collecting  # noqa: E402

collecting.spare_what_stays()
