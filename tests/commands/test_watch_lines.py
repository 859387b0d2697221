"""An event as a line: what it says, and that it cannot steer the terminal."""

from __future__ import annotations

import pytest

from realtime.watching import lines

NAMES = {"c1": "Harbor Dental"}


def line(kind: str, data: dict[str, object] | None = None, **fields: object) -> str:
    event = {
        "type": kind,
        "client_id": "c1",
        "timestamp": "2026-03-05T12:00:00+00:00",
        "data": data,
        **fields,
    }
    return " ".join(lines.of(event, NAMES).plain.split()[1:])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"severity": "low", "details": "d", "app": None}, "low d"),
        (
            {"severity": "low", "details": "d", "app": "Gemini", "change": "created", "status": "Unassigned"},
            "low Gemini: d",
        ),
        (
            {
                "severity": "high",
                "details": "d",
                "app": "X",
                "change": "updated",
                "status": "Pending",
                "assignee": "ana",
            },
            "high X: d [Pending, assigned to ana]",
        ),
        (
            {
                "severity": "high",
                "details": "d",
                "app": "X",
                "change": "updated",
                "status": "Unassigned",
                "acknowledged_by": "bo",
            },
            "high X: d [Unassigned, seen by bo]",
        ),
        ({"severity": "high", "details": "d", "app": "X", "change": "deleted"}, "high X: d [deleted]"),
        ({}, "?"),
    ],
)
def test_alerts(data, said) -> None:
    assert line("alert", data) == f"alert Harbor Dental {said}"


def test_interactions() -> None:
    data = {
        "agent": "Bot",
        "agent_id": "a",
        "interaction_count": -2,
        "flagged_count": 1,
        "total_daily_interactions": 9,
    }
    assert line("interaction_update", data) == "interaction Harbor Dental Bot -2 (9 today) 1 flagged"
    assert (
        line("interaction_update", {"app_id": "a1", "interaction_count": 3})
        == "interaction Harbor Dental a1 +3"
    )


def test_engagement_names_a_few_and_counts_the_rest() -> None:
    applications = [{"application": f"A{n}", "interactions_per_day": n} for n in range(6)]
    agents = [{"agent": "Bot", "avg_prompts_per_day": 2.5}]
    assert line("engagement_update", {"departments": [], "applications": applications, "agents": agents}) == (
        "engagement Harbor Dental A0 0 a day, A1 1 a day, A2 2 a day, A3 3 a day, 2 more applications; Bot 2.5 a day"
    )
    assert line("engagement_update", {}) == "engagement Harbor Dental no figures"


def test_presence() -> None:
    joined = [{"user": "ana", "role": "msp_user"}]
    assert line("presence", msp_watchers=2, client_watchers=1, joined=joined) == (
        "presence Harbor Dental ana joined; 2 of the MSP and 1 of the client watch"
    )


def test_a_client_without_a_name_and_a_time_that_is_none() -> None:
    event = {
        "type": "alert",
        "client_id": "0123456789abcdef",
        "timestamp": None,
        "data": {"severity": "low", "details": "d"},
    }
    assert lines.of(event, NAMES).plain.split() == ["--:--:--", "alert", "01234567", "low", "d"]


def test_what_would_steer_a_terminal_is_made_visible_and_markup_is_text() -> None:
    data = {"severity": "low", "details": "a\x1b[2J\x07b\nc [bold]d[/]", "app": "\x9b31mX"}
    plain = lines.of({"type": "alert", "client_id": "c1", "data": data}, NAMES).plain
    assert r"\u009b31mX: a\u001b[2J\u0007b c [bold]d[/]" in plain
    assert plain.isprintable()
