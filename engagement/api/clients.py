"""Clients, and what their dashboards show."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response

from engagement import figures
from engagement.api.base import NOT_FOUND, ClientView, PortalAPIView, answer_with_positions
from engagement.models import Client
from engagement.payloads import text

SEVERITIES = ("low", "medium", "high", "critical")


class Pages(PageNumberPagination):
    """`?page=` and `?page_size=`, up to 200 rows a page."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


class ClientSerializer(serializers.ModelSerializer[Client]):
    """A client."""

    msp = serializers.CharField(source="msp.name")
    status = serializers.CharField(help_text="active, trial or suspended.")
    subscription_tier = serializers.CharField(help_text="basic, professional or enterprise.")

    class Meta:
        model = Client
        fields = (
            "id",
            "name",
            "msp_id",
            "msp",
            "industry",
            "company_size",
            "status",
            "subscription_tier",
            "created_at",
        )
        read_only_fields = fields


class DepartmentFigures(serializers.Serializer[Any]):
    """A department's row of the dashboard."""

    department_id = serializers.UUIDField()
    department = serializers.CharField()
    interactions = serializers.IntegerField(help_text="In the last seven days, today included.")
    active_users = serializers.IntegerField(help_text="On the busiest of these days.")
    pct_change_vs_prev_7d = serializers.FloatField(allow_null=True)


class ApplicationFigures(serializers.Serializer[Any]):
    """An application's row of the dashboard."""

    app_id = serializers.UUIDField()
    application = serializers.CharField()
    vendor = serializers.CharField()
    icon = serializers.CharField()
    status = serializers.CharField(help_text="Permitted or Unsanctioned.")
    active_users = serializers.IntegerField()
    interactions_per_day = serializers.FloatField()
    trend_pct_7d = serializers.FloatField(allow_null=True)
    utilization = serializers.CharField(help_text="High, Medium or Low.")
    recommendation = serializers.CharField()


class AgentFigures(serializers.Serializer[Any]):
    """An agent's row of the dashboard."""

    agent_id = serializers.UUIDField()
    agent = serializers.CharField()
    vendor = serializers.CharField()
    icon = serializers.CharField()
    deployed = serializers.BooleanField()
    avg_prompts_per_day = serializers.FloatField()
    flagged_actions = serializers.IntegerField()
    trend_pct_7d = serializers.FloatField(allow_null=True)
    status = serializers.CharField(help_text="Rising, Stable or Dormant.")
    last_activity_iso = serializers.DateTimeField(allow_null=True)
    associated_apps = serializers.ListField(child=serializers.CharField())


DayFigures = inline_serializer(
    "DayFigures",
    {
        "day": serializers.DateField(),
        "interactions": serializers.IntegerField(),
        "active_users": serializers.IntegerField(),
        "flagged": serializers.IntegerField(),
    },
    many=True,
)
Productivity = inline_serializer(
    "Productivity",
    {
        "interactions": serializers.IntegerField(),
        "interactions_per_active_user": serializers.FloatField(allow_null=True),
        "pct_change_vs_prev_7d": serializers.FloatField(allow_null=True),
        "series": DayFigures,
    },
)
Totals = inline_serializer(
    "Totals",
    {
        "interactions_today": serializers.IntegerField(),
        "active_users_today": serializers.IntegerField(),
        "interactions_7d": serializers.IntegerField(),
        "flagged_7d": serializers.IntegerField(),
        "pct_change_vs_prev_7d": serializers.FloatField(allow_null=True),
        "open_alerts": inline_serializer(
            "OpenAlerts", {name: serializers.IntegerField() for name in SEVERITIES}
        ),
    },
)
Dashboard = inline_serializer(
    "Dashboard",
    {
        "client_id": serializers.UUIDField(),
        "client": serializers.CharField(),
        "departments": DepartmentFigures(many=True),
        "applications": ApplicationFigures(many=True),
        "agents": AgentFigures(many=True),
        "productivity": Productivity,
        "totals": Totals,
        "positions": serializers.DictField(
            child=serializers.IntegerField(),
            required=False,
            help_text="Positions in the streams, read before the figures.",
        ),
        "epoch": serializers.CharField(required=False, help_text="Belongs to the positions."),
    },
)


class ClientListView(PortalAPIView, ListAPIView[Client]):
    """The clients that the caller sees."""

    serializer_class = ClientSerializer
    pagination_class = Pages
    queryset = Client.objects.none()

    def get_queryset(self) -> Any:
        """Return the caller's clients."""
        return Client.objects.visible_to(self.request.user).select_related("msp").order_by("name", "pk")

    @extend_schema(operation_id="clients_list", responses={200: ClientSerializer(many=True), 404: NOT_FOUND})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the clients that the caller sees, by name."""
        return super().get(request, *args, **kwargs)


class ClientDetailView(ClientView):
    """One client."""

    @extend_schema(operation_id="clients_retrieve", responses={200: ClientSerializer, 404: NOT_FOUND})
    def get(self, request: Request, client_id: str) -> Response:
        """Return a client."""
        return Response(ClientSerializer(self.client).data)


class DashboardView(ClientView):
    """Everything a client's dashboard shows."""

    @extend_schema(operation_id="clients_dashboard", responses={200: Dashboard, 404: NOT_FOUND})
    def get(self, request: Request, client_id: str) -> Response:
        """Return the figures of a client's departments, applications and agents, its productivity and its totals."""
        client = self.client
        return answer_with_positions(
            self.request,
            client,
            lambda: {"client_id": text(client.pk), "client": client.name} | figures.dashboard(client.pk),
        )


class ApplicationsView(ClientView):
    """A client's applications."""

    @extend_schema(
        operation_id="clients_applications", responses={200: ApplicationFigures(many=True), 404: NOT_FOUND}
    )
    def get(self, request: Request, client_id: str) -> Response:
        """List a client's applications with their figures, by name."""
        return Response(figures.applications(self.client.pk))
