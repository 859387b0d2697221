"""The single-page dashboard: one document for `/app/` and every address below it.

The rest is the browser's.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from engagement import access
from engagement.api.auth import me
from engagement.models import User
from realtime.positions import positions_before


@method_decorator(never_cache, name="dispatch")
class SpaView(LoginRequiredMixin, TemplateView):
    """The SPA's document, with what its script begins from: who looks, and where their stream stands.

    The positions are older than any snapshot that the script fetches, so a socket that resumes from them
    leaves no hole. Whoever has no scope is treated as on the other pages: a superuser goes to the admin site,
    others are told why.
    """

    template_name = "app.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer with the document, whatever the path: the script reads it."""
        user = request.user
        if access.scope_of(user) is None:
            if user.is_superuser:
                return redirect("admin:index")
            return render(request, "pages/no_tenant.html", status=403)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add `boot`: `{me, positions, epoch}`, `me` as `GET me` answers."""
        user = self.request.user
        if not isinstance(user, User):
            raise TypeError(f"a signed-in request has a User, not {user!r}")
        boot = positions_before(user) | {"me": me(user)}
        return super().get_context_data(boot=boot, **kwargs)
