"""Forms of the pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet

from engagement.actions.alerts import OPEN
from engagement.errors import InvalidValue
from engagement.models import Alert, Client, User
from engagement.searching import MAX_LENGTH, search_alerts, words

OPEN_ONES = "open"
ANY = "any"


class AlertFilterForm(forms.Form):
    """Which alerts to show. Without parameters: the open ones of all clients that the viewer sees."""

    q = forms.CharField(label="Search", max_length=MAX_LENGTH, required=False, strip=True)
    severity = forms.ChoiceField(
        choices=[("", "Any severity"), *reversed(Alert.Severity.choices)], required=False
    )
    status = forms.ChoiceField(
        choices=[("", "Open"), (ANY, "Any status"), *Alert.Status.choices], required=False
    )
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="All clients")

    def __init__(self, data: Any, viewer: User) -> None:
        if "search" in data and "q" not in data:  # the name that the API gives it
            data = data.copy()
            data["q"] = data["search"]
        super().__init__(data, auto_id="filter-%s")
        clients: forms.ModelChoiceField[Client] = self.fields["client"]  # type: ignore[assignment]
        clients.queryset = Client.objects.visible_to(viewer).order_by("name", "pk")

    def clean_q(self) -> str:
        """Refuse a search that is too much work."""
        text: str = self.cleaned_data["q"]
        try:
            words(text)
        except InvalidValue as error:
            raise forms.ValidationError(str(error)) from error
        return text

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
        return search_alerts(alerts, chosen["q"])
