"""Departments, applications and agents."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from engagement.admin.scoping import SameClientForm, ScopedAdmin, ScopedRelatedFilter
from engagement.models import Agent, Application, Department

TENANT_FILTERS = (("client", ScopedRelatedFilter), ("client__msp", ScopedRelatedFilter))


class CatalogAdmin(ScopedAdmin):
    """What a client has."""

    form = SameClientForm
    fixed_once_saved = ("client",)
    list_select_related = ("client",)
    autocomplete_fields: ClassVar[tuple[str, ...]] = ("client",)


@admin.register(Department)
class DepartmentAdmin(CatalogAdmin):
    """Departments."""

    list_display = ("name", "client")
    list_filter = TENANT_FILTERS
    search_fields = ("name", "client__name")


@admin.register(Application)
class ApplicationAdmin(CatalogAdmin):
    """AI applications."""

    list_display = ("name", "client", "vendor", "status", "risk_tolerance", "created_at")
    list_filter = ("status", *TENANT_FILTERS)
    search_fields = ("name", "vendor", "client__name")
    readonly_fields = ("created_at",)


@admin.register(Agent)
class AgentAdmin(CatalogAdmin):
    """AI agents."""

    list_display = ("name", "client", "vendor", "deployed", "created_at")
    list_filter = ("deployed", *TENANT_FILTERS)
    search_fields = ("name", "vendor", "client__name")
    autocomplete_fields = ("client", "associated_apps")
    readonly_fields = ("created_at",)
