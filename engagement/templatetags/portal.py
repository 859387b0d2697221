"""How the pages write numbers, changes and times.

The script writes them the same way (`frontend/src/pages/live/format.ts`): both are held to
`tests/pages/formats.json`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import template
from django.template.context import Context
from django.utils import timezone

from engagement.access import Role
from engagement.models import User

register = template.Library()

THEMES = frozenset({"light", "dark"})
THEME_COOKIE = "theme"
MINUTE, HOUR, DAY = 60, 3600, 86_400


@register.simple_tag(takes_context=True)
def theme(context: Context) -> str:
    """Return the theme that the visitor chose, or `auto`: that of their system."""
    request = context.get("request")
    chosen = request.COOKIES.get(THEME_COOKIE) if request else None
    return chosen if chosen in THEMES else "auto"


@register.filter
def number(value: float | str | None) -> str:
    """Write a number with commas between thousands, and one decimal if it is not an integer; nothing for None."""
    if value is None or value == "":
        return ""
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


@register.filter
def change(percent: float | str | None) -> str:
    """Write a change in percent with its sign; a dash where there was nothing to compare with."""
    if percent is None or not isinstance(percent, int | float):
        return "–"
    sign = "+" if percent > 0 else "−" if percent < 0 else "±"
    return f"{sign}{abs(percent):,.1f} %"


@register.filter
def direction(percent: float | str | None) -> str:
    """Return where a change goes: `up`, `down`, `flat` or `none`."""
    if percent is None or not isinstance(percent, int | float):
        return "none"
    return "up" if percent > 0 else "down" if percent < 0 else "flat"


@register.filter
def ago(moment: str | datetime | None) -> str:
    """Write how long ago a time (ISO 8601, or a datetime) was, in its largest unit; nothing for none."""
    if not moment:
        return ""
    then = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return since((timezone.now() - then).total_seconds())


def since(seconds: float) -> str:
    """Write an age."""
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min ago"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h ago"
    return f"{int(seconds // DAY)} d ago"


@register.filter
def clock(moment: str | None) -> str:
    """Write a time (ISO 8601) in full, in UTC: what a pointer resting on it shows."""
    if not moment:
        return ""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@register.filter
def glyph(row: dict[str, Any] | None, name: str) -> str:
    """Return an application's or agent's sign: its icon if that is an emoji, else the first letter of `row[name]`."""
    if row is None:
        return ""
    icon: str = row["icon"]
    return icon if icon and not icon.isascii() else row[name][:1].upper()


@register.filter
def role_name(user: User) -> str:
    """Return what a user's role is called."""
    return User.Roles(Role(user.role)).label if user.role else "Administrator"


@register.simple_tag
def bars(series: list[dict[str, Any]], field: str = "interactions") -> list[dict[str, Any]]:
    """Return the bars of a small chart, 100 high: `{x, y, height, day, value}`, one every 14."""
    highest = max((row[field] for row in series), default=0) or 1
    rows = []
    for index, row in enumerate(series):
        height = max(row[field] / highest * 100, 2)
        rows.append(
            {
                "x": index * 14,
                "y": f"{100 - height:.1f}",
                "height": f"{height:.1f}",
                "day": row["day"],
                "value": row[field],
            }
        )
    return rows
