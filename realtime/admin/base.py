"""What the admins of delivery share: rows that nobody edits, seen by tenant, and lists of any length."""

from __future__ import annotations

import enum
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst

from realtime import portal

MOST_LISTED = 10_000
"""Rows that a list pages through; what is older is found by filters. Counting ten million would take seconds."""


if TYPE_CHECKING:  # generic to the type checker only
    AnyPaginator = Paginator[Any]
    PortalModelAdmin = admin.ModelAdmin[Any]
else:
    AnyPaginator = Paginator
    PortalModelAdmin = portal.base_class("model_admin")


class Viewers(enum.Enum):
    """Whose staff sees a page. Superusers see all."""

    NOBODY = enum.auto()
    ADMINS = enum.auto()
    """Those with a role in the portal's `admin_roles`."""
    EVERYBODY = enum.auto()
    """All with a scope."""


class BoundedPaginator(AnyPaginator):
    """Pages of the first `MOST_LISTED` rows."""

    @cached_property
    def count(self) -> int:
        """The number of rows, up to `MOST_LISTED`."""
        rows = self.object_list
        return rows[:MOST_LISTED].count() if isinstance(rows, QuerySet) else len(rows)


def tenant_condition(viewer: Any) -> Q:
    """Return the condition on rows with a bare `client_id` that `viewer` sees their client."""
    if portal.is_superuser(viewer):
        return Q()
    return Q(client_id__in=portal.current().visible_clients(viewer).values("pk"))


def moment(at: datetime | None) -> str:
    """Return a time to the second, short enough for a list: what an engineer compares with a log."""
    if at is None:
        return "–"
    told = timezone.localtime(at)
    return format_html('<time datetime="{}">{}</time>', told.isoformat(), f"{told:%Y-%m-%d %H:%M:%S}")


class ClientFilter(admin.SimpleListFilter):
    """By client, out of those that the viewer sees."""

    title = "client"
    parameter_name = "client"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices, by name."""
        seen = portal.current().visible_clients(request.user)
        return sorted(((str(client.pk), str(client)) for client in seen), key=itemgetter(1))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen client."""
        chosen = self.value()
        if chosen is None:
            return queryset
        key = portal.current().client_key(chosen)
        return queryset.none() if key is None else queryset.filter(client_id=key)


class ReadOnlyAdmin(PortalModelAdmin):
    """Rows to look at, by `viewed_by` and by superusers."""

    viewed_by: ClassVar[Viewers] = Viewers.ADMINS
    change_list_template = "realtime_admin/list.html"
    change_form_template = "realtime_admin/detail.html"
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # would count each filter's rows
    list_per_page = 50
    actions: Any = None

    class Media:
        css = {"all": ("realtime_admin/admin.css",)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Call the list what it lists, and offer the pages beside it to who may see them."""
        offered = may(request, Viewers.ADMINS)
        context = {
            "title": capfirst(self.opts.verbose_name_plural),
            "pages_offered": offered,
            "portal_pages": portal.current().admin_pages if offered else (),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return whether the viewer's role may look."""
        return may(request, self.viewed_by) or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether there is anything to look at."""
        return may(request, self.viewed_by) or super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: delivery makes these rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return False: they are facts."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return False: they go with retention."""
        return False


class OperatorAdmin(ReadOnlyAdmin):
    """Rows for superusers alone: their numbers count what happens at every tenant, so no permission opens them."""

    viewed_by = Viewers.NOBODY

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return whether the viewer is a superuser."""
        return bool(request.user.is_active and request.user.is_superuser)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return the same."""
        return self.has_view_permission(request)


def may(request: HttpRequest, viewers: Viewers) -> bool:
    """Return whether the viewer is a superuser, or staff and one of `viewers`."""
    user: Any = request.user
    if not user.is_active or not user.is_staff:
        return False
    if portal.is_superuser(user):
        return True
    scope = portal.current().scope_of(user)
    if scope is None or viewers is Viewers.NOBODY:
        return False
    return viewers is Viewers.EVERYBODY or scope.role in portal.current().admin_roles
