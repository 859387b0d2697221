"""What the engine's views share: the portal's own base class, and finding a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from realtime import portal

if TYPE_CHECKING:
    from rest_framework.views import APIView as BaseView
else:
    BaseView = portal.base_class("api_view")


def client_or_404(request: Request, client_id: str) -> Any:
    """Return a client that the viewer sees. Unknown, foreign and malformed ids answer alike: NotFound."""
    declared = portal.current()
    key = declared.client_key(client_id)
    seen = declared.visible_clients(request.user).filter(pk=key).first() if key is not None else None
    if seen is None:
        raise NotFound("There is no such client among those you see.")
    return seen


__all__ = ["BaseView", "client_or_404"]
