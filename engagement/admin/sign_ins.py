"""Sign-ins, tried and made, as django-axes keeps them. Of every tenant's people, so for superusers alone."""

from __future__ import annotations

from typing import Any

from axes import admin as axes_admin
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.http import HttpRequest

from engagement.admin.scoping import BoundedSearch


class SuperusersOnly:
    """An admin that no permission opens."""

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return whether the viewer is a superuser."""
        return bool(request.user.is_active and request.user.is_superuser)

    has_change_permission = has_delete_permission = has_view_permission

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return the same."""
        return self.has_view_permission(request)


admin.site.unregister([AccessAttempt, AccessLog, AccessFailureLog])


@admin.register(AccessAttempt)
class AccessAttemptAdmin(SuperusersOnly, BoundedSearch, axes_admin.AccessAttemptAdmin):
    """Failed sign-ins that count towards a lock."""


@admin.register(AccessLog)
class AccessLogAdmin(SuperusersOnly, BoundedSearch, axes_admin.AccessLogAdmin):
    """Sign-ins."""


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(SuperusersOnly, BoundedSearch, axes_admin.AccessFailureLogAdmin):
    """Failed sign-ins, each."""
