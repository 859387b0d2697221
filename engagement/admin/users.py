"""Users. A tenant's own administrators manage its people, and can give nobody more than their own tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm, UsernameField
from django.db.models import QuerySet
from django.http import HttpRequest

from engagement import access
from engagement.access import CLIENT_ROLES
from engagement.admin.scoping import ScopedAdmin, ScopedRelatedFilter, viewer_of
from engagement.models import User

PLACE = ("role", "msp", "client")
PERSON = ("Personal information", {"fields": ("first_name", "last_name", "email")})
DATES = ("Dates", {"fields": ("last_login", "date_joined")})


if TYPE_CHECKING:  # generic to the type checker only
    BaseUserAdmin = DjangoUserAdmin[User]
    BaseChangeForm = UserChangeForm[User]
else:
    BaseUserAdmin = DjangoUserAdmin
    BaseChangeForm = UserChangeForm


class NewUserForm(AdminUserCreationForm):
    """A user with a password, or without one."""

    class Meta:
        model = User
        fields = ("username",)
        field_classes = {"username": UsernameField}


class ChangeUserForm(BaseChangeForm):
    """A user with a link to change the password."""

    class Meta:
        model = User
        fields = "__all__"  # the admin's fieldsets choose
        field_classes = {"username": UsernameField}


@admin.register(User)
class UserAdmin(ScopedAdmin, BaseUserAdmin):
    """People who sign in."""

    form = ChangeUserForm
    add_form = NewUserForm
    list_display = ("username", "email", "role", "msp", "client", "is_active", "is_staff", "last_login")
    list_filter = (
        "role",
        "is_active",
        "is_staff",
        ("msp", ScopedRelatedFilter),
        ("client", ScopedRelatedFilter),
    )
    list_select_related = ("msp", "client")
    search_fields = ("username", "email", "first_name", "last_name")
    autocomplete_fields = ("msp", "client")
    readonly_fields = ("last_login", "date_joined")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("username", "password")}),
        ("Place", {"fields": PLACE}),
        PERSON,
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        DATES,
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "usable_password", "password1", "password2"),
            },
        ),
        ("Place", {"fields": PLACE}),
    )
    own_fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Place", {"fields": PLACE}),
        PERSON,
        ("Permissions", {"fields": ("is_active", "is_staff")}),
        DATES,
    )
    """What a tenant's administrators see: no rights beyond those of the role."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the viewer's people."""
        return ScopedAdmin.get_queryset(self, request)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Keep a tenant's administrators from handing out rights: what is in no fieldset is not read from a form."""
        if obj is None or viewer_of(request).is_superuser:
            return super().get_fieldsets(request, obj)
        return self.own_fieldsets

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer, and accept, the roles that the viewer may give: none for a superuser only, no MSP's for a client."""
        if db_field.name == "role" and not viewer_of(request).is_superuser:
            scope = access.scope_of(viewer_of(request))
            roles = frozenset(User.Roles.values) if scope and scope.is_msp else CLIENT_ROLES
            kwargs["choices"] = [(value, label) for value, label in User.Roles.choices if value in roles]
        return super().formfield_for_choice_field(db_field, request, **kwargs)
