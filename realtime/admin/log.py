"""The event log and what waits to be placed in it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from engagement.admin.scoping import EVERYBODY, viewer_of
from realtime.admin.base import ClientFilter, ReadOnlyAdmin, client_names, moment, tenant_condition
from realtime.events import rendering
from realtime.models import Bookmark, Event, LiveConnection, Log, Outbox
from realtime.protocol import groups


def pretty(text: str) -> SafeString:
    """Return JSON text, indented."""
    return format_html(
        '<pre class="payload">{}</pre>', json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    )


class TypeFilter(admin.SimpleListFilter):
    """By type of event."""

    title = "type"
    parameter_name = "type"
    TYPES = ("alert", "interaction_update", "engagement_update")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the types; changes of access only for those who see them."""
        types = [*self.TYPES, *([rendering.ACCESS] if viewer_of(request).is_superuser else [])]
        return [(name, name.replace("_", " ")) for name in types]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class NamedClients(ReadOnlyAdmin):
    """Rows with a bare `client_id`, whose names are read once for a page."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the viewer's clients."""
        rows: QuerySet[Any] = super().get_queryset(request).filter(tenant_condition(viewer_of(request)))
        return rows

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the names of the page's clients."""
        changelist = super().get_changelist_instance(request)
        names = client_names({row.client_id for row in changelist.result_list})
        for row in changelist.result_list:
            row.client_name = names.get(row.client_id, "")
        return changelist

    @admin.display(description="client")
    def client(self, row: Any) -> str:
        """Return the client's name; its id where the client is gone."""
        known = getattr(row, "client_name", None)
        if known is None:
            known = client_names({row.client_id}).get(row.client_id, "")
        return known or str(row.client_id or "–")


@admin.register(Event)
class EventAdmin(NamedClients):
    """Events in their places."""

    viewed_by = EVERYBODY
    list_display = ("position", "type", "severity", "client", "client_seq", "msp_seq", "occurred")
    list_filter = (TypeFilter, ClientFilter, "occurred_at")
    search_fields = ("position__exact", "client_seq__exact")
    search_help_text = "A position in the log, or a seq in a client's stream"
    fields = (
        "position",
        "type",
        "severity",
        "client",
        "client_seq",
        "msp_seq",
        "occurred",
        "connected_then",
        "confirmed_by",
        "payload",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by number; anything else finds nothing."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if not (term.isascii() and term.isdigit() and len(term) <= 18):
            return queryset.none(), False
        return queryset.filter(Q(position=int(term)) | Q(client_seq=int(term))), False

    @admin.display(description="occurred", ordering="occurred_at")
    def occurred(self, event: Event) -> str:
        """Return when it was recorded."""
        return moment(event.occurred_at)

    @admin.display(description="data")
    def payload(self, event: Event) -> SafeString:
        """Return the data as it went out."""
        return pretty(event.data)

    @admin.display(description="connections open then")
    def connected_then(self, event: Event) -> int:
        """Return how many connections followed its stream when it occurred."""
        following = Q(client_id=event.client_id) | Q(client_id=None, msp_id=event.msp_id)
        then = Q(opened_at__lte=event.occurred_at) & (Q(closed_at=None) | Q(closed_at__gt=event.occurred_at))
        return LiveConnection.objects.filter(following & then).count()

    @admin.display(description="users who have confirmed it")
    def confirmed_by(self, event: Event) -> int:
        """Return how many users' clients have told that they got so far."""
        epoch = str(Log.current().epoch)
        places = {(groups.client(event.client_id), event.client_seq)} if event.client_id else set()
        places |= {(groups.msp(event.msp_id), event.msp_seq)} if event.msp_id else set()
        reached = Q(pk__in=[])
        for stream, seq in places:
            reached |= Q(stream=stream, position__gte=seq)
        return Bookmark.objects.filter(reached, epoch=epoch).values("user").distinct().count()


@admin.register(Outbox)
class OutboxAdmin(NamedClients):
    """What was recorded and has no place yet: empty, or nearly, while a publisher works."""

    list_display = ("id", "kind", "client", "key", "recorded")
    list_filter = ("kind", ClientFilter)
    ordering = ("id",)
    fields = ("id", "kind", "client", "key", "tx", "recorded", "payload")

    @admin.display(description="recorded", ordering="recorded_at")
    def recorded(self, row: Outbox) -> str:
        """Return when it was recorded."""
        return moment(row.recorded_at)

    @admin.display(description="facts")
    def payload(self, row: Outbox) -> SafeString:
        """Return what was recorded."""
        return pretty(row.facts)
