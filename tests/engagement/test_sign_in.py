"""Signing in: the same rules at each door, and who is locked out of which name from where."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client as Browser
from django.utils import timezone

from realtime.auth import tickets
from realtime.models import Ticket
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def by_form(username, password, address="192.0.2.1"):
    answer = Browser(REMOTE_ADDR=address).post("/login/", {"username": username, "password": password})
    return {302: 200, 200: 401}.get(answer.status_code, answer.status_code), answer


def by_admin(username, password, address="192.0.2.1"):
    answer = Browser(REMOTE_ADDR=address).post("/admin/login/", {"username": username, "password": password})
    return {302: 200, 200: 401}.get(answer.status_code, answer.status_code), answer


def by_token(username, password, address="192.0.2.1"):
    body = json.dumps({"username": username, "password": password})
    answer = Browser(REMOTE_ADDR=address).post("/api/v1/auth/token/", body, content_type="application/json")
    return answer.status_code, answer


DOORS = pytest.mark.parametrize("door", [by_form, by_admin, by_token])


class TestTheSameRules:
    @DOORS
    @pytest.mark.parametrize(
        ("stored", "given", "works"),
        [
            (("ana", " pass word "), ("ana", " pass word "), True),
            (("ana", " pass word "), ("ana", "pass word"), False),
            (("ana", "pass word"), ("ana", "pass word "), False),
            (("ana", "pass word"), (" ana ", "pass word"), True),
            (("ana", "pass word"), ("Ana", "pass word"), False),
            (("ﬁona", "pass word"), ("ﬁona", "pass word"), True),
            (("fiona", "pass word"), ("ﬁona", "pass word"), True),
            (("re\u0301ne\u0301", "pass word"), ("r\u00e9n\u00e9", "pass word"), True),
            (("ana", "\ufb01 pass"), ("ana", "\ufb01 pass"), True),
            (("ana", "\ufb01 pass"), ("ana", "fi pass"), False),
            (("ana", "pass word"), ("x" * 151, "pass word"), False),
        ],
    )
    def test_at_each_door(self, door, stored, given, works):
        name, password = stored
        user = UserFactory(username=UserFactory._meta.model.normalize_username(name), is_staff=True)
        user.set_password(password)
        user.save()
        status, _ = door(*given)
        assert (status == 200) is works
        assert status in {200, 400, 401}


class TestLockout:
    @DOORS
    def test_many_addresses_of_one_network_are_one(self, door, settings):
        settings.AXES_FAILURE_LIMIT = 3
        user = UserFactory(is_staff=True)
        for host in range(3):
            status, answer = door(user.username, "wrong", f"2001:db8::{host}:1")
        assert status == 429
        assert int(answer["Retry-After"]) == settings.AXES_COOLOFF_TIME.total_seconds()
        assert door(user.username, PASSWORD, "2001:db8::99")[0] == 429
        assert door(user.username, PASSWORD, "2001:db8:0:1::99")[0] == 200

    @DOORS
    def test_many_names_from_one_network_lock_the_network(self, door, settings):
        settings.LOGIN_NETWORK_FAILURE_LIMIT = 5
        user = UserFactory(is_staff=True)
        statuses = [door(f"nobody{n}", "wrong")[0] for n in range(6)]
        assert statuses == [401] * 4 + [429] * 2
        assert door(user.username, PASSWORD)[0] == 429
        assert door(user.username, PASSWORD, "192.0.2.2")[0] == 200

    def test_attempts_while_locked_do_not_renew_the_lock(self, settings):
        settings.AXES_FAILURE_LIMIT = 3
        user = UserFactory()
        for _ in range(3):
            by_token(user.username, "wrong")
        AccessAttempt.objects.update(
            attempt_time=timezone.now() - settings.AXES_COOLOFF_TIME + timedelta(seconds=5)
        )
        for _ in range(5):
            assert by_token(user.username, "wrong")[0] == 429
        AccessAttempt.objects.update(attempt_time=timezone.now() - settings.AXES_COOLOFF_TIME)
        assert by_token(user.username, PASSWORD)[0] == 200

    def test_a_success_of_ones_own_does_not_forget_guesses_at_others(self, settings):
        settings.LOGIN_NETWORK_FAILURE_LIMIT = 5
        attacker, victim = UserFactory(), UserFactory()
        for _ in range(4):
            by_token(victim.username, "wrong")
            assert by_token(attacker.username, PASSWORD)[0] == 200
        assert by_token(victim.username, "wrong")[0] == 429

    @pytest.mark.parametrize("command", ["axes_reset_username", "axes_reset_ip", "axes_reset"])
    def test_an_operator_unlocks(self, settings, command):
        settings.AXES_FAILURE_LIMIT = 3
        user = UserFactory()
        for _ in range(3):
            by_token(user.username, "wrong", "2001:db8::1")
        argument = {"axes_reset_username": [user.username], "axes_reset_ip": ["2001:db8::"]}.get(command, [])
        call_command(command, *argument)
        assert by_token(user.username, PASSWORD, "2001:db8::1")[0] == 200

    @pytest.mark.parametrize("address", ["", "unix:", "fe80::1%eth0", "::ffff:192.0.2.1", "nonsense" * 20])
    def test_an_address_that_is_none_makes_no_fault(self, address):
        user = UserFactory()
        assert by_token(user.username, "wrong", address)[0] == 401
        assert by_token(user.username, PASSWORD, address)[0] == 200


def test_old_rows_of_sign_ins_are_pruned(settings):
    user = UserFactory()
    browser = Browser()
    browser.post("/login/", {"username": user.username, "password": PASSWORD})
    by_token("nobody", "wrong")
    assert (AccessLog.objects.count(), AccessAttempt.objects.count(), Session.objects.count()) == (1, 1, 1)
    call_command("prune_events")
    assert (AccessLog.objects.count(), AccessAttempt.objects.count(), Session.objects.count()) == (1, 1, 1)
    past = timezone.now() - timedelta(days=91)
    AccessLog.objects.update(attempt_time=past)
    AccessAttempt.objects.update(attempt_time=past)
    Session.objects.update(expire_date=past)
    call_command("prune_events")
    assert (AccessLog.objects.count(), AccessAttempt.objects.count(), Session.objects.count()) == (0, 0, 0)


def test_tickets_of_a_user_are_limited(monkeypatch):
    monkeypatch.setattr(tickets, "MAX_PER_USER", 3)
    user, other = UserFactory(), UserFactory()
    tickets.issue(other.pk)
    given = [tickets.issue(user.pk) for _ in range(5)]
    assert Ticket.objects.filter(user=user).count() == 3
    assert Ticket.objects.filter(user=other).count() == 1
    assert tickets.redeem(given[-1])
    assert tickets.redeem(given[0]) is None
