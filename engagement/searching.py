"""Free text in a search field: bounded, and compared in the same way at every door."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from engagement.errors import InvalidValue
from engagement.models import Alert

MAX_WORDS = 10
"""Each word is compared with five columns, two of them in other tables: 7,500 words were not answered in a minute."""

MAX_LENGTH = 200


def words(text: str) -> list[str]:
    """Return the different words of `text`.

    Raises InvalidValue where the text is longer than `MAX_LENGTH` or has more than `MAX_WORDS` words.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidValue(f"A search has at most {MAX_LENGTH} characters, not {len(text):,}.")
    found = list(dict.fromkeys(text.split()))
    if len(found) > MAX_WORDS:
        raise InvalidValue(f"A search has at most {MAX_WORDS} words, not {len(found)}.")
    return found


def search_alerts(alerts: QuerySet[Alert], text: str) -> QuerySet[Alert]:
    """Return those of `alerts` that hold every word of `text` somewhere. Raises InvalidValue as `words` does."""
    for word in words(text):
        alerts = alerts.filter(
            Q(details__icontains=word)
            | Q(family__icontains=word)
            | Q(subtype__icontains=word)
            | Q(application__name__icontains=word)
            | Q(agent__name__icontains=word)
        )
    return alerts
