"""MSPs, the clients they look after, and the users of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.db.models.signals import post_delete
from django.dispatch import receiver

from engagement import access
from engagement.bounds import one_of
from engagement.models.base import UUIDModel
from engagement.models.deleting import TellingQuerySet
from engagement.signals import access_changed

if TYPE_CHECKING:
    from collections.abc import Collection


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


class ClientQuerySet(TellingQuerySet["Client"]):
    """Clients, with the viewer's eyes."""

    def visible_to(self, viewer: User | AnonymousUser) -> Self:
        """Return the clients that `viewer` may see."""
        return self.filter(access.client_filter(viewer))

    def update(self, **values: Any) -> int:
        """Update the rows; tell who may see them if they change MSP."""
        if not {"msp", "msp_id"} & values.keys():
            return super().update(**values)
        with transaction.atomic(using=self.db, savepoint=False):
            moved = list(self.values_list("pk", flat=True))
            changed = super().update(**values)
            access_changed.send(Client, client_ids=moved, using=self.db)
        return changed


class Client(UUIDModel):
    """A tenant company, looked after by one MSP."""

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
    _loaded_msp_id: Any

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=("msp", "name"), name="client_name_once_per_msp"),
            one_of("status", ("active", "trial", "suspended"), "client_status_known"),
            one_of("subscription_tier", ("basic", "professional", "enterprise"), "client_tier_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any]) -> Self:
        """Remember the MSP that the row came with, to notice a move on save."""
        client = super().from_db(db, field_names, values)
        client._loaded_msp_id = client.__dict__.get("msp_id")
        return client

    def save(self, **kwargs: Any) -> None:
        """Save; tell who may see this client if it changes MSP."""
        moved = not self._state.adding and getattr(self, "_loaded_msp_id", None) != self.msp_id
        with transaction.atomic(using=kwargs.get("using") or self._state.db, savepoint=False):
            super().save(**kwargs)
            if moved:
                access_changed.send(Client, client_ids=[self.pk], using=self._state.db)
        self._loaded_msp_id = self.msp_id


ACCESS_FIELDS = ("role", "msp_id", "client_id", "is_active", "password")
"""The columns of a user that decide what they may see, and whether their credentials still hold."""


class UserQuerySet(models.QuerySet["User"]):
    """Users; a bulk change of what they may see is told like a save."""

    def update(self, **values: Any) -> int:
        """Update the rows; tell whose access changes with them."""
        if not {*ACCESS_FIELDS, "msp", "client"} & values.keys():
            return super().update(**values)
        with transaction.atomic(using=self.db, savepoint=False):
            affected = list(self.values_list("pk", flat=True))
            changed = super().update(**values)
            access_changed.send(User, user_ids=affected, using=self.db)
        return changed


class UserManager(DjangoUserManager.from_queryset(UserQuerySet)["User"]):  # type: ignore[misc]
    """Django's user manager over `UserQuerySet`."""


class User(UUIDModel, AbstractUser):
    """Somebody who signs in: of an MSP, of a client, or (no role) of the portal itself."""

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
    _loaded_access: tuple[Any, ...]

    class Meta(AbstractUser.Meta):  # type: ignore[name-defined]
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

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any]) -> Self:
        """Remember the access fields that the row came with, to notice a change on save."""
        user = super().from_db(db, field_names, values)
        user._loaded_access = user._access()
        return user

    def save(self, **kwargs: Any) -> None:
        """Save; tell that this user's access changed, if it did."""
        adding = self._state.adding
        with transaction.atomic(using=kwargs.get("using") or self._state.db, savepoint=False):
            super().save(**kwargs)
            if not adding and getattr(self, "_loaded_access", None) != self._access():
                access_changed.send(User, user_ids=[self.pk], using=self._state.db)
        self._loaded_access = self._access()

    def _access(self) -> tuple[Any, ...]:
        return tuple(self.__dict__.get(name) for name in ACCESS_FIELDS)


@receiver(post_delete, sender=Client, dispatch_uid="engagement.client_deleted")
def _client_deleted(instance: Client, using: str, **_: Any) -> None:
    """Tell that its viewers lose a client, by whichever road it went: alone, in bulk, or with its MSP."""
    access_changed.send(Client, client_ids=[instance.pk], using=using)


@receiver(post_delete, sender=User, dispatch_uid="engagement.user_deleted")
def _user_deleted(instance: User, using: str, **_: Any) -> None:
    """Tell that a user is gone, by whichever road: alone, in bulk, or with their client or MSP."""
    access_changed.send(User, user_ids=[instance.pk], using=using)
