"""The event log and what waits to be placed in it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from realtime import portal
from realtime.admin.base import (
    ClientFilter,
    OperatorAdmin,
    ReadOnlyAdmin,
    Viewers,
    moment,
    tenant_condition,
)
from realtime.events import rendering
from realtime.models import Bookmark, Event, LiveConnection, Log, Outbox
from realtime.protocol import groups
from realtime.protocol.inbound import EVENT_TOPICS


def pretty(text: str) -> SafeString:
    """Return JSON text, indented."""
    return format_html(
        '<pre class="payload">{}</pre>', json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    )


class TypeFilter(admin.SimpleListFilter):
    """By type of event."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the types; changes of access only for those who see them."""
        types = [*sorted(EVENT_TOPICS), *([rendering.ACCESS] if portal.is_superuser(request.user) else [])]
        return [(name, name.replace("_", " ")) for name in types]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class NamedClients(ReadOnlyAdmin):
    """Rows with a bare `client_id`, whose names are read once for a page."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the viewer's clients."""
        rows: QuerySet[Any] = super().get_queryset(request).filter(tenant_condition(request.user))
        return rows

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the names of the page's clients."""
        changelist = super().get_changelist_instance(request)
        names = portal.current().client_names({row.client_id for row in changelist.result_list})
        for row in changelist.result_list:
            row.client_name = names.get(row.client_id, "")
        return changelist

    @admin.display(description="client")
    def of_client(self, row: Any) -> str:
        """Return the client's name; its id where the client is gone."""
        known = getattr(row, "client_name", None)
        if known is None:
            known = portal.current().client_names({row.client_id}).get(row.client_id, "")
        return known or str(row.client_id or "–")


def _naming_events(base: type[ChangeList]) -> type[ChangeList]:
    """Return a list whose addresses name events by the key that `EventAdmin` gave them."""

    def url_for_result(self: ChangeList, result: Any) -> str:
        return reverse("admin:realtime_event_change", args=(quote(result.admin_key),))

    return type("EventList", (base,), {"url_for_result": url_for_result})


@admin.register(Event)
class EventAdmin(NamedClients):
    """Events in their places.

    How many there are of other tenants is nobody's business but a superuser's: others see an event's number in its
    client's stream, and no address, search or filter tells them more.
    """

    ACROSS_TENANTS = frozenset({"position", "msp_seq"})

    viewed_by = Viewers.EVERYBODY
    list_display = ("position", "type", "severity", "of_client", "client_seq", "msp_seq", "occurred")
    list_filter = (TypeFilter, ClientFilter, "occurred_at")
    search_fields = ("position__exact", "client_seq__exact")
    search_help_text = "A seq in a client's stream"
    fields = (
        "position",
        "type",
        "severity",
        "of_client",
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
        wanted = Q(client_seq=int(term))
        if portal.is_superuser(request.user):
            wanted |= Q(position=int(term))
        return queryset.filter(wanted), False

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns that the viewer may see."""
        return self._shown(request, super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: Any | None = None) -> Any:
        """Return the fields that the viewer may see."""
        return self._shown(request, super().get_fields(request, obj))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Refuse filters by numbers that the viewer may not see."""
        across = lookup.split("__")[0] in {"pk", *self.ACROSS_TENANTS}
        if across and (request is None or not portal.is_superuser(request.user)):
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that names events as the viewer may see them."""
        return _naming_events(super().get_changelist(request, **kwargs))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Give the page's events their names in addresses."""
        changelist = super().get_changelist_instance(request)
        of_all = portal.is_superuser(request.user)
        for event in changelist.result_list:
            event.admin_key = str(event.pk) if of_all else f"{event.client_id}.{event.client_seq}"
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the event of an address, by its client and its number there; a superuser's also by position."""
        client_id, dot, seq = object_id.partition(".")
        if not dot:
            superuser = portal.is_superuser(request.user)
            return super().get_object(request, object_id, from_field) if superuser else None
        key = portal.current().client_key(client_id)
        if key is None or not seq.isdecimal():
            return None
        return self.get_queryset(request).filter(client_id=key, client_seq=int(seq[:18])).first()

    def _shown(self, request: HttpRequest, names: Any) -> list[Any]:
        hidden = frozenset() if portal.is_superuser(request.user) else self.ACROSS_TENANTS
        return [name for name in names if name not in hidden]

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
class OutboxAdmin(OperatorAdmin, NamedClients):
    """What was recorded and has no place yet: empty, or nearly, while a publisher works."""

    list_display = ("id", "kind", "of_client", "key", "recorded")
    list_filter = ("kind", ClientFilter)
    ordering = ("id",)
    fields = ("id", "kind", "of_client", "key", "tx", "recorded", "payload")

    @admin.display(description="recorded", ordering="recorded_at")
    def recorded(self, row: Outbox) -> str:
        """Return when it was recorded."""
        return moment(row.recorded_at)

    @admin.display(description="facts")
    def payload(self, row: Outbox) -> SafeString:
        """Return what was recorded."""
        return pretty(row.facts)
