"""Alerts on security and compliance."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone

from engagement.bounds import (
    MAX_DETAILS,
    check_frameworks,
    details_length,
    no_null_character,
    one_of,
    whole_number,
)
from engagement.models.base import TrackedRow, TrackedRows
from engagement.models.catalog import Agent, Application
from engagement.models.tenancy import Client
from realtime.capture.tracking import Told


class Alert(TrackedRow):
    """Something about an application or agent that somebody must look at."""

    told = Told(
        columns=(
            "client_id",
            "application_id",
            "agent_id",
            "asset_kind",
            "family",
            "subtype",
            "severity",
            "details",
            "users_affected",
            "count",
            "frameworks",
            "status",
            "assignee_id",
            "acknowledged_by_id",
            "acknowledged_at",
            "created_at",
            "updated_at",
        ),
        both_sides=("client_id",),
        others="by key",
    )

    class Severity(models.TextChoices):
        """How bad, mildest first."""

        LOW = "low"
        MEDIUM = "medium"
        HIGH = "high"
        CRITICAL = "critical"

    class Status(models.TextChoices):
        """How far the work on it is."""

        UNASSIGNED = "Unassigned"
        PENDING = "Pending"
        COMPLETE = "Complete"
        AI_RESOLVED = "AI Resolved", "AI Resolved"

    class AssetKind(models.TextChoices):
        """What kind of thing it is about."""

        APPLICATION = "application"
        AGENT = "agent"

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="alerts")
    application = models.ForeignKey(
        Application, on_delete=models.SET_NULL, null=True, blank=True, related_name="alerts"
    )
    agent = models.ForeignKey(Agent, on_delete=models.SET_NULL, null=True, blank=True, related_name="alerts")
    asset_kind = models.CharField(max_length=16, choices=AssetKind.choices, default=AssetKind.APPLICATION)
    family = models.CharField(
        max_length=100,
        blank=True,
        validators=[no_null_character],
        help_text="What kind of risk: Data loss, Usage, Compliance",
    )
    subtype = models.CharField(max_length=100, blank=True, validators=[no_null_character])
    severity = models.CharField(max_length=16, choices=Severity.choices, default=Severity.MEDIUM)
    details = models.TextField(
        blank=True, max_length=MAX_DETAILS, validators=[details_length, no_null_character]
    )
    users_affected = models.PositiveIntegerField(default=0, validators=whole_number)
    count = models.PositiveIntegerField(default=1, validators=whole_number, help_text="How often it happened")
    frameworks = models.JSONField(
        default=list,
        blank=True,
        validators=[check_frameworks],
        help_text='Compliance frameworks: ["GDPR", "SOC 2"]',
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.UNASSIGNED)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="assigned_alerts",
    )
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="acknowledged_alerts",
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TrackedRows.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        base_manager_name = "objects"
        indexes: ClassVar = [
            models.Index(fields=("client", "-created_at"), name="alert_by_client"),
            models.Index(fields=("client", "status", "severity"), name="alert_by_client_and_status"),
            models.Index(fields=("-created_at", "-id"), name="alert_newest_first"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="alert_of_application_or_agent_not_both",
                condition=Q(application__isnull=True) | Q(agent__isnull=True),
                violation_error_message="An alert is about an application or about an agent, not both.",
            ),
            one_of("severity", ("low", "medium", "high", "critical"), "alert_severity_known"),
            one_of("status", ("Unassigned", "Pending", "Complete", "AI Resolved"), "alert_status_known"),
            one_of("asset_kind", ("application", "agent"), "alert_asset_kind_known"),
            models.CheckConstraint(
                name="alert_details_bounded",
                condition=LessThanOrEqual(Length("details"), MAX_DETAILS),
                violation_error_message=f"Details have at most {MAX_DETAILS:,} characters.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.severity}: {self.details[:60]}"


class OriginalDetails(models.Model):
    """The whole details of an alert that was older than their bound; the alert's own are cut.

    Filled by a migration only. Nothing publishes it: the admin site shows it to who sees the alert.
    """

    alert = models.OneToOneField(
        Alert, on_delete=models.CASCADE, primary_key=True, related_name="original_details"
    )
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:60]
