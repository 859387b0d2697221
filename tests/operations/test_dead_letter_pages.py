"""What an operator sees of dead letters and does with them: the admin page, the command, metrics, readiness."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from realtime.events import retention
from realtime.models import DeadLetter, Event, Outbox
from tests.factories import AlertFactory, SuperuserFactory, two_tenants
from tests.live import wait_until
from tests.operations.test_admin import as_staff
from tests.operations.test_metrics import place

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:realtime_deadletter_changelist"


def dead_letter(**values):
    given = {
        "tx": uuid.uuid4(),
        "kind": "engagement",
        "facts": "no JSON <b>at all</b>",
        "error_class": "DecodeError",
        "error": "JSON is malformed",
        **values,
    }
    return DeadLetter.objects.create(**given)


@pytest.fixture
def admin():
    browser = Browser()
    browser.force_login(SuperuserFactory(), backend="django.contrib.auth.backends.ModelBackend")
    return browser


def do(browser, action, *letters):
    chosen = {"action": action, "_selected_action": [letter.pk for letter in letters]}
    return browser.post(reverse(LIST), chosen, follow=True).content.decode()


def run(*arguments):
    said = StringIO()
    call_command("dead_letters", *arguments, stdout=said)
    return said.getvalue()


class TestTheAdminPage:
    def test_it_shows_the_error_and_what_was_recorded(self, admin):
        letter = dead_letter(error="boom <script>")
        page = admin.get(reverse(LIST), {"q": "boom"}).content.decode()
        assert "boom &lt;script&gt;" in page
        page = admin.get(reverse("admin:realtime_deadletter_change", args=[letter.pk])).content.decode()
        assert "no JSON &lt;b&gt;at all&lt;/b&gt;" in page

    def test_it_is_closed_to_an_msps_staff(self):
        browser = as_staff(two_tenants()[0].msp_admin)
        assert browser.get(reverse(LIST)).status_code == 403
        dead_letter()
        assert browser.post(reverse("admin:realtime_deadletter_retry_all")).status_code in {302, 403}
        assert DeadLetter.objects.count() == 1

    def test_a_retried_letter_waits_to_be_published_and_others_stay(self, admin):
        first, second = dead_letter(), dead_letter()
        assert "1 change(s) wait to be published again" in do(admin, "retry", first)
        assert Outbox.objects.filter(tx=first.tx).exists() or DeadLetter.objects.filter(tx=first.tx).exists()
        assert DeadLetter.objects.filter(pk=second.pk).exists()

    def test_retry_all_publishes_what_can_be_published_by_now(self, admin):
        alert = AlertFactory()
        place()
        Event.objects.all().delete()
        facts = {
            "kind": "alert",
            "client_id": alert.client_id,
            "key": str(alert.pk),
            "facts": '{"change": "updated"}',
        }
        dead_letter(**facts)
        admin.post(reverse("admin:realtime_deadletter_retry_all"))
        place()
        assert Event.objects.filter(type="alert").count() == 1
        assert not DeadLetter.objects.exists()

    def test_a_discarded_letter_is_gone_and_somebody_is_named_for_it(self, admin):
        letter = dead_letter()
        assert "1 change(s) discarded" in do(admin, "discard", letter)
        assert not DeadLetter.objects.exists()
        assert LogEntry.objects.get(object_id=str(letter.pk)).change_message == "Discarded"

    def test_the_overview_counts_them(self, admin):
        dead_letter()
        assert admin.get(reverse("admin:realtime_overview_data")).json()["dead_letters"] == 1
        own = as_staff(two_tenants()[0].msp_admin).get(reverse("admin:realtime_overview_data")).json()
        assert own["dead_letters"] is None


class TestTheCommand:
    def test_it_lists_them_on_one_line_each_whatever_they_hold(self):
        letter = dead_letter(error="first\x1b[2J line\nsecond")
        lines = run().splitlines()
        assert re.match(rf"\s+{letter.pk}  .* engagement +DecodeError: first", lines[0])
        assert "\x1b" not in lines[0]
        assert lines[1] == "1 dead letter(s)."

    def test_it_discards_those_that_are_named(self):
        first, second = dead_letter(), dead_letter()
        assert run("discard", str(first.pk)) == "1 change(s) discarded.\n"
        assert list(DeadLetter.objects.values_list("pk", flat=True)) == [second.pk]

    def test_what_fails_again_comes_back(self):
        dead_letter()
        assert run("retry", "--all") == "1 change(s) retried; 1 dead letter(s) now.\n"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("retry",), "Name dead letters by their numbers, or give --all."),
            (("discard", "1", "--all"), "Name dead letters by their numbers, or give --all."),
            (("discard", "99999999999999999999"), "There is no dead letter 99999999999999999999"),
        ],
    )
    def test_a_mistake_is_one_line(self, arguments, message):
        with pytest.raises(CommandError, match=re.escape(message)):
            run(*arguments)


def test_those_that_nobody_decided_on_go_at_last():
    old = timezone.now() - timedelta(days=retention.DEAD_LETTER_DAYS, minutes=1)
    dead_letter(failed_at=old)
    kept = dead_letter()
    assert retention.prune_dead_letters() == 1
    assert list(DeadLetter.objects.values_list("pk", flat=True)) == [kept.pk]


def test_readiness_and_metrics_tell_of_them(daphne):
    import httpx

    dead_letter()
    # A server that was used before was frozen meanwhile: for a second its loop is late, and that is told.
    wait_until(lambda: httpx.get(f"{daphne.url}/readyz").json()["event_loop"] == "ok", "the loop stays late")
    answer = httpx.get(f"{daphne.url}/readyz")
    assert (answer.status_code, answer.json()["dead_letters"]) == (200, 1), answer.text
    assert answer.json()["publisher"] == "ok"
    assert "realtime_dead_letters 1.0" in httpx.get(f"{daphne.url}/metrics").text
