"""Forms of the pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from engagement.actions.alerts import OPEN
from engagement.models import Alert, Client, User

OPEN_ONES = "open"
ANY = "any"


class AlertFilterForm(forms.Form):
    """Which alerts to show. Without parameters: the open ones of all clients that the viewer sees."""

    q = forms.CharField(label="Search", max_length=200, required=False, strip=True)
    severity = forms.ChoiceField(
        choices=[("", "Any severity"), *reversed(Alert.Severity.choices)], required=False
    )
    status = forms.ChoiceField(
        choices=[("", "Open"), (ANY, "Any status"), *Alert.Status.choices], required=False
    )
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="All clients")

    def __init__(self, data: Any, viewer: User) -> None:
        super().__init__(data, auto_id="filter-%s")
        clients: forms.ModelChoiceField[Client] = self.fields["client"]  # type: ignore[assignment]
        clients.queryset = Client.objects.visible_to(viewer).order_by("name", "pk")

    def narrow(self, alerts: QuerySet[Alert]) -> QuerySet[Alert]:
        """Return those of `alerts` that were asked for; none where the question is not a valid one."""
        if not self.is_valid():
            return alerts.none()
        chosen = self.cleaned_data
        if chosen["severity"]:
            alerts = alerts.filter(severity=chosen["severity"])
        if not chosen["status"]:
            alerts = alerts.filter(status__in=OPEN)
        elif chosen["status"] != ANY:
            alerts = alerts.filter(status=chosen["status"])
        if chosen["client"]:
            alerts = alerts.filter(client=chosen["client"])
        for word in chosen["q"].split():
            alerts = alerts.filter(
                Q(details__icontains=word)
                | Q(family__icontains=word)
                | Q(subtype__icontains=word)
                | Q(application__name__icontains=word)
                | Q(agent__name__icontains=word)
            )
        return alerts
