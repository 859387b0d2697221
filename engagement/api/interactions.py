"""Interactions: listed, recorded one at a time, recorded in bulk."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import django_filters
import msgspec
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import actions, figures
from engagement.actions.interactions import MAX_COUNT
from engagement.api.base import APP_ID, INVALID, NOT_FOUND, REFUSAL, ClientView, visible_or_404
from engagement.api.filters import MomentFilter
from engagement.api.parsers import JSONParser
from engagement.models import Agent, Application, Client, Department, Interaction

BULK_LIMIT = 10_000
"""Interactions in one bulk request."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=1)
"""How far ahead of ours the sender's clock may be."""


class InteractionSerializer(serializers.ModelSerializer[Interaction]):
    """A recorded interaction."""

    app_id = serializers.UUIDField(source="application_id", allow_null=True)
    interaction_count = serializers.IntegerField(source="count")

    class Meta:
        model = Interaction
        fields = (
            "id",
            "app_id",
            "agent_id",
            "department_id",
            "user_ref",
            "interaction_count",
            "flagged",
            "occurred_at",
        )
        read_only_fields = fields


class RecordSerializer(serializers.Serializer[Any]):
    """Uses of the path's application."""

    interaction_count = serializers.IntegerField(min_value=1, max_value=MAX_COUNT, default=1)
    department_id = serializers.UUIDField(required=False, allow_null=True)
    user_ref = serializers.CharField(max_length=200, required=False, allow_blank=True)
    flagged = serializers.BooleanField(default=False)


class Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One interaction of a bulk request: with an application (`app_id`) or an agent (`agent_id`)."""

    app_id: UUID | None = None
    agent_id: UUID | None = None
    interaction_count: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] = 1
    department_id: UUID | None = None
    user_ref: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*$")] = ""
    flagged: bool = False
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class RowsParser(JSONParser):
    """Decodes a bulk body: 10,000 rows in some 10 ms, where a DRF serializer takes seconds."""

    limit = 8 * 1024 * 1024
    type = Annotated[list[Row], msgspec.Meta(min_length=1, max_length=BULK_LIMIT)]


RowSerializer = inline_serializer(
    "BulkInteraction",
    {
        "app_id": serializers.UUIDField(required=False, allow_null=True),
        "agent_id": serializers.UUIDField(required=False, allow_null=True),
        "interaction_count": serializers.IntegerField(min_value=1, max_value=MAX_COUNT, default=1),
        "department_id": serializers.UUIDField(required=False, allow_null=True),
        "user_ref": serializers.CharField(max_length=200, required=False, allow_blank=True),
        "flagged": serializers.BooleanField(default=False),
        "occurred_at": serializers.DateTimeField(
            required=False, allow_null=True, help_text="With a time zone; now if left out."
        ),
    },
    many=True,
)
RecordedSerializer = inline_serializer(
    "RecordedInteraction",
    {
        "app_id": serializers.UUIDField(),
        "interaction_count": serializers.IntegerField(),
        "total_daily_interactions": serializers.IntegerField(
            help_text="Of the application, on this UTC day."
        ),
    },
)
BulkRecordedSerializer = inline_serializer(
    "BulkRecorded",
    {
        "recorded": serializers.IntegerField(help_text="Rows."),
        "interaction_count": serializers.IntegerField(help_text="Their sum."),
    },
)


class InteractionFilter(django_filters.FilterSet):
    """Which interactions to list."""

    app_id = django_filters.UUIDFilter("application_id")
    agent_id = django_filters.UUIDFilter()
    department_id = django_filters.UUIDFilter()
    user_ref = django_filters.CharFilter()
    flagged = django_filters.BooleanFilter()
    occurred_after = MomentFilter("occurred_at", "gte")
    occurred_before = MomentFilter("occurred_at", "lt")

    class Meta:
        model = Interaction
        fields: tuple[str, ...] = ()


class Newest(CursorPagination):
    """`?cursor=`, newest first: stays right while rows arrive, and never counts a large table."""

    ordering = ("-occurred_at", "-pk")
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000


class InteractionsView(ClientView, ListAPIView[Interaction]):
    """A client's interactions."""

    serializer_class = InteractionSerializer
    pagination_class = Newest
    filterset_class = InteractionFilter
    queryset = Interaction.objects.none()

    def get_queryset(self) -> QuerySet[Interaction]:
        """Return the client's interactions."""
        return Interaction.objects.filter(client=self.client)

    @extend_schema(
        operation_id="clients_interactions", responses={200: InteractionSerializer(many=True), 404: NOT_FOUND}
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List a client's interactions, newest first."""
        return super().get(request, *args, **kwargs)


@extend_schema(parameters=[APP_ID])
class ApplicationInteractionsView(InteractionsView):
    """The interactions with one application."""

    @property
    def application(self) -> Application:
        """The application of the path.

        Raises NotFound where the path's client has none such.
        """
        return visible_or_404(self.client.applications.all(), self.kwargs["app_id"], "application")

    def get_queryset(self) -> QuerySet[Interaction]:
        """Return the interactions with the application."""
        return super().get_queryset().filter(application=self.application)

    @extend_schema(
        operation_id="clients_application_interactions",
        responses={200: InteractionSerializer(many=True), 404: NOT_FOUND},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the interactions with an application, newest first."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="clients_application_interactions_record",
        request=RecordSerializer,
        responses={201: RecordedSerializer, 400: INVALID, 404: NOT_FOUND},
    )
    def post(self, request: Request, client_id: str, app_id: str) -> Response:
        """Record uses of an application, now."""
        application = self.application
        serializer = RecordSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        department_id = values.get("department_id")
        department = department_id and self.client.departments.filter(pk=department_id).first()
        if department_id and department is None:
            raise ValidationError({"department_id": ["This client has no such department."]})
        count = values["interaction_count"]
        actions.record_interactions(
            self.client,
            [
                actions.Use(
                    application=application,
                    count=count,
                    department=department or None,
                    user_ref=values.get("user_ref", ""),
                    flagged=values["flagged"],
                )
            ],
        )
        return Response(
            {
                "app_id": str(application.pk),
                "interaction_count": count,
                "total_daily_interactions": figures.daily_totals([application.pk], [])[application.pk],
            },
            status.HTTP_201_CREATED,
        )


class BulkInteractionsView(ClientView):
    """Many interactions at once."""

    parser_classes = (RowsParser,)

    @extend_schema(
        operation_id="clients_interactions_bulk",
        request=RowSerializer,
        responses={
            201: BulkRecordedSerializer,
            400: INVALID,
            404: NOT_FOUND,
            413: OpenApiResponse(REFUSAL, "The body is over 8 MiB."),
        },
    )
    def post(self, request: Request, client_id: str) -> Response:
        """Record up to 10,000 interactions of a client's applications and agents: all of them, or none."""
        client = self.client
        rows = request.data
        if not isinstance(rows, list):  # an empty body reaches no parser
            raise ParseError("The body is empty: send a list of interactions.")
        uses = _uses(client, rows)
        actions.import_interactions(client, uses)
        return Response(
            {"recorded": len(uses), "interaction_count": sum(use.count for use in uses)},
            status.HTTP_201_CREATED,
        )


def _uses(client: Client, rows: list[Row]) -> list[actions.Use]:
    """Return what `rows` name.

    Raises ValidationError with the index of the first row that names what the client does not have, no
    subject or two, or a time out of range.
    """
    applications = client.applications.in_bulk(_named(row.app_id for row in rows))
    agents = client.agents.in_bulk(_named(row.agent_id for row in rows))
    departments = client.departments.in_bulk(_named(row.department_id for row in rows))
    latest = timezone.now() + AHEAD
    named: dict[tuple[UUID | None, ...], tuple[Application | None, Agent | None, Department | None]] = {}
    uses = []
    for index, row in enumerate(rows):
        keys = row.app_id, row.agent_id, row.department_id
        if keys not in named:
            if (row.app_id is None) == (row.agent_id is None):
                raise _wrong(index, "give app_id or agent_id, one of them.")
            for key, known, name in (
                (row.app_id, applications, "application"),
                (row.agent_id, agents, "agent"),
                (row.department_id, departments, "department"),
            ):
                if key is not None and key not in known:
                    raise _wrong(index, f"this client has no {name} {key}.")
            named[keys] = (
                applications[row.app_id] if row.app_id else None,
                agents[row.agent_id] if row.agent_id else None,
                departments[row.department_id] if row.department_id else None,
            )
        if row.occurred_at is not None and not EARLIEST <= row.occurred_at <= latest:
            raise _wrong(index, "occurred_at is between the year 2000 and now.")
        application, agent, department = named[keys]
        uses.append(
            actions.Use(
                application,
                agent,
                row.interaction_count,
                department,
                row.user_ref,
                row.flagged,
                row.occurred_at,
            )
        )
    return uses


def _named(keys: Iterable[UUID | None]) -> set[UUID]:
    return {key for key in keys if key is not None}


def _wrong(index: int, why: str) -> ValidationError:
    return ValidationError([f"Row {index}: {why}"])
