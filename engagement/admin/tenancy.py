"""MSPs and their clients."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from engagement.access import Role
from engagement.admin.scoping import NOBODY, ScopedAdmin, ScopedRelatedFilter
from engagement.models import MSP, Client


@admin.register(MSP)
class MSPAdmin(ScopedAdmin):
    """MSPs: made and deleted by superusers."""

    added_by = changed_by = deleted_by = NOBODY
    list_display = ("name", "clients", "created_at")
    ordering = ("name",)  # counting drops the one of the model
    search_fields = ("name",)
    readonly_fields = ("created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MSP]:
        """Count the clients in the same query."""
        msps: QuerySet[MSP] = super().get_queryset(request).annotate(client_count=Count("clients"))
        return msps

    @admin.display(ordering="client_count")
    def clients(self, msp: Any) -> int:
        """Return the number of clients."""
        return int(msp.client_count)


@admin.register(Client)
class ClientAdmin(ScopedAdmin):
    """Clients. One that leaves is suspended; deleting, which takes all it owns, is for superusers."""

    added_by = changed_by = frozenset({Role.MSP_ADMIN})
    deleted_by = NOBODY
    list_display = ("name", "msp", "status", "subscription_tier", "industry", "company_size", "created_at")
    list_filter = ("status", "subscription_tier", ("msp", ScopedRelatedFilter))
    list_select_related = ("msp",)
    search_fields = ("name", "industry", "msp__name")
    autocomplete_fields = ("msp",)
    readonly_fields = ("created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Client | None = None) -> tuple[str, ...]:
        """Let only a superuser hand a client to another MSP."""
        fields = super().get_readonly_fields(request, obj)
        return fields if obj is None or request.user.is_superuser else (*fields, "msp")
