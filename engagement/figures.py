"""The dashboard's figures, derived from the daily roll-ups (`Engagement`).

Rules that all of them share:

- Days are UTC days. *The window* is the last seven of them, today included; *the window before* is the seven
before.
- A trend is the change from the window before to the window, in percent, rounded to one decimal; None where
the window
  before was empty, since nothing can be compared with nothing.
- *Active users* of a window are those of its busiest day: daily counts cannot be added up, as the same people
return.
- Ids are text, rows are sorted by name, and `ids` restricts the answer to some subjects (None: all of the
client's).

Each function reads in a number of queries that does not depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from engagement.actions.alerts import OPEN
from engagement.actions.rollups import bounds
from engagement.models import Agent, Alert, Application, Client, Department, Engagement, Interaction, User
from engagement.payloads import text

WINDOW = 7
"""Days in a window."""

HIGH_UTILIZATION = 50.0
MEDIUM_UTILIZATION = 10.0
"""Interactions per day from which an application's use is High, and Medium."""

RISING = 10.0
"""Percent of growth from which an agent is Rising."""

FLAGGED_SHARE = 0.05
"""Share of flagged interactions above which they are what to look at first."""

Utilization = Literal["High", "Medium", "Low"]
Momentum = Literal["Rising", "Stable", "Dormant"]
Ids = Collection[UUID] | Collection[str] | None


@dataclass(frozen=True, slots=True)
class Windowed:
    """A subject's roll-ups, summed over the window and the one before."""

    interactions: int = 0
    interactions_before: int = 0
    flagged: int = 0
    active_users: int = 0

    @property
    def per_day(self) -> float:
        """Interactions per day of the window, rounded to one decimal."""
        return round(self.interactions / WINDOW, 1)

    @property
    def trend(self) -> float | None:
        """The change against the window before, in percent."""
        return change_in_percent(self.interactions, self.interactions_before)


def change_in_percent(now: int, before: int) -> float | None:
    """Return the change from `before` to `now` in percent, rounded to one decimal; None without a base."""
    return round((now - before) / before * 100, 1) if before else None


def departments(client_id: UUID | str, ids: Ids = None, today: date | None = None) -> list[dict[str, Any]]:
    """Return a row for each department. Two queries.

    `{department_id, department, interactions, active_users, pct_change_vs_prev_7d}`; `interactions` of the
    window.
    """
    windows = _windows(client_id, "department_id", ids, today)
    rows = []
    for department in _subjects(Department.objects.all(), client_id, ids):
        window = windows.get(department.pk, Windowed())
        rows.append(
            {
                "department_id": text(department.pk),
                "department": department.name,
                "interactions": window.interactions,
                "active_users": window.active_users,
                "pct_change_vs_prev_7d": window.trend,
            }
        )
    return rows


def applications(client_id: UUID | str, ids: Ids = None, today: date | None = None) -> list[dict[str, Any]]:
    """Return a row for each application. Two queries.

    `{app_id, application, vendor, icon, status, active_users, interactions_per_day, trend_pct_7d,
    utilization, recommendation}`. `utilization` follows from `interactions_per_day`: High from 50, Medium
    from 10, else Low.
    """
    windows = _windows(client_id, "application_id", ids, today)
    rows = []
    for application in _subjects(Application.objects.all(), client_id, ids):
        window = windows.get(application.pk, Windowed())
        rows.append(
            {
                "app_id": text(application.pk),
                "application": application.name,
                "vendor": application.vendor,
                "icon": application.icon,
                "status": application.status,
                "active_users": window.active_users,
                "interactions_per_day": window.per_day,
                "trend_pct_7d": window.trend,
                "utilization": utilization(window),
                "recommendation": recommendation(application.status, window),
            }
        )
    return rows


def agents(client_id: UUID | str, ids: Ids = None, today: date | None = None) -> list[dict[str, Any]]:
    """Return a row for each agent. Four queries.

    `{agent_id, agent, vendor, icon, deployed, avg_prompts_per_day, flagged_actions, trend_pct_7d, status,
    last_activity_iso, associated_apps}`. `flagged_actions` are those of the window; `status` is Dormant
    without interactions in the window, Rising where they grew by 10 % or from nothing, else Stable;
    `last_activity_iso` is the last there ever was, None if none; `associated_apps` are names.
    """
    windows = _windows(client_id, "agent_id", ids, today)
    last_activity = dict(
        _restricted(Engagement.objects.filter(client_id=client_id), "agent_id", ids)
        .values_list("agent_id")
        .annotate(Max("last_activity"))
    )
    rows = []
    for agent in _subjects(Agent.objects.prefetch_related("associated_apps"), client_id, ids):
        window = windows.get(agent.pk, Windowed())
        rows.append(
            {
                "agent_id": text(agent.pk),
                "agent": agent.name,
                "vendor": agent.vendor,
                "icon": agent.icon,
                "deployed": agent.deployed,
                "avg_prompts_per_day": window.per_day,
                "flagged_actions": window.flagged,
                "trend_pct_7d": window.trend,
                "status": momentum(window),
                "last_activity_iso": text(last_activity.get(agent.pk)),
                "associated_apps": [application.name for application in agent.associated_apps.all()],
            }
        )
    return rows


def utilization(window: Windowed) -> Utilization:
    """Return how much an application is used."""
    if window.per_day >= HIGH_UTILIZATION:
        return "High"
    return "Medium" if window.per_day >= MEDIUM_UTILIZATION else "Low"


def recommendation(status: str, window: Windowed) -> str:
    """Return what to do about an application, the most pressing first.

    Flagged uses above 5 % come first; then what is used without permission: to decide on if people rely on it
    (Medium or more), to block if not; then what is permitted and not used, and what grows beyond 10 % at High
    utilization.
    """
    used = utilization(window)
    if window.flagged > window.interactions * FLAGGED_SHARE:
        return "Review flagged use"
    if status == Application.Status.UNSANCTIONED:
        if not window.interactions:
            return "Keep blocked"
        return "Block or offer an alternative" if used == "Low" else "Approve or replace"
    if not window.interactions:
        return "Retire unused licences"
    if used == "Low":
        return "Promote or train"
    if used == "High" and (window.trend or 0) >= RISING:
        return "Plan for more licences"
    return "Keep"


def momentum(window: Windowed) -> Momentum:
    """Return where an agent's use is going."""
    if not window.interactions:
        return "Dormant"
    return "Rising" if window.trend is None or window.trend >= RISING else "Stable"


def productivity(client_id: UUID | str, today: date | None = None) -> dict[str, Any]:
    """Return how intensely a client's people use AI: one query.

    `{interactions, interactions_per_active_user, pct_change_vs_prev_7d, series}`: `interactions` of the
    window; `interactions_per_active_user` is per person and day they were active, rounded to one decimal,
    None where nobody was; `pct_change_vs_prev_7d` compares it with the window before; `series` has the
    window's days, oldest first: `{day, interactions, active_users, flagged}`.
    """
    today = today or _today()
    days = _days(client_id, today)
    window, before = days[WINDOW:], days[:WINDOW]
    now, then = _per_active_user(window), _per_active_user(before)
    return {
        "interactions": sum(day["interactions"] for day in window),
        "interactions_per_active_user": round(now, 1) if now is not None else None,
        "pct_change_vs_prev_7d": round((now - then) / then * 100, 1) if now is not None and then else None,
        "series": window,
    }


def totals(client_id: UUID | str, today: date | None = None) -> dict[str, Any]:
    """Return a client's sums: two queries.

    `{interactions_today, active_users_today, interactions_7d, flagged_7d, pct_change_vs_prev_7d,
    open_alerts}`, the last by severity.
    """
    days = _days(client_id, today or _today())
    window, before = days[WINDOW:], days[:WINDOW]
    interactions = sum(day["interactions"] for day in window)
    open_alerts = Alert.objects.filter(client_id=client_id, status__in=OPEN).order_by()
    return {
        "interactions_today": window[-1]["interactions"],
        "active_users_today": window[-1]["active_users"],
        "interactions_7d": interactions,
        "flagged_7d": sum(day["flagged"] for day in window),
        "pct_change_vs_prev_7d": change_in_percent(interactions, sum(day["interactions"] for day in before)),
        "open_alerts": _by_severity(open_alerts.values_list("severity").annotate(Count("pk"))),
    }


def dashboard(client_id: UUID | str, today: date | None = None) -> dict[str, Any]:
    """Return everything a client's dashboard shows: `{departments, applications, agents, productivity, totals}`."""
    today = today or _today()
    return {
        "departments": departments(client_id, today=today),
        "applications": applications(client_id, today=today),
        "agents": agents(client_id, today=today),
        "productivity": productivity(client_id, today),
        "totals": totals(client_id, today),
    }


def daily_totals(
    application_ids: Collection[UUID], agent_ids: Collection[UUID], day: date | None = None
) -> dict[UUID, int]:
    """Return the number of uses of each of these applications and agents on a UTC day (None: today); 0 where none.

    Counted from the interactions themselves, so right also where they were saved one by one: at most one
    query for the applications and one for the agents, each answered from an index alone.
    """
    start, end = bounds(day or _today())
    counted: dict[UUID, int] = {}
    for kind, ids in (("application_id", application_ids), ("agent_id", agent_ids)):
        if ids:
            counted |= dict.fromkeys(ids, 0) | dict(
                Interaction.objects.filter(
                    **{f"{kind}__in": ids}, occurred_at__gte=start, occurred_at__lt=end
                )
                .order_by()
                .values_list(kind)
                .annotate(Sum("count"))
            )
    return counted


def clients_overview(viewer: User | AnonymousUser, today: date | None = None) -> list[dict[str, Any]]:
    """Return a row for each client that `viewer` sees, by name: three queries for any number of clients.

    `{client_id, client, msp_id, msp, status, interactions_today, active_users, open_alerts,
    open_alerts_total}`: `active_users` of today; `open_alerts` by severity, `{low, medium, high, critical}`.
    """
    clients = list(Client.objects.visible_to(viewer).select_related("msp").order_by("name", "pk"))
    days = {
        row["client_id"]: row
        for row in _sums(Engagement.objects.visible_to(viewer).filter(day=today or _today()), "client_id")
    }
    alerts: dict[UUID, list[tuple[str, int]]] = {}
    open_alerts = Alert.objects.visible_to(viewer).filter(status__in=OPEN).order_by()
    for client_id, severity, count in open_alerts.values_list("client_id", "severity").annotate(Count("pk")):
        alerts.setdefault(client_id, []).append((severity, count))
    rows = []
    for client in clients:
        day = _day(days.get(client.pk))
        by_severity = _by_severity(alerts.get(client.pk, ()))
        rows.append(
            {
                "client_id": text(client.pk),
                "client": client.name,
                "msp_id": text(client.msp_id),
                "msp": client.msp.name,
                "status": client.status,
                "interactions_today": day["interactions"],
                "active_users": day["active_users"],
                "open_alerts": by_severity,
                "open_alerts_total": sum(by_severity.values()),
            }
        )
    return rows


def _today() -> date:
    return timezone.now().date()


def _restricted(rows: QuerySet[Any], kind: str, ids: Ids) -> QuerySet[Any]:
    restriction = {f"{kind}__isnull": False} if ids is None else {f"{kind}__in": ids}
    return rows.filter(**restriction).order_by()


def _subjects(rows: QuerySet[Any], client_id: UUID | str, ids: Ids) -> QuerySet[Any]:
    rows = rows.filter(client_id=client_id).order_by("name", "pk")
    return rows if ids is None else rows.filter(pk__in=ids)


def _windows(client_id: UUID | str, kind: str, ids: Ids, today: date | None) -> dict[UUID, Windowed]:
    """Return the windows of a client's subjects of one kind, by id: one query."""
    today = today or _today()
    in_window = Q(day__gt=today - timedelta(days=WINDOW))
    rows = (
        _restricted(Engagement.objects.filter(client_id=client_id), kind, ids)
        .filter(day__gt=today - timedelta(days=2 * WINDOW), day__lte=today)
        .values_list(kind)
        .annotate(
            now=Sum("interactions", filter=in_window, default=0),
            before=Sum("interactions", filter=~in_window, default=0),
            flags=Sum("flagged", filter=in_window, default=0),
            people=Max("active_users", filter=in_window, default=0),
        )
    )
    return {pk: Windowed(*sums) for pk, *sums in rows}


def _days(client_id: UUID | str, today: date) -> list[dict[str, Any]]:
    """Return the days of both windows, oldest first, those without activity too: one query."""
    first = today - timedelta(days=2 * WINDOW - 1)
    found = {
        row["day"]: row
        for row in _sums(
            Engagement.objects.filter(client_id=client_id, day__gte=first, day__lte=today), "day"
        )
    }
    days = [first + timedelta(days=offset) for offset in range(2 * WINDOW)]
    return [{"day": day.isoformat(), **_day(found.get(day))} for day in days]


def _sums(rollups: QuerySet[Engagement], by: str) -> Iterable[dict[str, Any]]:
    """Return what was used, flagged, and by how many people, for each value of the column `by`: one query."""
    of_department = Q(department__isnull=False)
    sums: Iterable[dict[str, Any]] = (
        rollups.order_by()
        .values(by)
        .annotate(
            # Every interaction is of one application or one agent; that of a department is the same once more.
            used=Sum("interactions", filter=~of_department, default=0),
            flags=Sum("flagged", filter=~of_department, default=0),
            people=Sum("active_users", filter=of_department, default=0),
            most_people=Max("active_users", filter=~of_department, default=0),
        )
    )
    return sums


def _day(row: dict[str, Any] | None) -> dict[str, int]:
    """Return a day of a client as a whole.

    Active users are the sum over departments, a person being of one; or those of the application or agent
    with the most, where that is more: not every interaction names a department.
    """
    if row is None:
        return {"interactions": 0, "active_users": 0, "flagged": 0}
    return {
        "interactions": row["used"],
        "active_users": max(row["people"], row["most_people"]),
        "flagged": row["flags"],
    }


def _per_active_user(days: Iterable[dict[str, Any]]) -> float | None:
    days = list(days)
    people = sum(day["active_users"] for day in days)
    return sum(day["interactions"] for day in days) / people if people else None


def _by_severity(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    by_severity = dict.fromkeys(Alert.Severity.values, 0)
    for severity, count in counts:
        if severity in by_severity:
            by_severity[severity] += count
    return by_severity
