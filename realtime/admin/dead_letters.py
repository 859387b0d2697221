"""Dead letters in the admin site: what could not be published, why, and what an operator may do with it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from realtime.admin.base import ClientFilter, OperatorAdmin, moment
from realtime.admin.log import NamedClients
from realtime.events import dead_letters
from realtime.models import DeadLetter


@admin.register(DeadLetter)
class DeadLetterAdmin(OperatorAdmin, NamedClients):
    """Changes that could not be published. For superusers: what they hold may be of any tenant."""

    change_list_template = "realtime_admin/dead_letters.html"
    list_display = ("id", "kind", "of_client", "error_class", "error_start", "failed", "attempts")
    list_filter = ("kind", "error_class", ClientFilter)
    search_fields = ("error", "facts", "key")
    search_help_text = "A word of the error or of the recorded content"
    ordering = ("-id",)
    fields = (
        "id",
        "kind",
        "of_client",
        "key",
        "tx",
        "recorded",
        "failed",
        "attempts",
        "error_class",
        "error",
        "content",
    )
    actions = ("retry", "discard")

    def get_urls(self) -> list[URLPattern]:
        """Add the address that retries all."""
        view = self.admin_site.admin_view(self.retry_all)
        return [path("retry-all/", view, name="realtime_deadletter_retry_all"), *super().get_urls()]

    def retry_all(self, request: HttpRequest) -> HttpResponse:
        """Retry every dead letter there is (POST)."""
        if request.method == "POST" and self.has_retry_permission(request):
            self.retry(request, DeadLetter.objects.all())
        return HttpResponseRedirect(reverse("admin:realtime_deadletter_changelist"))

    @admin.action(description="Retry: publish them again", permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        """Move the chosen ones back, with all others of their transactions."""
        count = dead_letters.retry(chosen)
        messages.success(
            request, f"{count} change(s) wait to be published again. Those that fail come back here."
        )

    @admin.action(description="Discard: never publish them", permissions=["retry"])
    def discard(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        """Delete the chosen ones, and note who did."""
        viewer: Any = request.user
        LogEntry.objects.log_actions(
            user_id=viewer.pk, queryset=chosen, action_flag=DELETION, change_message="Discarded"
        )
        messages.success(request, f"{dead_letters.discard(chosen)} change(s) discarded.")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the viewer may decide what becomes of them."""
        return bool(request.user.is_active and request.user.is_superuser)

    @admin.display(description="error")
    def error_start(self, letter: DeadLetter) -> str:
        """Return the beginning of the error."""
        return letter.error[:120]

    @admin.display(description="recorded", ordering="recorded_at")
    def recorded(self, letter: DeadLetter) -> str:
        """Return when the change was recorded."""
        return moment(letter.recorded_at)

    @admin.display(description="failed", ordering="failed_at")
    def failed(self, letter: DeadLetter) -> str:
        """Return when it was moved here."""
        return moment(letter.failed_at)

    @admin.display(description="recorded content")
    def content(self, letter: DeadLetter) -> SafeString:
        """Return what was recorded: indented, where it is JSON at all."""
        try:
            text = json.dumps(json.loads(letter.facts), indent=2, ensure_ascii=False)
        except ValueError:
            text = letter.facts
        return format_html('<pre class="payload">{}</pre>', text)
