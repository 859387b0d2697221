"""Alerts: listed and filtered, changed, acknowledged."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import access, actions
from engagement.actions.alerts import OPEN, UNCHANGED
from engagement.api.base import (
    ALERT_ID,
    CONFLICT,
    INVALID,
    NOT_FOUND,
    PortalAPIView,
    answer_with_positions,
    visible_or_404,
)
from engagement.api.clients import Pages
from engagement.api.filters import MomentFilter
from engagement.models import Alert, Client, User
from engagement.payloads import payload_of
from engagement.searching import search_alerts

NAMED = ("application", "agent", "assignee", "acknowledged_by")
"""Relations whose names an alert's payload holds."""


class AlertSerializer(serializers.Serializer[Alert]):
    """An alert, exactly as the socket sends it (`payloads.alert_payload`). Expects `NAMED` to be loaded."""

    id = serializers.UUIDField()
    client_id = serializers.UUIDField()
    severity = serializers.CharField(help_text="low, medium, high or critical.")
    details = serializers.CharField()
    app = serializers.CharField(allow_null=True, help_text="Name of the application or agent.")
    app_id = serializers.UUIDField(allow_null=True)
    agent_id = serializers.UUIDField(allow_null=True)
    asset_kind = serializers.CharField(help_text="application or agent.")
    family = serializers.CharField()
    subtype = serializers.CharField()
    users_affected = serializers.IntegerField()
    count = serializers.IntegerField()
    frameworks = serializers.ListField(child=serializers.CharField())
    status = serializers.CharField(help_text="Unassigned, Pending, Complete or AI Resolved.")
    assignee = serializers.CharField(allow_null=True, help_text="A username.")
    acknowledged_by = serializers.CharField(allow_null=True, help_text="A username.")
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def to_representation(self, instance: Alert) -> dict[str, Any]:
        """Return the payload."""
        return payload_of(instance)


class AlertChangeSerializer(serializers.Serializer[Any]):
    """What to change. `status` and `assignee` must agree: Pending with an assignee, Unassigned without."""

    status = serializers.CharField(required=False, help_text="Unassigned, Pending, Complete or AI Resolved.")
    assignee = serializers.CharField(
        required=False, allow_null=True, help_text="A username, or null for nobody."
    )


SEVERITY_RANK = Case(
    *(When(severity=severity, then=Value(rank)) for rank, severity in enumerate(Alert.Severity.values)),
    output_field=IntegerField(),
)
"""Orders by how bad an alert is, where the column's text would order by letter."""


class AlertFilter(django_filters.FilterSet):
    """Which alerts to list, and in which order. A filter given twice means either."""

    severity = django_filters.MultipleChoiceFilter(choices=Alert.Severity.choices)
    status = django_filters.MultipleChoiceFilter(choices=Alert.Status.choices)
    open = django_filters.BooleanFilter(method="filter_open", label="Not resolved yet.")
    client = django_filters.UUIDFilter("client_id", label="A client's id.")
    app = django_filters.CharFilter(method="filter_app", label="Name of an application or agent, in full.")
    app_id = django_filters.UUIDFilter("application_id")
    agent_id = django_filters.UUIDFilter()
    assignee = django_filters.CharFilter("assignee__username")
    acknowledged = django_filters.BooleanFilter("acknowledged_at", "isnull", exclude=True)
    created_after = MomentFilter("created_at", "gte")
    created_before = MomentFilter("created_at", "lt")
    search = django_filters.CharFilter(
        method="filter_search", label="Words in details, family, subtype or name."
    )
    q = django_filters.CharFilter(method="filter_search", label="The same as search.")
    ordering = django_filters.OrderingFilter(
        fields={
            "created_at": "created_at",
            "updated_at": "updated_at",
            "severity_rank": "severity",
            "status": "status",
            "users_affected": "users_affected",
            "count": "count",
        }
    )

    class Meta:
        model = Alert
        fields: tuple[str, ...] = ()

    def filter_open(self, alerts: QuerySet[Alert], name: str, value: bool) -> QuerySet[Alert]:
        """Keep those that still need somebody, or those that do not."""
        return alerts.filter(status__in=OPEN) if value else alerts.exclude(status__in=OPEN)

    def filter_app(self, alerts: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """Keep those about an application or agent of this name."""
        return alerts.filter(Q(application__name__iexact=value) | Q(agent__name__iexact=value))

    def filter_search(self, alerts: QuerySet[Alert], name: str, value: str) -> QuerySet[Alert]:
        """Keep those that hold every word of `value` somewhere."""
        return search_alerts(alerts, value)


class PositionedPages(Pages):
    """Pages of an answer with positions to go live from: the schema tells those members too."""

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a page."""
        told: dict[str, Any] = super().get_paginated_response_schema(schema)
        places = {"type": "object", "additionalProperties": {"type": "integer"}}
        told["properties"] |= {
            "positions": {**places, "description": "Positions in the streams, read before the rows."},
            "epoch": {"type": "string", "description": "Belongs to the positions."},
        }
        return told


class AlertListView(PortalAPIView, ListAPIView[Alert]):
    """The alerts of the clients that the caller sees."""

    serializer_class = AlertSerializer
    pagination_class = PositionedPages
    filterset_class = AlertFilter
    queryset = Alert.objects.none()

    def get_queryset(self) -> QuerySet[Alert]:
        """Return the caller's alerts."""
        return (
            Alert.objects.visible_to(self.request.user)
            .select_related(*NAMED)
            .annotate(severity_rank=SEVERITY_RANK)
        )

    def filter_queryset(self, queryset: QuerySet[Alert, Any]) -> QuerySet[Alert, Any]:
        """Filter, and order to the last row, so that no page repeats one."""
        alerts = super().filter_queryset(queryset)
        return alerts.order_by(*(alerts.query.order_by or ("-created_at",)), "-id")

    @extend_schema(
        operation_id="alerts_list", responses={200: AlertSerializer(many=True), 400: INVALID, 404: NOT_FOUND}
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List alerts, newest first unless `ordering` says otherwise."""
        return answer_with_positions(request, None, lambda: self.list(request, *args, **kwargs).data)


@extend_schema(parameters=[ALERT_ID])
class AlertView(PortalAPIView):
    """One alert."""

    def alert(self) -> Alert:
        """Return the alert of the path, with names.

        Raises NotFound where the caller does not see it.
        """
        alerts = Alert.objects.visible_to(self.request.user).select_related("client", *NAMED)
        return visible_or_404(alerts, self.kwargs["alert_id"], "alert")

    @extend_schema(operation_id="alerts_retrieve", responses={200: AlertSerializer, 404: NOT_FOUND})
    def get(self, request: Request, alert_id: str) -> Response:
        """Return an alert."""
        return Response(AlertSerializer(self.alert()).data)

    @extend_schema(
        operation_id="alerts_change",
        request=AlertChangeSerializer,
        responses={200: AlertSerializer, 400: INVALID, 404: NOT_FOUND, 409: CONFLICT},
    )
    def patch(self, request: Request, alert_id: str) -> Response:
        """Change an alert's status, its assignee, or both."""
        alert = self.alert()
        serializer = AlertChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        changes = serializer.validated_data
        actions.change_alert(
            alert,
            _caller(request),
            status=changes.get("status", UNCHANGED),
            assignee=_person(changes["assignee"], alert.client) if "assignee" in changes else UNCHANGED,
        )
        return Response(AlertSerializer(self.alert()).data)


@extend_schema(parameters=[ALERT_ID])
class AcknowledgeView(AlertView):
    """Acknowledging an alert."""

    http_method_names = ("post", "options")

    @extend_schema(
        operation_id="alerts_acknowledge", request=None, responses={200: AlertSerializer, 404: NOT_FOUND}
    )
    def post(self, request: Request, alert_id: str) -> Response:
        """Note that the caller has seen the alert. The first to do so stays; doing it again changes nothing."""
        actions.acknowledge_alert(self.alert(), _caller(request))
        return Response(AlertSerializer(self.alert()).data)


def _caller(request: Request) -> User:
    user = request.user
    if not isinstance(user, User):
        raise TypeError(f"an authenticated request has a User, not {user!r}")
    return user


def _person(username: str | None, client: Client) -> User | None:
    """Return the user of `client` or of its MSP; foreign and unknown names answer alike."""
    if username is None:
        return None
    person: User | None = User.objects.filter(access.viewer_filter(client), username=username).first()
    if person is None:
        raise ValidationError({"assignee": [f"Nobody named {username!r} sees this client."]})
    return person
