"""What is done to alerts: raise, assign, acknowledge, resolve, reopen.

An alert is open (`Unassigned`, or `Pending` once somebody is assigned) or resolved (`Complete` by people, `AI
Resolved` by the portal). Every deed locks the alert's row, so of two people at once one comes first and the
other meets the result; what changes nothing writes nothing. All of them return the row as it is now; the one
passed in is left as it was.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from engagement import access
from engagement.errors import InvalidTransition, InvalidValue, NotAllowed, WrongTenant
from engagement.models import Agent, Alert, Application, Client, User

RESOLVED = frozenset({Alert.Status.COMPLETE, Alert.Status.AI_RESOLVED})
"""The statuses of an alert that nobody needs to look at any more."""

OPEN = frozenset(Alert.Status) - RESOLVED
"""The statuses of an alert that still needs somebody."""


class Unchanged(enum.Enum):
    """The type of `UNCHANGED`, which says "not asked for" where None means "nobody"."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


def raise_alert(
    client: Client,
    *,
    severity: str,
    details: str,
    application: Application | None = None,
    agent: Agent | None = None,
    family: str = "",
    subtype: str = "",
    users_affected: int = 0,
    count: int = 1,
    frameworks: Sequence[str] = (),
) -> Alert:
    """Record a new, unassigned alert for `client`, about an application, an agent, or neither.

    Raises InvalidValue for an unknown severity, two subjects, or a value beyond `engagement.bounds`; WrongTenant
    for a subject of another client.
    """
    alert = Alert(
        client=client,
        application=application,
        agent=agent,
        asset_kind=Alert.AssetKind.AGENT if agent else Alert.AssetKind.APPLICATION,
        family=family,
        subtype=subtype,
        severity=severity,
        details=details,
        users_affected=users_affected,
        count=count,
        frameworks=list(frameworks),
    )
    if severity not in Alert.Severity.values:
        raise InvalidValue(f"Unknown severity {severity!r}: use one of {', '.join(Alert.Severity.values)}.")
    if application is not None and agent is not None:
        raise InvalidValue("An alert is about an application or about an agent, not both: name one of them.")
    if isinstance(frameworks, str):
        raise InvalidValue('Frameworks are a list of names, such as ["GDPR", "SOC 2"].')
    _check_bounds(alert)
    for subject in (application, agent):
        if subject is not None and subject.client_id != client.pk:
            raise WrongTenant(
                f"{subject} belongs to another client than {client}: raise it for its own client."
            )
    alert.save(force_insert=True)
    return alert


BOUNDED = ("details", "family", "subtype", "users_affected", "count", "frameworks")


def _check_bounds(alert: Alert) -> None:
    """Raise InvalidValue where a column cannot hold its value; afterwards values have their columns' types."""
    missing = [name for name in BOUNDED if getattr(alert, name) is None]
    if missing:
        raise InvalidValue(f"{missing[0]}: a value is needed.")
    related = {field.name for field in Alert._meta.concrete_fields if field.is_relation}
    try:
        alert.clean_fields(exclude=related)
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise InvalidValue(f"{name}: {messages[0]}") from error
    if alert.count < 1:
        raise InvalidValue("An alert affects 0 or more users and happened at least once.")


def assign_alert(alert: Alert, assignee: User | None, by: User) -> Alert:
    """Give the alert to `assignee`, which makes it Pending; to nobody, which makes it Unassigned.

    Raises NotAllowed where `by` may not change it or `assignee` does not see its client; InvalidTransition
    where it is resolved.
    """
    with _changing(alert, by) as row:
        _assign(row, assignee)
    return row


def acknowledge_alert(alert: Alert, by: User) -> Alert:
    """Note that `by` has seen the alert. The first to do so stays; who comes later changes nothing.

    Raises NotAllowed where `by` may not change it.
    """
    with _changing(alert, by) as row:
        if row.acknowledged_at is None:
            row.acknowledged_by, row.acknowledged_at = by, timezone.now()
    return row


def resolve_alert(alert: Alert, by: User, status: str = Alert.Status.COMPLETE) -> Alert:
    """Close the alert with one of the `RESOLVED` statuses.

    Raises NotAllowed where `by` may not change it; InvalidValue for another status; InvalidTransition where
    it is resolved otherwise already.
    """
    with _changing(alert, by) as row:
        _resolve(row, status)
    return row


def reopen_alert(alert: Alert, by: User) -> Alert:
    """Open a resolved alert again: Pending where it has an assignee, else Unassigned. An open one stays as it is.

    Raises NotAllowed where `by` may not change it.
    """
    with _changing(alert, by) as row:
        _reopen(row)
    return row


def change_alert(
    alert: Alert,
    by: User,
    *,
    status: str | Unchanged = UNCHANGED,
    assignee: User | Unchanged | None = UNCHANGED,
) -> Alert:
    """Bring the alert to `status` and `assignee`, by the deeds above and in one write: what a form or a PATCH asks for.

    `status="Unassigned"` alone takes the assignee away. Raises as the deeds do, and InvalidTransition for a
    status that the assignee contradicts: Pending without one, Unassigned with one.
    """
    with _changing(alert, by) as row:
        check_change(row, status=status, assignee=assignee)
    return row


def check_change(
    row: Alert, *, status: str | Unchanged = UNCHANGED, assignee: User | Unchanged | None = UNCHANGED
) -> None:
    """Do to `row` in memory what `change_alert` does, or raise as it does: for a form that checks before it saves."""
    if status in OPEN:
        _reopen(row)
        if status == Alert.Status.UNASSIGNED and assignee is UNCHANGED:
            assignee = None
    if assignee is not UNCHANGED:
        _assign(row, assignee)
    if status is UNCHANGED:
        return
    if status not in OPEN:
        _resolve(row, status)
    elif row.status != status:
        raise InvalidTransition(
            "An alert is Pending while somebody is assigned, else Unassigned: "
            f"{'name an assignee' if status == Alert.Status.PENDING else 'leave the assignee out'}."
        )


@contextmanager
def _changing(alert: Alert, by: User) -> Iterator[Alert]:
    """Lock the alert for `by`, and save on leaving what was changed."""
    with transaction.atomic():
        row = (
            Alert.objects.visible_to(by)
            .select_for_update(of=("self",))
            .filter(pk=alert.pk)
            .select_related("client")
            .first()
        )
        if row is None or not access.may_administer(by):
            raise NotAllowed(f"{by} may not change this alert: ask somebody who sees its client.")
        before = _state(row)
        yield row
        if _state(row) != before:
            row.save(update_fields=[*before, "updated_at"])


def _state(row: Alert) -> dict[str, object]:
    return {name: getattr(row, f"{name}_id", None) or getattr(row, name) for name in CHANGED_BY_DEEDS}


CHANGED_BY_DEEDS = ("status", "assignee", "acknowledged_by", "acknowledged_at")


def _assign(row: Alert, assignee: User | None) -> None:
    if row.status in RESOLVED:
        raise InvalidTransition(f"This alert is {row.status}: reopen it before you assign it.")
    if assignee is not None and not Client.objects.visible_to(assignee).filter(pk=row.client_id).exists():
        raise NotAllowed(f"{assignee} does not see {row.client}: assign somebody who does.")
    row.assignee = assignee
    row.status = Alert.Status.PENDING if assignee else Alert.Status.UNASSIGNED


def _resolve(row: Alert, status: str) -> None:
    if status not in RESOLVED:
        raise InvalidValue(f"{status!r} does not resolve an alert: use {' or '.join(sorted(RESOLVED))}.")
    if row.status in RESOLVED and row.status != status:
        raise InvalidTransition(f"This alert is {row.status} already: reopen it before you make it {status}.")
    row.status = status


def _reopen(row: Alert) -> None:
    if row.status in RESOLVED:
        row.status = Alert.Status.PENDING if row.assignee_id else Alert.Status.UNASSIGNED
