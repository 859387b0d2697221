"""Alerts, comfortable to inspect and to work off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from engagement import access, actions
from engagement.actions.alerts import check_change
from engagement.admin.catalog import TENANT_FILTERS
from engagement.admin.export import csv_response, newest_first
from engagement.admin.scoping import EVERYBODY, SameClientForm, ScopedAdmin, viewer_of
from engagement.admin.test_event import send_test_event
from engagement.bounds import check_frameworks, framework_names
from engagement.errors import EngagementError
from engagement.models import Alert, OriginalDetails, User

WORKED_ON = ("status", "assignee")
"""Fields that change by `actions.change_alert`, with its rules."""

EXPORTED = (
    "id",
    "created_at",
    "severity",
    "status",
    "msp",
    "client",
    "app",
    "family",
    "subtype",
    "details",
    "users_affected",
    "count",
    "frameworks",
    "assignee",
    "acknowledged_by",
    "acknowledged_at",
)


class AlertForm(SameClientForm):
    """An alert's form: status and assignee follow the same rules as everywhere else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "assignee" in self.fields:
            people = User.objects.filter(access.viewer_filter(self.instance.client))
            # Whoever is assigned stays a choice, even where they see the client no more.
            self.fields["assignee"].queryset = people | User.objects.filter(pk=self.instance.assignee_id)  # type: ignore[attr-defined]

    def clean_frameworks(self) -> list[str]:
        """Refuse what is no list of names; nothing is an empty one."""
        frameworks: list[str] = self.cleaned_data["frameworks"] or []
        check_frameworks(frameworks)
        return frameworks

    def clean(self) -> dict[str, Any]:
        """Refuse a status that the assignee, or the status so far, contradicts."""
        values = super().clean()
        if self.changes() and not self.errors:
            try:
                check_change(Alert.objects.get(pk=self.instance.pk), **self.changes())
            except EngagementError as error:
                self.add_error(None, str(error))
        return values

    def changes(self) -> dict[str, Any]:
        """Return what is asked of `change_alert`."""
        return {name: self.cleaned_data.get(name) for name in WORKED_ON if name in self.changed_data}


@admin.register(Alert)
class AlertAdmin(ScopedAdmin):
    """Alerts."""

    form = AlertForm
    changed_by = EVERYBODY
    fixed_once_saved = ("client",)
    list_display = (
        "badge",
        "short_details",
        "subject",
        "client",
        "status",
        "assignee",
        "users_affected",
        "count",
        "acknowledged_by",
        "created_at",
    )
    list_display_links = ("badge", "short_details")
    list_filter = ("severity", "status", "asset_kind", *TENANT_FILTERS, "created_at")
    list_select_related = ("client", "application", "agent", "assignee", "acknowledged_by")
    list_per_page = 50
    search_fields = (
        "details",
        "family",
        "subtype",
        "application__name",
        "agent__name",
        "client__name",
        "assignee__username",
    )
    autocomplete_fields = ("client", "application", "agent")
    readonly_fields = ("acknowledged_by", "acknowledged_at", "created_at", "updated_at", "whole_details")
    date_hierarchy = "created_at"
    actions = ("assign_to_me", "mark_complete", "reopen", "acknowledge", "export_csv")

    def get_urls(self) -> list[URLPattern]:
        """Add the page that sends a test event."""
        view = self.admin_site.admin_view(send_test_event)
        return [path("test-event/", view, name="engagement_test_event"), *super().get_urls()]

    @admin.display(description="severity", ordering="severity")
    def badge(self, alert: Alert) -> SafeString:
        """Return the severity, coloured by the style sheet."""
        return format_html(
            '<span class="severity severity-{}">{}</span>', alert.severity, alert.get_severity_display()
        )

    @admin.display(description="details")
    def short_details(self, alert: Alert) -> str:
        """Return the first words of the details."""
        return alert.details if len(alert.details) <= 80 else f"{alert.details[:79]}…"

    @admin.display(description="original details")
    def whole_details(self, alert: Alert) -> str:
        """Return the details of an alert that is older than their bound; its own are cut."""
        original = OriginalDetails.objects.filter(alert=alert).first()
        return original.text if original else "–"

    @admin.display(description="about")
    def subject(self, alert: Alert) -> str:
        """Return the application or agent."""
        return str(alert.application or alert.agent or "–")

    def get_exclude(self, request: HttpRequest, obj: Alert | None = None) -> tuple[str, ...]:
        """Leave out of a new alert's form what is done to it later."""
        return () if obj else (*WORKED_ON, "acknowledged_by", "acknowledged_at", "whole_details")

    def get_readonly_fields(self, request: HttpRequest, obj: Alert | None = None) -> tuple[str, ...]:
        """Show what is done to an alert only once there is one."""
        return super().get_readonly_fields(request, obj) if obj else ()

    def save_model(self, request: HttpRequest, obj: Alert, form: Any, change: bool) -> None:
        """Save; status and assignee by the action, which locks the row and keeps its rules."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        rest = [name for name in form.changed_data if name not in WORKED_ON]
        with transaction.atomic():
            if rest:
                obj.save(update_fields=[*rest, "updated_at"])
            if changes := form.changes():
                try:
                    actions.change_alert(obj, viewer_of(request), **changes)
                except EngagementError as error:  # somebody else changed it since the form was checked
                    self.message_user(request, f"{obj}: {error}", messages.ERROR)

    @admin.action(description="Assign to me", permissions=["change"])
    def assign_to_me(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Assign the chosen alerts to the viewer."""
        me = viewer_of(request)
        self._each(request, queryset, "Assigned", lambda alert: actions.assign_alert(alert, me, me))

    @admin.action(description="Mark complete", permissions=["change"])
    def mark_complete(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Resolve the chosen alerts."""
        me = viewer_of(request)
        self._each(request, queryset, "Completed", lambda alert: actions.resolve_alert(alert, me))

    @admin.action(description="Reopen", permissions=["change"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Open the chosen alerts again."""
        me = viewer_of(request)
        self._each(request, queryset, "Reopened", lambda alert: actions.reopen_alert(alert, me))

    @admin.action(description="Acknowledge", permissions=["change"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Note that the viewer has seen the chosen alerts."""
        me = viewer_of(request)
        self._each(request, queryset, "Acknowledged", lambda alert: actions.acknowledge_alert(alert, me))

    @admin.action(description="Export as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Alert]) -> StreamingHttpResponse:
        """Download the chosen alerts."""
        alerts = queryset.select_related("client__msp", *self.list_select_related)
        name = f"alerts-{timezone.now():%Y-%m-%d}.csv"
        return csv_response(request, name, EXPORTED, (_exported(alert) for alert in newest_first(alerts)))

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Alert], done: str, deed: Callable[[Alert], Alert]
    ) -> None:
        """Do `deed` to each alert; say how many went well, and why others did not."""
        refusals: dict[str, int] = {}
        count = 0
        for alert in queryset.order_by("pk"):
            try:
                deed(alert)
                count += 1
            except EngagementError as error:
                refusals[str(error)] = refusals.get(str(error), 0) + 1
        if count:
            self.message_user(request, f"{done} {count} alert{'s' if count != 1 else ''}.", messages.SUCCESS)
        for why, times in refusals.items():
            self.message_user(request, f"{why} ({times}×)" if times > 1 else why, messages.WARNING)


def _exported(alert: Alert) -> tuple[Any, ...]:
    return (
        alert.pk,
        alert.created_at.isoformat(),
        alert.severity,
        alert.status,
        alert.client.msp.name,
        alert.client.name,
        str(alert.application or alert.agent or ""),
        alert.family,
        alert.subtype,
        alert.details,
        alert.users_affected,
        alert.count,
        ", ".join(framework_names(alert.frameworks)),
        alert.assignee.username if alert.assignee else "",
        alert.acknowledged_by.username if alert.acknowledged_by else "",
        alert.acknowledged_at.isoformat() if alert.acknowledged_at else "",
    )
