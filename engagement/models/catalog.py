"""What a client has: departments, applications and agents."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now

from engagement.bounds import one_of
from engagement.models.base import UUIDModel, scoped_manager
from engagement.models.tenancy import Client


class Department(UUIDModel):
    """A part of a client company."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="departments")
    name = models.CharField(max_length=200)

    objects = scoped_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("client", "name"), name="department_name_once_per_client"),
        ]

    def __str__(self) -> str:
        return self.name


class Application(UUIDModel):
    """An AI application that people of a client use: ChatGPT, Copilot."""

    class Status(models.TextChoices):
        """Whether the client allows it."""

        PERMITTED = "Permitted"
        UNSANCTIONED = "Unsanctioned"

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="applications")
    name = models.CharField(max_length=200)
    vendor = models.CharField(max_length=200, blank=True)
    icon = models.CharField(max_length=200, blank=True, help_text="Name of the icon, or an emoji")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PERMITTED)
    risk_tolerance = models.PositiveSmallIntegerField(
        default=50, validators=[MinValueValidator(0), MaxValueValidator(100)], help_text="0 (none) to 100"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = scoped_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("client", "name"), name="application_name_once_per_client"),
            one_of("status", ("Permitted", "Unsanctioned"), "application_status_known"),
        ]

    def __str__(self) -> str:
        return self.name


class Agent(UUIDModel):
    """An AI agent that works for a client, with the applications it works in."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="agents")
    name = models.CharField(max_length=200)
    vendor = models.CharField(max_length=200, blank=True)
    icon = models.CharField(max_length=200, blank=True, help_text="Name of the icon, or an emoji")
    deployed = models.BooleanField(default=True)
    associated_apps = models.ManyToManyField(Application, blank=True, related_name="agents")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = scoped_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("client", "name"), name="agent_name_once_per_client"),
        ]

    def __str__(self) -> str:
        return self.name
