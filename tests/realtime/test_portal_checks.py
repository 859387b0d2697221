"""A declaration that says what is not so is named by a system check, with a hint; nothing else falls over it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from engagement.live import EngagementPortal
from engagement.models import Application
from realtime import checks
from realtime.portal import Portal
from tests.servers.warm import ROOT


class Bare(Portal):
    """Says nothing."""


class NoKey(EngagementPortal):
    msp_field = "name"


class NoField(EngagementPortal):
    msp_field = "owner"


class NoClass(EngagementPortal):
    api_view = "engagement.api.base.NoSuchView"


class Untracked(EngagementPortal):
    def declare_topics(self) -> Any:
        first, *rest = super().declare_topics()
        return [replace(first, model=Application), *rest]


class Doubled(EngagementPortal):
    def declare_topics(self) -> Any:
        return [*super().declare_topics()[:1], *super().declare_topics()]


class TooLong(EngagementPortal):
    def declare_topics(self) -> Any:
        first, *rest = super().declare_topics()
        return [replace(first, kind="a name that is too long"), *rest]


class Reserved(EngagementPortal):
    def declare_topics(self) -> Any:
        first, *rest = super().declare_topics()
        return [replace(first, kind="access"), *rest]


HERE = "tests.realtime.test_portal_checks"


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("engagement.live.EngagementPortal", []),
        ("", ["realtime.E007"]),
        ("nowhere.Portal", ["realtime.E007"]),
        ("engagement.models.Client", ["realtime.E007"]),
        (f"{HERE}.HERE", ["realtime.E007"]),
        (f"{HERE}.Bare", ["realtime.E010", "realtime.E010", "realtime.E010"]),
        (f"{HERE}.NoKey", ["realtime.E009"]),
        (f"{HERE}.NoField", ["realtime.E009"]),
        (f"{HERE}.NoClass", ["realtime.E013"]),
        (f"{HERE}.Untracked", ["realtime.E012"]),
        (f"{HERE}.Doubled", ["realtime.E011"]),
        (f"{HERE}.TooLong", ["realtime.E011"]),
        (f"{HERE}.Reserved", ["realtime.E011"]),
    ],
)
def test_each_mistake_has_an_id_and_a_hint(settings, path, ids):
    settings.REALTIME_PORTAL = path
    found = checks.declaration()
    assert [message.id for message in found] == ids
    assert all(message.hint and message.msg for message in found)


@pytest.mark.parametrize("name", ["REALTIME_CLIENT_MODEL", "REALTIME_MSP_MODEL"])
@pytest.mark.parametrize("model", ["engagement.Nothing", "nowhere", None, ""])
def test_models_that_are_none_are_named(settings, name, model):
    setattr(settings, name, model)
    [message] = checks.declaration()
    assert message.id == "realtime.E008"
    assert name in message.msg


def test_a_foreign_key_to_another_model_is_no_msps(settings):
    settings.REALTIME_MSP_MODEL = "auth.Group"
    assert [message.id for message in checks.declaration()] == ["realtime.E009"]


def test_the_check_command_names_it_in_words():
    ended = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings_undeclared"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "(realtime.E007) REALTIME_PORTAL is 'nowhere.Portal', which cannot be imported" in ended.stderr
    assert "Traceback" not in ended.stderr
