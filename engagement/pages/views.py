"""The pages: who sees which, and what they are rendered from.

A page needs somebody with a scope (`access.scope_of`): an MSP's or a client's user. Everybody else is told what to do
instead. Rows come through querysets that know their viewer, so a foreign client is not found, like an unknown one.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LoginView
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import TemplateView, View

from engagement import access, actions, figures
from engagement.actions.alerts import OPEN
from engagement.errors import EngagementError
from engagement.models import Alert, Client, User
from engagement.pages import listing, recent
from engagement.pages.forms import AlertFilterForm
from engagement.payloads import text

FEED = 30
"""Alerts in a feed."""

PER_PAGE = 25
"""Alerts on a page of the alert centre."""

TOO_MANY_REQUESTS = 429


class SignInView(LoginView):
    """Sign-in. Whoever is signed in already goes on to where they wanted."""

    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Say why not: wrong, or (django-axes) too often wrong."""
        response = super().form_invalid(form)
        if getattr(self.request, "axes_locked_out", False):
            # Taken back, or the middleware of django-axes answers in one bare line.
            self.request.axes_locked_out = False  # type: ignore[attr-defined]
            context = self.get_context_data(form=form, locked_out=True)
            answer = self.render_to_response(context, status=TOO_MANY_REQUESTS)
            answer["Retry-After"] = str(int(settings.AXES_COOLOFF_TIME.total_seconds()))
            return answer
        return response


class ForViewers(LoginRequiredMixin, View):
    """A view for those who have a scope; `viewer` and `scope` are theirs."""

    viewer: User
    scope: access.Scope

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let in who has a scope; send on who has another place to be; tell the others."""
        user = request.user
        if not isinstance(user, User):
            return self.handle_no_permission()
        scope = access.scope_of(user)
        if scope is not None:
            self.viewer, self.scope = user, scope
            return super().dispatch(request, *args, **kwargs)
        if user.is_superuser:
            messages.info(
                request,
                "Your account belongs to no MSP and no client, so there are no pages for it: this is the admin site.",
            )
            return redirect("admin:index")
        return render(request, "pages/no_tenant.html", status=403)


class Page(ForViewers, TemplateView):
    """A page. Its template finds out from `scope` what to offer, and from `section` where it is in the menu."""

    section = "overview"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the viewer's scope and the section."""
        return super().get_context_data(scope=self.scope, section=self.section, **kwargs)


class OverviewView(Page):
    """All clients of the viewer's MSP; a client's user is sent to their client."""

    template_name = "pages/overview.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Render, or send on."""
        if self.scope.client_id is not None:
            return redirect("client", self.scope.client_id)
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the clients' figures, their sums, and the newest alerts."""
        clients = listing.clients(self.viewer)
        return super().get_context_data(
            clients=clients,
            totals=listing.totals(clients),
            alerts=listing.alerts(Alert.objects.visible_to(self.viewer), stop=FEED),
            **kwargs,
        )


class OverviewDataView(ForViewers):
    """The overview's figures for its script, as JSON: `{until, clients}`, rows of `listing.clients` with `recent`.

    `until` is the moment before they were read; `recent` are the counts of `recent.by_client`.
    """

    def get(self, request: HttpRequest) -> JsonResponse:
        """Answer."""
        now = timezone.now()
        counts = recent.by_client(self.viewer, now)
        rows = [row | {"recent": counts.get(row["client_id"], [])} for row in listing.clients(self.viewer)]
        return JsonResponse({"until": text(now), "clients": rows})


class OfClient(ForViewers):
    """A view of one client."""

    client_id: UUID

    def dispatch(self, request: HttpRequest, *args: Any, client_id: UUID, **kwargs: Any) -> HttpResponseBase:
        """Keep the id; the client is looked for once it is known who asks."""
        self.client_id = client_id
        return super().dispatch(request, *args, **kwargs)

    def find(self) -> Client:
        """Return the client; raise Http404 where the viewer does not see it."""
        client = (
            Client.objects.visible_to(self.viewer).select_related("msp").filter(pk=self.client_id).first()
        )
        if client is None:
            raise Http404("There is no such client among those you see.")
        return client


class ClientView(OfClient, Page):
    """A client's dashboard."""

    template_name = "pages/client.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the client, its figures, and its newest alerts."""
        client = self.find()
        dashboard = figures.dashboard(client.pk)
        return super().get_context_data(
            client=client,
            dashboard=dashboard,
            open_alerts_total=sum(dashboard["totals"]["open_alerts"].values()),
            alerts=listing.alerts(Alert.objects.filter(client=client), stop=FEED),
            **kwargs,
        )


class ActivityView(OfClient):
    """What the live chart starts from, as JSON: `{until, series}`, the latter of `recent.by_subject`."""

    def get(self, request: HttpRequest) -> JsonResponse:
        """Answer."""
        now = timezone.now()
        return JsonResponse({"until": text(now), "series": recent.by_subject(self.find().pk, now)})


class AlertsView(Page):
    """The alert centre: all alerts that the viewer sees, filtered and page by page."""

    template_name = "pages/alerts.html"
    section = "alerts"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the filter's form, and the page of alerts that it leads to."""
        form = AlertFilterForm(self.request.GET, self.viewer)
        found = form.narrow(Alert.objects.visible_to(self.viewer)).order_by("-created_at", "-id")
        page = Paginator(found, PER_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(
            form=form,
            page=page,
            alerts=listing.alerts(found, max(page.start_index() - 1, 0), page.end_index()),
            names={str(pk): name for pk, name in form.fields["client"].queryset.values_list("pk", "name")},  # type: ignore[attr-defined]
            open_statuses=sorted(OPEN),
            **kwargs,
        )


class AlertDeedView(ForViewers):
    """What can be done to an alert: POST `deed`, one of `DEEDS`, and `next`, where to go after."""

    http_method_names = ("post", "options")

    DEEDS = {
        "acknowledge": (actions.acknowledge_alert, "You have acknowledged the alert."),
        "assign": (lambda alert, by: actions.assign_alert(alert, by, by), "The alert is yours."),
        "complete": (actions.resolve_alert, "The alert is complete."),
        "reopen": (actions.reopen_alert, "The alert is open again."),
    }

    def post(self, request: HttpRequest, alert_id: UUID) -> HttpResponse:
        """Do it and go back; a refusal is told in the domain's own words."""
        alert = Alert.objects.visible_to(self.viewer).filter(pk=alert_id).first()
        if alert is None:
            raise Http404("There is no such alert among those you see.")
        name = request.POST.get("deed", "")
        if name not in self.DEEDS:
            return HttpResponse(
                f"Say what to do: deed is one of {', '.join(self.DEEDS)}.\n", "text/plain", 400
            )
        deed, done = self.DEEDS[name]
        try:
            deed(alert, self.viewer)
        except EngagementError as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, done)
        return redirect(self._next())

    def _next(self) -> str:
        wanted = self.request.POST.get("next", "")
        if url_has_allowed_host_and_scheme(wanted, {self.request.get_host()}, self.request.is_secure()):
            return wanted
        return reverse("alerts")
