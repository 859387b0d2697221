"""A page left open in one window, while somebody else signs in in another, is not served as that other user.

The cookie is the browser's, not the page's. So a page's scripts say whom it was made for, and are refused if the
session is another user's by now: before anything is read or changed.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from engagement.middleware.refusals import refuse

HEADER = "X-Page-User"
"""The id of the user whom the page was made for. A request without it is taken as it is."""


class SameUser(MiddlewareMixin):
    """Answers 409 `user_changed` to a page of another user than the session's."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Return the refusal; None where the user is the same, nobody is signed in, or no page asks."""
        expected = request.headers.get(HEADER)
        if expected is None or not request.user.is_authenticated or expected == str(request.user.pk):
            return None
        return refuse(request, 409, "Somebody else is signed in now: reload the page.", "user_changed")
