"""The portal that the engine is installed into, as far as the engine must know it: one declaration of the portal's own.

`REALTIME_PORTAL` in the settings names it: the dotted path of a class derived from `Portal`. The models of a client and
of an MSP are settings too, as Django's user model is: `REALTIME_CLIENT_MODEL` and `REALTIME_MSP_MODEL`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils.module_loading import import_string

from realtime.protocol import groups
from realtime.protocol.groups import Key

if TYPE_CHECKING:
    from django.db.models import Field, Model, QuerySet

    from realtime.capture.tracking import TrackedModel
    from realtime.topics import Topic


class Scope(Protocol):
    """A user's place in the tenancy: all clients of one MSP (`client_id` is None), or one client of it. Comparable."""

    @property
    def role(self) -> str:
        """What the portal calls the user's role."""

    @property
    def msp_id(self) -> Key:
        """The MSP."""

    @property
    def client_id(self) -> Key | None:
        """The client, where the user sees that one only."""

    @property
    def is_msp(self) -> bool:
        """True where the scope spans an MSP's clients."""


class Portal:
    """Who the clients are, whose they are, and who may see them. A portal derives from it and says so."""

    msp_field: ClassVar[str] = "msp"
    """The foreign key from a client to its MSP."""
    msp_roles: ClassVar[Collection[str]] = frozenset()
    """The roles of an MSP's own people."""

    admin_roles: ClassVar[Collection[str]] = frozenset()
    """The roles whose staff see, in the admin site, who is connected, and the overview."""
    admin_pages: ClassVar[Sequence[tuple[str, str]]] = ()
    """Pages of the portal's own that the engine's lists in the admin site link to: a text, and a URL's name."""
    stylesheets: ClassVar[Sequence[str]] = ()
    """Static files that the engine's page of the protocol loads first, such as one with the portal's colours."""
    icon: ClassVar[str] = ""
    """The static file of the icon of that page."""
    model_admin: ClassVar[str] = "django.contrib.admin.ModelAdmin"
    """The class that the engine's admins derive from."""
    api_view: ClassVar[str] = "rest_framework.views.APIView"
    """The class that the engine's REST views derive from: it authenticates, and answers refusals."""

    def scope_of(self, user: Any) -> Scope | None:
        """Return the scope of a user; None where there is none: anonymous, inactive, without role or tenant."""
        raise NotImplementedError

    def visible_clients(self, user: Any) -> QuerySet[Any]:
        """Return the clients that a user sees: the one rule of permission, asked at every door."""
        raise NotImplementedError

    def may_see(self, user: Any, client: Any) -> bool:
        """Return whether a user sees a client. Override it where both rows already say so: it is asked of many."""
        return self.visible_clients(user).filter(pk=client.pk).exists()

    def users(self) -> QuerySet[Any]:
        """Return all users, with the rows that `scope_of` reads besides."""
        rows: QuerySet[Any] = get_user_model()._default_manager.all()
        return rows

    def snapshot(self, client_id: Key) -> dict[str, Any]:
        """Return a client's figures as they are now: what `request_update` is answered with. Read-only."""
        return {}

    def acknowledge(self, user: Any, alert_id: Any) -> tuple[str, datetime] | None:
        """Acknowledge an alert. Return who did so first, by name, and when; None where the user sees no such alert."""
        return None

    def alert_key(self, text: str) -> Any:
        """Return the key of an alert that `text` stands for; None where it can stand for none."""
        return text

    def default_password(self, username: str) -> str | None:
        """Return the password of a login of a demo, for `manage.py watch`; None: it is asked for."""
        return None

    def prune(self, before: datetime) -> int:
        """Delete old rows of the portal's own, together with those of the engine. Return how many."""
        return 0

    def declare_topics(self) -> Iterable[Topic]:
        """Return the topics: the tracked models, and how each is told."""
        raise NotImplementedError

    def connect(self) -> None:
        """Connect further signals of the portal's own, once, when Django is set up."""

    # What follows from these

    @cached_property
    def topics(self) -> tuple[Topic, ...]:
        """The topics."""
        return tuple(self.declare_topics())

    def topic(self, kind: str) -> Topic | None:
        """Return a topic by its kind; None where there is none."""
        return self._by_kind.get(kind)

    def knows(self, kind: str) -> bool:
        """Return whether there are events of this kind, of the portal's or of the engine's own."""
        return kind in self._by_kind or kind in {"message", "access"}

    @cached_property
    def topics_by_model(self) -> dict[type[TrackedModel], Topic]:
        """The topics by the model whose rows they are."""
        return {topic.model: topic for topic in self.topics}

    @cached_property
    def _by_kind(self) -> dict[str, Topic]:
        return {topic.kind: topic for topic in self.topics}

    @cached_property
    def clients(self) -> type[Model]:
        """The model of a client."""
        return apps.get_model(settings.REALTIME_CLIENT_MODEL)

    @cached_property
    def msp(self) -> Field[Any, Any]:
        """The field that names a client's MSP."""
        field: Field[Any, Any] = self.clients._meta.get_field(self.msp_field)  # type: ignore[assignment]
        return field

    def client_key(self, text: object) -> Any:
        """Return the key of a client that `text` stands for; None where it stands for none."""
        return _key(self.clients, text)

    def msp_key(self, text: object) -> Any:
        """Return the key of an MSP that `text` stands for; None where it stands for none."""
        return _key(self.msp.related_model, text)

    def stream_key(self, stream: str) -> Any:
        """Return the key of the client or MSP whose stream this is. Raise ValueError where it can be none's."""
        kind, text = groups.parse(stream)
        key = self.client_key(text) if kind == "client" else self.msp_key(text)
        if key is None:
            raise ValueError(f"{stream!r} is nobody's stream.")
        return key

    def client_names(self, client_ids: Collection[Any]) -> dict[Any, str]:
        """Return what clients are called, in one query."""
        found = self.clients._default_manager.in_bulk([key for key in client_ids if key])
        return {key: str(client) for key, client in found.items()}

    def msps_of(self, client_ids: Collection[Key]) -> Mapping[Key, Key]:
        """Return the MSP of each client that is there."""
        found = self.clients._default_manager.filter(pk__in=client_ids)
        return dict(found.values_list("pk", self.msp.attname))


def _key(model: Any, text: object) -> Any:
    field = model._meta.pk
    try:
        key = field.to_python(text)
        field.run_validators(key)  # such as the bounds of an integer column
    except (ValidationError, ValueError):
        return None
    return key


def is_superuser(user: Any) -> bool:
    """Return whether a user is an active superuser, who sees everything; a user model may have none."""
    return bool(user.is_authenticated and user.is_active and getattr(user, "is_superuser", False))


@cache
def current() -> Portal:
    """Return the portal's declaration."""
    declared: type[Portal] = import_string(settings.REALTIME_PORTAL)
    return declared()


def base_class(name: Literal["model_admin", "api_view"]) -> Any:
    """Return the class that the portal names for the engine to derive from.

    The default's, where the declaration is wrong: `manage.py check` must come so far as to say so.
    """
    try:
        return import_string(getattr(current(), name))
    except (ImportError, AttributeError, TypeError):
        return import_string(getattr(Portal, name))
