"""Probes are answered before anything else looks at the request: neighbours ask by address, without TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest
from django.urls import resolve
from django.utils.decorators import sync_and_async_middleware

from engagement.middleware.admission import PROBES


@sync_and_async_middleware
def probes(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer `PROBES`, which are async views, without the other middleware."""
    if not iscoroutinefunction(get_response):

        def sync_middleware(request: HttpRequest) -> Any:
            if request.path_info in PROBES:
                return async_to_sync(resolve(request.path_info).func)(request)
            return get_response(request)

        return sync_middleware

    async def middleware(request: HttpRequest) -> Any:
        if request.path_info in PROBES:
            return await resolve(request.path_info).func(request)
        return await get_response(request)

    return middleware
