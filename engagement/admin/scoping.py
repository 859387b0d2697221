"""Who sees and does what in the admin site.

A superuser: everything. Staff with a role (an MSP's or a client's own people): the rows of their own tenant
and no others, in lists, forms, choices, filters, autocompletion, history and deletion alike, since all of
these ask `visible_rows`. What they may do with those rows is said by role, on each admin; a superuser may
grant more by Django's permissions. Staff without a role see no rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList, ChangeListSearchForm
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from engagement import access, searching
from engagement.access import Role
from engagement.errors import InvalidValue
from engagement.models import MSP, Client, User

if TYPE_CHECKING:  # generic to the type checker only
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = forms.ModelForm

ADMINS = access.ADMIN_ROLES
EVERYBODY = frozenset(Role)
NOBODY: frozenset[Role] = frozenset()


def viewer_of(request: HttpRequest) -> User:
    """Return the signed-in user of an admin request."""
    user = request.user
    if not isinstance(user, User):
        raise TypeError(f"the admin site serves signed-in users, not {user!r}")
    return user


def visible_rows(model: type[models.Model], viewer: User) -> QuerySet[Any]:
    """Return the rows of a model that `viewer` may see in the admin site."""
    rows = model._default_manager.all()
    if viewer.is_active and viewer.is_superuser:
        return rows
    return rows.filter(_condition(model, viewer))


def _condition(model: type[models.Model], viewer: User) -> Q:
    scope = access.scope_of(viewer)
    if scope is None:
        return Q(pk__in=[])
    if model is MSP:
        return Q(pk=scope.msp_id)
    if model is User:  # never a superuser, who has more rights than any role may hand on
        return Q(is_superuser=False) & (
            Q(msp_id=scope.msp_id) | Q(client__msp_id=scope.msp_id)
            if scope.is_msp
            else Q(client_id=scope.client_id)
        )
    return access.client_filter(viewer, "" if model is Client else "client")


def may(request: HttpRequest, roles: frozenset[Role]) -> bool:
    """Return whether the viewer is a superuser, or staff with one of `roles`."""
    user = request.user
    if not isinstance(user, User) or not user.is_active or not user.is_staff:
        return False
    scope = access.scope_of(user)
    return user.is_superuser or (scope is not None and scope.role in roles)


def has_tenant(model: type[models.Model]) -> bool:
    """Return whether rows of this model belong to somebody: those of Django's own do not."""
    return model in (MSP, Client, User) or any(field.name == "client" for field in model._meta.fields)


class ScopedRelatedFilter(admin.RelatedFieldListFilter):
    """A filter by a related row that offers only those the viewer sees."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: ModelAdmin
    ) -> list[tuple[str, Any]]:
        """Return the choices by name."""
        return [(str(row.pk), str(row)) for row in visible_rows(field.remote_field.model, viewer_of(request))]


class SameClientForm(ModelForm):
    """A form whose chosen rows must all be of the same client as the row itself."""

    def clean(self) -> dict[str, Any]:
        """Refuse an application, agent or department of another client."""
        values = super().clean() or self.cleaned_data
        client = values.get("client") or (self.instance.client if self.instance.client_id else None)
        if client is None:
            return values
        for name, value in list(values.items()):
            for row in value if isinstance(value, QuerySet) else [value]:
                # A user is no client's property: an MSP's people work for all its clients.
                owned = isinstance(row, models.Model) and not isinstance(row, User)
                if owned and getattr(row, "client_id", client.pk) != client.pk:
                    self.add_error(
                        name, f"{row} belongs to another client than {client}: choose one of {client}'s."
                    )
        return values


class BoundedSearchForm(ChangeListSearchForm):
    """The search field of a list: says what it does not take."""

    def clean(self) -> dict[str, Any]:
        """Refuse a search that is too much work."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            searching.words(values.get(SEARCH_VAR, ""))
        except InvalidValue as error:
            raise forms.ValidationError(str(error)) from error
        return values


class BoundedChangeList(ChangeList):
    """A list whose search is bounded."""

    search_form_class = BoundedSearchForm


class BoundedSearch(ModelAdmin):
    """Lists and autocompletion that compare a few words with each row, not thousands."""

    class Media:
        css = {"all": ("engagement/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that refuses a search which is too much work, and says so."""
        return BoundedChangeList

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Refuse an address that cannot be (HTTP 400), where Django would show the whole list instead."""
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise ValueError("The address holds a filter or a page that cannot be.") from error

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find nothing where the search is too much work: the list says why, autocompletion has no place to."""
        try:
            searching.words(search_term)
        except InvalidValue:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)


class ScopedAdmin(BoundedSearch):
    """An admin of rows that belong to a tenant."""

    viewed_by: ClassVar[frozenset[Role]] = EVERYBODY
    added_by: ClassVar[frozenset[Role]] = ADMINS
    changed_by: ClassVar[frozenset[Role]] = ADMINS
    deleted_by: ClassVar[frozenset[Role]] = ADMINS
    fixed_once_saved: ClassVar[tuple[str, ...]] = ()
    """Fields that say whose the row is: chosen when it is made, then only shown."""

    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the viewer's rows: what lists, forms, history, deletion and autocompletion start from."""
        rows = visible_rows(self.model, viewer_of(request))
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer, and accept, only the viewer's rows."""
        self._restrict(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer, and accept, only the viewer's rows."""
        self._restrict(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> tuple[str, ...]:
        """Keep a saved row in its tenant."""
        return (*super().get_readonly_fields(request, obj), *(self.fixed_once_saved if obj else ()))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Choose the viewer's own MSP and client."""
        scope = access.scope_of(viewer_of(request))
        mine = {"msp": scope.msp_id, "client": scope.client_id} if scope else {}
        return {
            key: str(value) for key, value in mine.items() if value
        } | super().get_changeform_initial_data(request)

    # A row given to these comes from `get_queryset` or hangs on one that does, so its tenant is settled already.

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the viewer sees anything of the domain."""
        return self._may(request, self.viewed_by) or super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return whether the viewer may look at their rows."""
        return self._may(request, self.viewed_by) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the viewer may make rows in their tenant."""
        return self._may(request, self.added_by) or super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return whether the viewer may change their rows."""
        return self._may(request, self.changed_by) or super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Return whether the viewer may delete their rows."""
        return self._may(request, self.deleted_by) or super().has_delete_permission(request, obj)

    def _may(self, request: HttpRequest, roles: frozenset[Role]) -> bool:
        user = request.user
        scope = access.scope_of(user) if isinstance(user, User) and user.is_staff else None
        return scope is not None and scope.role in roles

    def _restrict(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        related = db_field.remote_field.model
        if "queryset" not in kwargs and has_tenant(related):
            kwargs["queryset"] = visible_rows(related, viewer_of(request))
