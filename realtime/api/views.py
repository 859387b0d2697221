"""Views: who is connected, what happened after a position, and tickets for sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from engagement import access
from engagement.models import Client
from realtime import conf
from realtime.auth import tickets
from realtime.events import reading
from realtime.protocol import groups
from realtime.stats import stats

if TYPE_CHECKING:
    from rest_framework.request import Request

MOST_EVENTS = 1000


class StatsView(APIView):
    """Connection statistics."""

    @extend_schema(
        summary="Live connections",
        description="Counts of open sockets by client and by MSP, across all server processes: those you may see.",
        responses=inline_serializer(
            "WebSocketStats",
            {
                "total_connections": serializers.IntegerField(),
                "client_connections": serializers.DictField(child=serializers.IntegerField()),
                "msp_connections": serializers.DictField(child=serializers.IntegerField()),
                "processes": serializers.IntegerField(),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """Answer `stats.stats`."""
        return Response(stats(request.user))


class EventsView(APIView):
    """A client's events after a position."""

    @extend_schema(
        summary="Events after a position",
        description=(
            "What a socket would have sent after `after`, in order. 410 where that is beyond retention: refetch the dashboard."
        ),
        parameters=[
            OpenApiParameter(
                "after", int, description="A seq of the client's stream; 0: from the beginning."
            ),
            OpenApiParameter(
                "limit", int, description=f"At most so many events (default and most: {MOST_EVENTS})."
            ),
        ],
        responses={
            200: inline_serializer(
                "EventPage",
                {
                    "stream": serializers.CharField(),
                    "epoch": serializers.CharField(),
                    "head": serializers.IntegerField(),
                    "events": serializers.ListField(child=serializers.DictField()),
                },
            ),
            410: OpenApiResponse(OpenApiTypes.OBJECT, description="Some of it is gone."),
        },
    )
    def get(self, request: Request, client_id: UUID) -> Response:
        """Answer a page of the client's stream."""
        client = get_object_or_404(Client.objects.visible_to(request.user), pk=client_id)
        after = _whole_number(request, "after", 0, 0, 2**53)
        limit = _whole_number(request, "limit", MOST_EVENTS, 1, MOST_EVENTS)
        stream = groups.client(client.pk)
        head = reading.head(stream)
        rows = reading.page(stream, after, limit)
        if head > after and (not rows or rows[0].seq != after + 1):
            return Response(
                {
                    "code": "retention",
                    "detail": "Some of these events are gone: refetch the dashboard.",
                    "head": head,
                },
                status=status.HTTP_410_GONE,
            )
        events: list[dict[str, Any]] = [
            {
                "type": row.type,
                "client_id": row.client_id,
                "stream": stream,
                "seq": row.seq,
                "timestamp": row.timestamp,
                "data": msgspec.json.decode(row.data),
            }
            for row in rows
        ]
        return Response({"stream": stream, "epoch": reading.epoch(), "head": head, "events": events})


class TicketView(APIView):
    """Single-use tickets for sockets."""

    @extend_schema(
        summary="A ticket for one socket",
        description="Open the socket with `?ticket=…` before it expires. It works once, and is no token: it may stand in a log.",
        request=None,
        responses={
            201: inline_serializer(
                "Ticket",
                {
                    "ticket": serializers.CharField(),
                    "expires_in": serializers.IntegerField(help_text="seconds"),
                },
            )
        },
    )
    def post(self, request: Request) -> Response:
        """Issue one."""
        if access.scope_of(request.user) is None:
            raise PermissionDenied(
                "This account has no role with an MSP or a client: ask your administrator."
            )
        ticket = tickets.issue(request.user.pk)
        return Response(
            {"ticket": ticket, "expires_in": conf.current().ticket_seconds}, status=status.HTTP_201_CREATED
        )


def _whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    given = request.query_params.get(name, str(default))
    if not given.isascii() or not given.isdigit() or not least <= int(given[:20]) <= most:
        raise ValidationError({name: [f"A whole number from {least} to {most}, please."]})
    return int(given)
