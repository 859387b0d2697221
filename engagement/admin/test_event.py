"""A page that makes an event happen, to see it arrive: by the actions of every other door."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from engagement import actions
from engagement.admin.scoping import ADMINS, may, viewer_of
from engagement.errors import EngagementError
from engagement.models import Alert, Application, Client, User


class TestEventForm(forms.Form):
    """What to make happen, and to which client."""

    __test__ = False  # not a test of pytest's

    kind = forms.ChoiceField(
        choices=[("alert", "An alert is raised"), ("interaction", "An application is used")], label="Event"
    )
    client = forms.ModelChoiceField(Client.objects.none())
    application = forms.CharField(
        required=False, label="Application", help_text="By name; empty: the client's first one"
    )
    severity = forms.ChoiceField(choices=Alert.Severity.choices, initial=Alert.Severity.MEDIUM)
    details = forms.CharField(initial="Test event from the admin site", max_length=500, widget=forms.Textarea)
    count = forms.IntegerField(
        initial=1, min_value=1, max_value=1000, label="Uses", help_text="Of an interaction"
    )

    def __init__(self, viewer: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["client"]
        field.queryset = Client.objects.visible_to(viewer).order_by("name")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Find the application among the client's own."""
        values = super().clean() or self.cleaned_data
        client = values.get("client")
        if client is None:
            return values
        mine = Application.objects.filter(client=client).order_by("name")
        name = values.get("application", "").strip()
        values["application"] = mine.filter(name__iexact=name).first() if name else mine.first()
        if name and values["application"] is None:
            known = ", ".join(mine.values_list("name", flat=True)[:10]) or "none"
            self.add_error("application", f"{client} has no application {name!r}. It has: {known}.")
        elif values.get("kind") == "interaction" and values["application"] is None:
            self.add_error("application", f"{client} has no applications, so nobody can have used one.")
        return values

    def send(self) -> str:
        """Make it happen. Return what happened, in words."""
        given = self.cleaned_data
        if given["kind"] == "alert":
            actions.raise_alert(
                given["client"],
                severity=given["severity"],
                details=given["details"],
                application=given["application"],
            )
            return f"Raised a {given['severity']} alert for {given['client']}."
        actions.record_interactions(
            given["client"], [actions.Use(application=given["application"], count=given["count"])]
        )
        return f"Recorded {given['count']} use(s) of {given['application']} by {given['client']}."


def send_test_event(request: HttpRequest) -> HttpResponse:
    """Show the form; make its event happen."""
    if not may(request, ADMINS):
        raise PermissionDenied
    form = TestEventForm(viewer_of(request), request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            done = form.send()
        except EngagementError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{done} Open dashboards of it show it now.")
            return redirect("admin:engagement_test_event")
    context = {**admin.site.each_context(request), "title": "Send a test event", "form": form}
    return render(request, "engagement/admin/test_event.html", context)
