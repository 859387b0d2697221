"""The sockets' description: AsyncAPI 3.0 as JSON, and a page for people. Both are made from the protocol's types."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views import View

from realtime import asyncapi, portal
from realtime.protocol import described


class AsyncAPIView(View):
    """The document, as JSON."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer it."""
        return JsonResponse(_document(request), json_dumps_params={"indent": 1})


class AsyncAPIPageView(View):
    """The document, to read."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it."""
        document = _document(request)
        context = {
            "document": document,
            "closes": document["x-close-codes"],
            "sides": [
                ("From client to server", described.frames("client")),
                ("From server to client", described.frames("server")),
            ],
            "query": asyncapi.QUERY,
            "portal": portal.current(),
        }
        return render(request, "realtime/asyncapi.html", context)


def _document(request: HttpRequest) -> dict[str, Any]:
    return asyncapi.document(request.get_host(), secure=request.is_secure())
