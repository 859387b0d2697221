"""Interactions and their daily roll-ups. Both come from elsewhere: here they are for looking at, and for superusers."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from engagement import actions
from engagement.actions import rollups
from engagement.admin.catalog import TENANT_FILTERS
from engagement.admin.scoping import NOBODY, SameClientForm, ScopedAdmin
from engagement.models import Client, Engagement, Interaction


@admin.register(Interaction)
class InteractionAdmin(ScopedAdmin):
    """Interactions: what happened is not edited. Adding and deleting keep the roll-ups right."""

    form = SameClientForm
    added_by = changed_by = deleted_by = NOBODY
    list_display = (
        "occurred_at",
        "client",
        "application",
        "agent",
        "department",
        "user_ref",
        "count",
        "flagged",
    )
    list_filter = ("flagged", "occurred_at", *TENANT_FILTERS)
    list_select_related = ("client", "application", "agent", "department")
    search_fields = ("user_ref", "application__name", "agent__name", "department__name")
    autocomplete_fields = ("client", "application", "agent", "department")

    def has_change_permission(self, request: HttpRequest, obj: Interaction | None = None) -> bool:
        """Return False: an interaction is a fact."""
        return False

    def save_model(self, request: HttpRequest, obj: Interaction, form: Any, change: bool) -> None:
        """Count a new interaction into its roll-ups."""
        with transaction.atomic():
            rollups.add(obj.client, [obj])
            super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Interaction) -> None:
        """Take an interaction out of its roll-ups."""
        with transaction.atomic():
            super().delete_model(request, obj)
            actions.roll_up(obj.client, _day(obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Interaction]) -> None:
        """Take interactions out of their roll-ups."""
        days: set[tuple[Client, date]] = {
            (row.client, _day(row)) for row in queryset.select_related("client")
        }
        with transaction.atomic():
            super().delete_queryset(request, queryset)
            for client, day in sorted(days, key=lambda found: (found[0].pk, found[1])):
                actions.roll_up(client, day)


@admin.register(Engagement)
class EngagementAdmin(ScopedAdmin):
    """Daily roll-ups."""

    form = SameClientForm
    added_by = changed_by = deleted_by = NOBODY
    fixed_once_saved = ("client", "day", "department", "application", "agent")
    list_display = (
        "day",
        "client",
        "department",
        "application",
        "agent",
        "interactions",
        "active_users",
        "flagged",
        "last_activity",
    )
    list_filter = ("day", *TENANT_FILTERS)
    list_select_related = ("client", "department", "application", "agent")
    search_fields = ("department__name", "application__name", "agent__name", "client__name")
    autocomplete_fields = ("client", "department", "application", "agent")
    date_hierarchy = "day"


def _day(interaction: Interaction) -> date:
    return interaction.occurred_at.astimezone(UTC).date()
