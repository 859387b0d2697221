"""Views: who is connected, who watches, what happened after a position, tickets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from realtime import conf, portal, presence
from realtime.api.base import BaseView, client_or_404
from realtime.auth import tickets
from realtime.events import reading
from realtime.protocol import groups
from realtime.stats import stats

MOST_EVENTS = 1000

MAX_BYTES = 2**20
"""Data in one page of events: six readers of large ones took a process from 143 to 815 MB."""

WATCHED_FIELDS: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    "msp_watchers": serializers.IntegerField(),
    "client_watchers": serializers.IntegerField(),
    "watchers": serializers.ListField(child=serializers.DictField(child=serializers.CharField())),
}
WATCHED = inline_serializer("Watched", dict(WATCHED_FIELDS))  # a copy: the class takes its fields out


class StatsView(BaseView):
    """Connection statistics."""

    @extend_schema(
        operation_id="ws_stats",
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


class EventsView(BaseView):
    """A client's events after a position."""

    query_parameters = ("after", "limit")

    @extend_schema(
        operation_id="clients_events",
        summary="Events after a position",
        description=(
            "What a socket would have sent after `after`, in order; less than `limit` where the events are large: "
            "read on from the last seq until it is `head`. "
            "410 where that is beyond retention: refetch the dashboard."
        ),
        parameters=[
            OpenApiParameter(
                "client_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="A client's id."
            ),
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
            404: OpenApiResponse(description="There is no such client among those you see."),
            410: OpenApiResponse(description="Some of it is gone."),
        },
    )
    def get(self, request: Request, client_id: str) -> Response:
        """Answer a page of the client's stream."""
        stream = groups.client(client_or_404(request, client_id).pk)
        after = _whole_number(request, "after", 0, 0, 2**53)
        limit = _whole_number(request, "limit", MOST_EVENTS, 1, MOST_EVENTS)
        head = reading.head(stream)
        rows = reading.page(stream, after, limit, MAX_BYTES).rows
        if head > after and (not rows or rows[0].seq != after + 1):
            raise Gone
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


class Gone(APIException):
    """Events that are beyond retention."""

    status_code = status.HTTP_410_GONE
    default_detail = "Some of these events are gone: refetch the dashboard."
    default_code = "retention"


class PresenceView(BaseView):
    """Who watches which client."""

    query_parameters = ("client",)

    @extend_schema(
        operation_id="ws_presence",
        summary="Who watches",
        description=(
            "By user, not by socket. An MSP's users see names of both sides; a client's users see their own "
            "people, and that their MSP watches, not who."
        ),
        parameters=[
            OpenApiParameter("client", OpenApiTypes.UUID, description="One client instead of all you see.")
        ],
        responses={
            200: inline_serializer(
                "PresenceOverview",
                {
                    "clients": serializers.DictField(child=WATCHED),
                    "msp": inline_serializer("MspPresence", dict(WATCHED_FIELDS), allow_null=True),
                },
            ),
            404: OpenApiResponse(description="There is no such client among those you see."),
        },
    )
    def get(self, request: Request) -> Response:
        """Answer `presence.overview`."""
        client = request.query_params.get("client")
        if client is None:
            return Response(presence.overview(request.user))
        return Response(presence.overview(request.user, client_or_404(request, client).pk))


class TicketView(BaseView):
    """Single-use tickets for sockets."""

    @extend_schema(
        operation_id="ws_ticket",
        summary="A ticket for one socket",
        description=(
            "Open the socket with `?ticket=…` before it expires. It works once, and is no token: "
            "it may stand in a log."
        ),
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
        if portal.current().scope_of(request.user) is None or request.user.pk is None:
            raise PermissionDenied(
                "This account has no role with an MSP or a client: ask your administrator."
            )
        token: Any = request.auth  # None: a session asks
        ticket = tickets.issue(
            request.user.pk,
            password=request.user.password,
            session_key="" if token else request.session.session_key or "",
            token_expires_at=datetime.fromtimestamp(token["exp"], UTC) if token else None,
        )
        return Response(
            {"ticket": ticket, "expires_in": conf.current().ticket_seconds}, status=status.HTTP_201_CREATED
        )


def _whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    given = request.query_params.get(name, str(default))
    if not given.isascii() or not given.isdigit() or not least <= int(given[:20]) <= most:
        raise ValidationError({name: [f"A whole number from {least} to {most}, please."]})
    return int(given)
