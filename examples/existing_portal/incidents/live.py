"""What the engine must know of this portal: who sees which company, and how an incident is told."""

from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.db.models import Q
from django.db.models.signals import post_delete, post_save

from incidents.models import Company, Incident, Profile
from realtime.capture.signals import access_changed
from realtime.events.recording import Fact
from realtime.events.rendering import event_of
from realtime.portal import Portal, is_superuser
from realtime.topics import Topic


class Scope(NamedTuple):
    """A user's place."""

    role: str
    msp_id: int
    client_id: int | None

    @property
    def is_msp(self):
        """True for a partner's people."""
        return self.client_id is None


def facts(changes):
    """Record which incidents changed, and what each says: for the company that it belongs or belonged to."""
    return [
        Fact("incident", row["company_id"], {"change": change.kind, **row}, key=str(change.key))
        for change in changes
        for row in [change.after or change.before]
    ]


def render(events, _):
    """Tell each incident as an alert of the protocol."""
    told = [(event, event.facts[-1]) for event in events]
    return [
        [
            event_of(
                event,
                "alert",
                {"id": event.key, "details": row["text"], "severity": row["level"], "change": row["change"]},
                row["level"],
            )
        ]
        for event, row in told
    ]


class IncidentPortal(Portal):
    """Companies of partners; users with a profile at either."""

    msp_field = "partner"
    msp_roles = frozenset({"partner"})

    def users(self):
        """Return all users, with what `scope_of` reads."""
        return get_user_model().objects.select_related("profile__company")

    def scope_of(self, user):
        """Return where a user works."""
        profile = getattr(user, "profile", None) if user.is_authenticated and user.is_active else None
        if profile is None:
            return None
        if profile.partner_id:
            return Scope("partner", profile.partner_id, None)
        return Scope("company", profile.company.partner_id, profile.company_id) if profile.company else None

    def visible_clients(self, user):
        """Return the companies that a user sees."""
        if is_superuser(user):
            return Company.objects.all()
        scope = self.scope_of(user)
        if scope is None:
            return Company.objects.none()
        mine = Q(partner=scope.msp_id) if scope.is_msp else Q(pk=scope.client_id)
        return Company.objects.filter(mine)

    def declare_topics(self):
        """Return what is told live."""
        return [Topic("incident", Incident, facts, render)]

    def connect(self):
        """Tell whose access may have changed: the stock user model cannot do so itself."""
        for signal in (post_save, post_delete):
            signal.connect(_user_changed, sender=get_user_model(), dispatch_uid=f"live.user.{id(signal)}")
            signal.connect(_profile_changed, sender=Profile, dispatch_uid=f"live.profile.{id(signal)}")
            signal.connect(_company_changed, sender=Company, dispatch_uid=f"live.company.{id(signal)}")


def _user_changed(sender, instance, using, **_):
    access_changed.send(sender, using=using, user_ids=[instance.pk])


def _profile_changed(sender, instance, using, **_):
    access_changed.send(sender, using=using, user_ids=[instance.user_id])


def _company_changed(sender, instance, using, **_):
    access_changed.send(sender, using=using, client_ids=[instance.pk])
