"""MSPs, the clients they look after, and the users of both."""

from __future__ import annotations

from typing import ClassVar, Self

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from engagement import access
from engagement.bounds import one_of
from engagement.models.base import AccessRow, UUIDModel
from realtime.capture.access_rows import AccessQuerySet
from realtime.capture.deleting import TellingQuerySet


class MSP(UUIDModel):
    """A managed service provider: it looks after clients."""

    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TellingQuerySet["MSP"].as_manager()

    class Meta:
        verbose_name = "MSP"
        verbose_name_plural = "MSPs"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class ClientQuerySet(AccessQuerySet["Client"]):
    """Clients, with the viewer's eyes."""

    def visible_to(self, viewer: User | AnonymousUser) -> Self:
        """Return the clients that `viewer` may see."""
        return self.filter(access.client_filter(viewer))


class Client(AccessRow):
    """A tenant company, looked after by one MSP."""

    access_fields = ("msp",)
    told_as = "client_ids"

    class Status(models.TextChoices):
        """Where the client stands with its MSP."""

        ACTIVE = "active"
        TRIAL = "trial"
        SUSPENDED = "suspended"

    class Tier(models.TextChoices):
        """What the client subscribes to."""

        BASIC = "basic"
        PROFESSIONAL = "professional"
        ENTERPRISE = "enterprise"

    msp = models.ForeignKey(MSP, on_delete=models.CASCADE, related_name="clients")
    name = models.CharField(max_length=200)
    industry = models.CharField(max_length=100, blank=True)
    company_size = models.CharField(
        max_length=50, blank=True, help_text="Number of employees, as a range: 51-200"
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    subscription_tier = models.CharField(max_length=16, choices=Tier.choices, default=Tier.PROFESSIONAL)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ClientQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"  # what `msp.clients` and other relations write by
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("msp", "name"), name="client_name_once_per_msp"),
            one_of("status", ("active", "trial", "suspended"), "client_status_known"),
            one_of("subscription_tier", ("basic", "professional", "enterprise"), "client_tier_known"),
        ]

    def __str__(self) -> str:
        return self.name


class UserQuerySet(AccessQuerySet["User"]):
    """Users."""


class UserManager(DjangoUserManager.from_queryset(UserQuerySet)["User"]):  # type: ignore[misc]
    """Django's user manager over `UserQuerySet`."""


class User(AccessRow, AbstractUser):
    """Somebody who signs in: of an MSP, of a client, or (no role) of the portal itself."""

    access_fields = ("role", "msp", "client", "is_active", "is_superuser", "password")
    told_as = "user_ids"

    class Roles(models.TextChoices):
        """`access.Role`, for forms."""

        MSP_ADMIN = access.Role.MSP_ADMIN.value, "MSP administrator"
        MSP_USER = access.Role.MSP_USER.value, "MSP user"
        CLIENT_ADMIN = access.Role.CLIENT_ADMIN.value, "Client administrator"
        CLIENT_USER = access.Role.CLIENT_USER.value, "Client user"

    role = models.CharField(max_length=16, choices=Roles.choices, blank=True)
    msp = models.ForeignKey(MSP, on_delete=models.CASCADE, null=True, blank=True, related_name="users")
    client = models.ForeignKey(Client, on_delete=models.CASCADE, null=True, blank=True, related_name="users")

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):  # type: ignore[name-defined]
        base_manager_name = "objects"
        constraints: ClassVar = [
            models.CheckConstraint(
                name="user_role_msp_and_client_agree",
                condition=Q(role__in=sorted(access.MSP_ROLES), msp__isnull=False, client__isnull=True)
                | Q(role__in=sorted(access.CLIENT_ROLES), msp__isnull=True, client__isnull=False)
                | Q(role="", msp__isnull=True, client__isnull=True),
                violation_error_message=(
                    "An MSP role needs an MSP and no client; a client role needs a client and no MSP; no role, neither."
                ),
            ),
        ]
