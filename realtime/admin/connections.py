"""Live connections, and the processes that serve them."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince

from realtime import control, portal
from realtime.admin.base import ClientFilter, OperatorAdmin, ReadOnlyAdmin, Viewers, may, moment
from realtime.admin.overview import overview, overview_data
from realtime.models import Asked, LiveConnection, ServerProcess
from realtime.stats import visible_connections

REPORT_SECONDS = 0.6
"""How long a list waits for the processes to tell the figures of its connections."""


class OpenFilter(admin.SimpleListFilter):
    """Open connections unless asked for others."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return what else there is."""
        return [("closed", "closed: the watch log"), ("all", "all")]

    def choices(self, changelist: Any) -> Any:
        """Call the first one what it is."""
        first, *rest = super().choices(changelist)
        return [{**first, "display": "open"}, *rest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the open ones, or those asked for."""
        if self.value() == "all":
            return queryset
        if self.value() == "closed":
            return queryset.exclude(closed_at=None)
        return queryset.open()  # type: ignore[attr-defined, no-any-return]


@admin.register(LiveConnection)
class LiveConnectionAdmin(ReadOnlyAdmin):
    """Who watches what; closed ones are the watch log: who looked at which client's stream, from when to when."""

    list_display = ("who", "scope", "of_client", "since", "figures", "address", "process")
    list_filter = (OpenFilter, "scope", "role", ClientFilter, "encoding", "opened_at", "close_code")
    list_select_related = ("user", "process")
    search_fields = ("user__username", "address", "process__host")
    actions = ("disconnect",)
    fields = (
        "id",
        "who",
        "role",
        "scope",
        "selective",
        "of_client",
        "of_msp",
        "address",
        "encoding",
        "process",
        "opened",
        "closed",
        "sent",
        "lag",
        "reported",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the connections that the viewer may know of; a client's staff do not learn who of the MSP watches."""
        declared = portal.current()
        rows = visible_connections(request.user)
        scope = declared.scope_of(request.user)
        if scope is not None and not scope.is_msp and not portal.is_superuser(request.user):
            rows = rows.exclude(role__in=declared.msp_roles)
        return rows.order_by("-opened_at")

    def get_list_display(self, request: HttpRequest) -> Any:
        """Show when a connection was closed only where closed ones are listed."""
        return [*self.list_display, *(["closed"] if OpenFilter.parameter_name in request.GET else [])]

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that are no list of rows."""
        site = self.admin_site
        return [
            path("overview/", site.admin_view(overview), name="realtime_overview"),
            path("overview/data/", site.admin_view(overview_data), name="realtime_overview_data"),
            *super().get_urls(),
        ]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Ask the processes for the figures of the page's connections, and name their clients."""
        changelist = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        self._ask_for_figures(rows)
        names = portal.current().client_names({row.client_id for row in rows})
        for row in rows:
            row.client_name = names.get(row.client_id, "")
        changelist.result_list = rows
        return changelist

    @staticmethod
    def _ask_for_figures(rows: list[LiveConnection]) -> None:
        shown = LiveConnection.objects.filter(pk__in=[row.pk for row in rows if row.closed_at is None])
        if not control.report(shown):
            return
        deadline = time.monotonic() + REPORT_SECONDS
        while shown.filter(asked=Asked.REPORT).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        told = {row.pk: row for row in shown}
        for row in rows:
            if (now := told.get(row.pk)) is not None:
                row.sent, row.lag, row.reported_at = now.sent, now.lag, now.reported_at

    @admin.display(description="user", ordering="user__username")
    def who(self, row: LiveConnection) -> str:
        """Return the user's name."""
        return row.user.get_username() if row.user else "deleted user"

    @admin.display(description="MSP")
    def of_msp(self, row: LiveConnection) -> str:
        """Return the MSP's id."""
        return str(row.msp_id)

    @admin.display(description="client", ordering="client_id")
    def of_client(self, row: LiveConnection) -> str:
        """Return the client followed, or what else is."""
        if row.client_id is None:
            return "those it selects" if row.selective else "all of its MSP's"
        known = getattr(row, "client_name", None)
        if known is None:
            known = portal.current().client_names({row.client_id}).get(row.client_id, "")
        return known or str(row.client_id)

    @admin.display(description="since", ordering="opened_at")
    def since(self, row: LiveConnection) -> str:
        """Return for how long it has been, or was, open."""
        end = row.closed_at or timezone.now()
        seconds = int((end - row.opened_at).total_seconds())
        lasted = f"{seconds} s" if seconds < 60 else timesince(row.opened_at, end, depth=1)
        return format_html(
            '<time datetime="{}" title="{}">{}</time>', row.opened_at.isoformat(), row.opened_at, lasted
        )

    @admin.display(description="opened")
    def opened(self, row: LiveConnection) -> str:
        """Return when it was opened."""
        return moment(row.opened_at)

    @admin.display(description="figures as of")
    def reported(self, row: LiveConnection) -> str:
        """Return when its process told what it was sent."""
        return moment(row.reported_at)

    @admin.display(description="sent / behind")
    def figures(self, row: LiveConnection) -> str:
        """Return how many events it was sent, and how many it is behind."""
        if row.closed_at is not None:
            return f"{row.sent:,}"
        return f"{row.sent:,} / {row.lag:,}" if row.lag is not None else "asked"

    @admin.display(description="closed", ordering="closed_at")
    def closed(self, row: LiveConnection) -> str:
        """Return when and with which code it was closed."""
        return format_html("{} ({})", moment(row.closed_at), row.close_code) if row.closed_at else "–"

    def has_disconnect_permission(self, request: HttpRequest) -> bool:
        """Return whether the viewer may close connections of those they see."""
        return may(request, Viewers.ADMINS)

    @admin.action(description="Disconnect", permissions=["disconnect"])
    def disconnect(self, request: HttpRequest, queryset: QuerySet[LiveConnection]) -> None:
        """Ask for the chosen connections to be closed."""
        asked = control.close(queryset)
        self.message_user(
            request,
            f"Asked for {asked} connection{'' if asked == 1 else 's'} to be closed. This takes no access away: "
            "to do that, deactivate the user.",
            messages.SUCCESS if asked else messages.WARNING,
        )


@admin.register(ServerProcess)
class ServerProcessAdmin(OperatorAdmin):
    """Server processes, and how many connections each holds."""

    ordering = ("-started_at",)
    list_display = ("__str__", "state", "open_connections", "started", "heartbeat", "stopped")
    search_fields = ("host", "pid")
    actions = ("drain",)
    fields = ("id", "host", "pid", "state", "open_connections", "started", "heartbeat", "stopped")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Count the open connections in the same query."""
        counted = Count("connections", filter=Q(connections__closed_at=None))
        rows: QuerySet[Any] = super().get_queryset(request).annotate(open_count=counted)
        return rows

    @admin.display(description="state")
    def state(self, process: ServerProcess) -> str:
        """Return whether it lives."""
        if process.stopped_at is not None:
            return "stopped"
        if not process.is_live:
            return "silent"
        return "draining" if process.draining else "live"

    @admin.display(description="started", ordering="started_at")
    def started(self, process: ServerProcess) -> str:
        """Return when it began."""
        return moment(process.started_at)

    @admin.display(description="heartbeat", ordering="heartbeat_at")
    def heartbeat(self, process: ServerProcess) -> str:
        """Return when it last said that it lives."""
        return moment(process.heartbeat_at)

    @admin.display(description="stopped", ordering="stopped_at")
    def stopped(self, process: ServerProcess) -> str:
        """Return when it ended in order."""
        return moment(process.stopped_at)

    @admin.display(description="connections", ordering="open_count")
    def open_connections(self, process: Any) -> int:
        """Return how many connections it holds."""
        return int(process.open_count) if process.is_live else 0

    def has_drain_permission(self, request: HttpRequest) -> bool:
        """Return whether the viewer may have processes restarted."""
        return may(request, Viewers.NOBODY)

    @admin.action(description="Drain and stop", permissions=["drain"])
    def drain(self, request: HttpRequest, queryset: QuerySet[ServerProcess]) -> None:
        """Ask the chosen processes to hand their connections over and stop; their supervisor starts them again."""
        live = [process.pk for process in queryset if process.is_live]
        control.drain(live)
        self.message_user(
            request,
            f"Asked {len(live)} process{'' if len(live) == 1 else 'es'} to hand over and stop.",
            messages.SUCCESS if live else messages.WARNING,
        )
