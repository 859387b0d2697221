"""Use of AI services: each interaction, and its daily roll-up."""

from __future__ import annotations

from typing import ClassVar, Literal

from django.db import models
from django.db.models import Q
from django.utils import timezone

from engagement.models.base import TrackedRow, TrackedRows
from engagement.models.catalog import Agent, Application, Department
from engagement.models.tenancy import Client
from realtime.capture.tracking import Told


class Interaction(TrackedRow):
    """`count` uses of one application or agent, by one person of a department, at a time.

    Rows come by the million, so none of its keys has an index of its own where an index in `Meta` begins with it, and
    an index of a subject leaves out the rows of other subjects. The database does not check the client: it checks the
    application or agent, which is there only as long as its client is.
    """

    _columns = ("count", "flagged", "application_id", "agent_id", "client_id", "occurred_at")
    told = Told(columns=_columns, both_sides=_columns, others="untold")

    client = models.ForeignKey(
        Client, on_delete=models.CASCADE, related_name="interactions", db_index=False, db_constraint=False
    )
    application = models.ForeignKey(
        Application,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="interactions",
        db_index=False,
    )
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="interactions", db_index=False
    )
    department = models.ForeignKey(
        Department, on_delete=models.SET_NULL, null=True, blank=True, related_name="interactions"
    )
    user_ref = models.CharField(
        "user", max_length=200, blank=True, help_text="The client's employee, as the AI service names them"
    )
    count = models.PositiveIntegerField(default=1)
    flagged = models.BooleanField(default=False)
    occurred_at = models.DateTimeField(default=timezone.now)

    objects = TrackedRows.as_manager()

    class Meta:
        ordering = ("-occurred_at",)
        base_manager_name = "objects"
        indexes: ClassVar = [
            models.Index(fields=("client", "-occurred_at"), name="interaction_by_client"),
            models.Index(
                fields=("application", "occurred_at"),
                include=("count",),
                condition=Q(application__isnull=False),
                name="interaction_by_application",
            ),
            models.Index(
                fields=("agent", "occurred_at"),
                include=("count",),
                condition=Q(agent__isnull=False),
                name="interaction_by_agent",
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="interaction_with_application_or_agent",
                condition=Q(application__isnull=False, agent__isnull=True)
                | Q(application__isnull=True, agent__isnull=False),
                violation_error_message="An interaction is with an application or with an agent: name one of them.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.count} × {self.application or self.agent}"


class Engagement(TrackedRow):
    """One day's roll-up for one subject of a client: a department, an application or an agent."""

    _columns = ("client_id", "department_id", "application_id", "agent_id")
    told = Told(columns=_columns, both_sides=_columns, others="by value")

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="engagements")
    day = models.DateField()
    department = models.ForeignKey(
        Department, on_delete=models.CASCADE, null=True, blank=True, related_name="engagements"
    )
    application = models.ForeignKey(
        Application, on_delete=models.CASCADE, null=True, blank=True, related_name="engagements"
    )
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="engagements"
    )
    interactions = models.PositiveBigIntegerField(default=0)
    active_users = models.PositiveBigIntegerField(default=0)
    flagged = models.PositiveBigIntegerField(default=0)
    last_activity = models.DateTimeField(null=True, blank=True)

    objects = TrackedRows.as_manager()

    class Meta:
        ordering = ("-day",)
        base_manager_name = "objects"
        indexes: ClassVar = [models.Index(fields=("client", "day"), name="engagement_by_client")]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="engagement_of_one_subject",
                condition=Q(department__isnull=False, application__isnull=True, agent__isnull=True)
                | Q(department__isnull=True, application__isnull=False, agent__isnull=True)
                | Q(department__isnull=True, application__isnull=True, agent__isnull=False),
                violation_error_message="A roll-up is of one department, one application or one agent.",
            ),
            models.UniqueConstraint(
                fields=("department", "day"), name="engagement_once_per_department_and_day"
            ),
            models.UniqueConstraint(
                fields=("application", "day"), name="engagement_once_per_application_and_day"
            ),
            models.UniqueConstraint(fields=("agent", "day"), name="engagement_once_per_agent_and_day"),
        ]

    def __str__(self) -> str:
        return f"{self.department or self.application or self.agent} on {self.day}"

    @property
    def subject_kind(self) -> Literal["department", "application", "agent"]:
        """What this roll-up is of."""
        if self.department_id:
            return "department"
        return "application" if self.application_id else "agent"


class ActiveUser(models.Model):
    """Somebody counted in a roll-up's `active_users`: that they are counted once is this table's constraint.

    Finding out from the interactions whether a person was seen today would read all of the person's day, per batch; the
    day of a busy client is millions of rows.
    """

    engagement = models.ForeignKey(
        Engagement, on_delete=models.CASCADE, related_name="counted_users", db_index=False
    )
    user_ref = models.CharField(max_length=200)

    class Meta:
        constraints: ClassVar = [
            # Also the index by which a roll-up's people are found, hence no second one on `engagement`.
            models.UniqueConstraint(
                fields=("engagement", "user_ref"), name="active_user_once_per_engagement"
            ),
        ]

    def __str__(self) -> str:
        return self.user_ref
