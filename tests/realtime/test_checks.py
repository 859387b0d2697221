"""The system checks: each id, with a bad value of each kind of setting; and what a bad value says."""

from __future__ import annotations

import dataclasses

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from realtime import conf
from realtime.conf import RealtimeSettings
from tests.servers.warm import manage

SETTINGS = {field.name: field for field in dataclasses.fields(RealtimeSettings)}
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


def found(*, deploy: bool = False) -> dict[str, tuple[str, str | None]]:
    """Run the checks of `realtime`; return message and hint by id."""
    messages = run_checks(tags=["realtime"], include_deployment_checks=deploy)
    return {str(message.id): (message.msg, message.hint) for message in messages}


def test_the_settings_of_the_tests_are_good():
    assert found() == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NO_SUCH_THING", "1", "not a setting of this version"),
        ("PUBLISH_BATCH", "many", "takes a whole number (events)"),
        ("PUBLISH_BATCH", "1.5", "takes a whole number (events)"),
        ("PUBLISH_BATCH", "", "takes a whole number (events)"),
        ("PUBLISH_BATCH", "0", "the least is 1 events"),
        ("PUBLISH_BATCH", "-5", "the least is 1 events"),
        ("TAIL_BYTES", "8MB", "takes a whole number (B)"),
        ("SWEEP_LOCAL", "often", "takes a number (s)"),
        ("SWEEP_LOCAL", "", "takes a number (s)"),
        ("SWEEP_LOCAL", "0", "the least is 0.05 s"),
        ("SWEEP_LOCAL", "nan", "the least is 0.05 s"),
        ("SWEEP_LOCAL", "-inf", "the least is 0.05 s"),
        ("RETENTION_HOURS", "inf", "takes a number (h)"),
        ("RETENTION_HOURS", None, "takes a number (h)"),
        ("HEARTBEAT", [1], "takes a number (s)"),
    ],
)
def test_e001_a_setting_that_is_not_there_or_cannot_be(settings, name, value, said):
    settings.REALTIME = {name: value}
    message, hint = found()["realtime.E001"]
    assert said in message
    assert f"REALTIME_{name}" in message
    assert hint
    with pytest.raises(ImproperlyConfigured, match=f"REALTIME_{name}"):
        conf.current()


def test_e001_names_each_bad_setting(settings):
    settings.REALTIME = {"SWEEP_LOCAL": "x", "LINGER": "y", "HEARTBEAT": "1"}
    ids = [message.id for message in run_checks(tags=["realtime"])]
    assert ids == ["realtime.E001", "realtime.E001"]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_its_meaning_and_refuses_nonsense(name):
    field = SETTINGS[name]
    assert field.metadata["meaning"]
    assert conf.parse(name, str(field.default)) == field.default
    assert type(conf.parse(name, str(field.default))) is type(field.default)
    with pytest.raises(ValueError, match=f"REALTIME_{name.upper()} is 'nonsense'; it takes"):
        conf.parse(name, "nonsense")
    least = field.metadata["least"]
    assert field.metadata["unit"]
    assert conf.parse(name, least) == least
    with pytest.raises(ValueError, match=f"REALTIME_{name.upper()} is -1; the least is"):
        conf.parse(name, -1)


@pytest.mark.parametrize(
    ("heartbeat", "expiry", "bad"), [("5", "9.9", True), ("5", "10", False), ("20", "15", True)]
)
def test_e002_a_process_must_not_die_between_two_heartbeats(settings, heartbeat, expiry, bad):
    settings.REALTIME = {"HEARTBEAT": heartbeat, "HEARTBEAT_EXPIRY": expiry}
    assert ("realtime.E002" in found()) == bad


def test_e002_keeps_quiet_where_a_value_is_bad_already(settings):
    settings.REALTIME = {"HEARTBEAT": "x", "HEARTBEAT_EXPIRY": "1"}
    assert set(found()) == {"realtime.E001"}


@pytest.mark.parametrize("layers", [{}, {"default": {}}, {"other": {"BACKEND": PUBSUB}}])
def test_e003_without_a_channel_layer(settings, layers):
    settings.CHANNEL_LAYERS = layers
    assert "realtime.E003" in found()
    found(deploy=True)


def test_w004_a_layer_that_loses_silently(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}
    message, hint = found()["realtime.W004"]
    assert "drops" in message
    assert PUBSUB in str(hint)
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": PUBSUB}}
    assert found() == {}


def test_w005_an_in_memory_layer_in_production_only(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    assert "realtime.W005" not in found()
    assert "realtime.W005" in found(deploy=True)
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": PUBSUB}}
    assert "realtime.W005" not in found(deploy=True)


@pytest.mark.slow
def test_manage_py_says_what_is_wrong_in_the_environment():
    answer = manage("check", environment={"REALTIME_SWEEP_LOCAL": "sometimes"}, check=False)
    assert answer.returncode == 1
    assert "(realtime.E001) REALTIME_SWEEP_LOCAL is 'sometimes'; it takes a number (s)." in answer.stderr
    assert "Traceback" not in answer.stderr


def test_e006_an_sqlite_without_returning(monkeypatch):
    monkeypatch.setattr("sqlite3.dbapi2.sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr("sqlite3.dbapi2.sqlite_version", "3.34.1")
    if connection.vendor == "sqlite":
        assert found()["realtime.E006"][0] == "SQLite 3.34.1 is too old: the portal takes 3.35 or newer."
    else:
        assert "realtime.E006" not in found()
