"""Many requests at once, on real servers: those of others are answered meanwhile, and nothing is an HTTP 500."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection

from engagement.middleware.places import NoPlace, Places
from tests.factories import AlertFactory, UserFactory, two_tenants
from tests.sockets import token_for

REAL = {"DJANGO_SETTINGS_MODULE": "compliance_portal.settings", "SECRET_KEY": settings.SECRET_KEY}
"""With Django's slow password hashing, as users have it."""


class TestPlaces:
    async def test_no_network_has_all_of_them_and_the_queue_is_bounded(self):
        places = Places(4, 4, 0.05)
        for _ in range(3):
            await places.take("greedy")
        with pytest.raises(NoPlace):
            await places.take("greedy")  # waits in vain
        await places.take("other")
        waiting = [asyncio.ensure_future(places.take("greedy")) for _ in range(3)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [NoPlace] * 3

    async def test_a_place_goes_to_the_first_that_may_have_it(self):
        places = Places(2, 10, 5)
        await places.take("a")
        second = asyncio.ensure_future(places.take("a"))
        third = asyncio.ensure_future(places.take("b"))
        await asyncio.sleep(0)
        assert third.done()
        places.give_back("a")
        await second

    async def test_who_goes_away_while_waiting_leaves_no_trace(self):
        places = Places(1, 10, 5)
        await places.take("a")
        gone = asyncio.ensure_future(places.take("b"))
        same_moment = asyncio.ensure_future(places.take("c"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        places.give_back("a")
        same_moment.cancel()
        await asyncio.gather(same_moment, return_exceptions=True)
        await asyncio.wait_for(places.take("d"), 1)


async def sign_in(http: httpx.AsyncClient, path: str, number: int) -> httpx.Response:
    credentials = {"username": f"nobody{number}", "password": "a guess"}
    if path == "/login/":
        return await http.post(path, data=credentials, headers={"Cookie": "csrftoken=x"})
    return await http.post(path, json=credentials)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_eighty_sign_ins_at_once_hold_up_nobody(portal_server, in_thread, kind):
    """With Django's own cost of a password (some seconds of both cores in all, were they let)."""
    tenant = (await in_thread(two_tenants))[0]
    server = await in_thread(
        lambda: portal_server(kind, env={**REAL, "LOGIN_NETWORK_FAILURE_LIMIT": "10000"})
    )
    token = token_for(tenant.client_user)
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60, limits=limits) as http:

        async def ordinary(count: int) -> tuple[list[float], Counter[int]]:
            times, statuses = [], Counter()
            for _ in range(count):
                begun = time.perf_counter()
                answer = await http.get("/api/v1/alerts/", headers={"Authorization": f"Bearer {token}"})
                times.append(time.perf_counter() - begun)
                statuses[answer.status_code] += 1
                await asyncio.sleep(0.01)
            return times, statuses

        before, _ = await ordinary(40)
        attack = [asyncio.ensure_future(sign_in(http, "/api/v1/auth/token/", n)) for n in range(80)]
        during, statuses = await ordinary(40)
        answers = await asyncio.gather(*attack)
    tried = Counter(answer.status_code for answer in answers)
    p = lambda times: round(statistics.quantiles(times, n=100)[98] * 1000)  # noqa: E731
    print(f"p99 {p(before)} ms, during the attack {p(during)} ms; sign-ins: {dict(tried)}")
    assert statuses == {200: 40}
    assert tried.keys() <= {401, 429}
    assert tried[401]
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 429)
    # Far above what is measured: a busy machine must not decide. Before, it was ten seconds.
    assert max(during) < 2.5


@pytest.mark.server
@pytest.mark.slow
async def test_who_waits_for_a_connection_is_told_in_words(portal_server, in_thread, backend):
    """More requests than the pool has connections, each of which takes a while: 200 or 503, never 500."""
    if backend != "postgres":
        pytest.skip("SQLite has no pool")
    tenant = (await in_thread(two_tenants))[0]
    await in_thread(lambda: AlertFactory.create_batch(300, client=tenant.client))
    server = await in_thread(
        lambda: portal_server(env={"DATABASE_POOL_SIZE": "3", "HTTP_REQUESTS_AT_ONCE": "40"})
    )
    headers = {"Authorization": f"Bearer {token_for(tenant.client_user)}"}
    async with httpx.AsyncClient(
        base_url=server.url, trust_env=False, timeout=60, limits=httpx.Limits(max_connections=200)
    ) as http:
        answers = await asyncio.gather(
            *(http.get("/api/v1/alerts/?page_size=200", headers=headers) for _ in range(60))
        )
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 503)


@pytest.mark.server
@pytest.mark.slow
async def test_slow_readers_keep_no_connection_to_the_database(portal_server, in_thread):
    """More of them than the pool has connections, each with a large answer that it does not read."""
    tenant = (await in_thread(two_tenants))[0]
    await in_thread(lambda: AlertFactory.create_batch(200, client=tenant.client, details="x" * 9000))
    server = await in_thread(lambda: portal_server("uvicorn", env={"DATABASE_POOL_SIZE": "6"}))
    token = token_for(tenant.client_user)
    host, _, port = server.url.removeprefix("http://").partition(":")
    request = (
        f"GET /api/v1/alerts/?page_size=200 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    readers = []
    for _ in range(12):
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(request.encode())
        readers.append((reader, writer))
    for reader, _ in readers:
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 30)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
        for _ in range(3):
            answer = await http.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 200
    for _, writer in readers:
        writer.close()


class TestBodies:
    """Against an application that reads the body and answers, as Django does."""

    def admission(self):
        from engagement.middleware.admission import Admission

        async def pages(scope, receive, send):
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return Admission(pages)

    async def status(self, admission, messages, path="/api/v1/alerts/"):
        sent = []

        async def receive():
            if not messages:
                await asyncio.sleep(60)
            return messages.pop(0)

        async def send(message):
            sent.append(message)

        await admission({"type": "http", "method": "POST", "path": path, "client": ["::1", 1]}, receive, send)
        return sent[0]["status"]

    async def test_a_huge_one_is_refused(self):
        part = {"type": "http.request", "body": b"x" * 2**20, "more_body": True}
        assert await self.status(self.admission(), [dict(part) for _ in range(12)]) == 413

    @pytest.mark.parametrize("path", ["/login/", "/api/v1/alerts/"])
    async def test_a_slow_one_holds_no_place_and_ends(self, monkeypatch, path):
        monkeypatch.setattr("engagement.middleware.admission.BODY_SECONDS", 0.5)
        admission, part = self.admission(), {"type": "http.request", "body": b"x", "more_body": True}
        slow = [asyncio.ensure_future(self.status(admission, [dict(part)], path)) for _ in range(20)]
        await asyncio.sleep(0)
        whole = {"type": "http.request", "body": b"x", "more_body": False}
        assert await self.status(admission, [whole], path) == 200
        assert set(await asyncio.gather(*slow)) == {408}


SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT count(*) FROM n"


class TestTimeLimit:
    @pytest.mark.django_db(transaction=True)
    def test_a_statement_that_takes_too_long_is_cancelled_and_answered_in_words(
        self, settings, client, monkeypatch
    ):
        settings.HTTP_STATEMENT_SECONDS = 0.2

        def slow(*_):
            with connection.cursor() as cursor:
                cursor.execute(SLOW)

        monkeypatch.setattr("engagement.api.auth.User.objects.select_related", slow, raising=False)
        user = UserFactory()
        begun = time.monotonic()
        answer = client.get("/api/v1/me", headers={"Authorization": f"Bearer {token_for(user)}"})
        assert answer.status_code == 503
        assert answer["Retry-After"] == "5"
        assert answer.json()["code"] == "busy"
        assert time.monotonic() - begun < 10
        monkeypatch.undo()
        assert UserFactory().pk  # the connection is as good as new

    @pytest.mark.django_db(transaction=True)
    async def test_what_is_read_for_a_client_that_has_gone_is_cancelled(self, monkeypatch):
        from django.test import RequestFactory

        from engagement.middleware.time_limit import time_limit

        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def view(_request):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(SLOW)
            except Exception as error:
                print(repr(error))
                loop.call_soon_threadsafe(ended.set)
                raise
            finally:
                connection.close()

        async def get_response(request):
            from asgiref.sync import sync_to_async

            return await sync_to_async(view, thread_sensitive=False)(request)

        task = asyncio.ensure_future(time_limit(get_response)(RequestFactory().get("/")))
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.wait_for(ended.wait(), 4)  # before the limit of five seconds
        await asyncio.gather(task, return_exceptions=True)


def test_a_password_costs_what_django_thinks_right():
    """The attack above would show nothing with a cheap one."""
    assert PBKDF2PasswordHasher.iterations >= 600_000
