"""Who is let in, by which credential; and what the others are told: an `error` frame, a close code, a reason."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from engagement.models import User
from realtime.auth import tickets
from realtime.models import Ticket
from tests.factories import SuperuserFactory, UserFactory
from tests.realtime.doors import (
    ask,
    assert_refused,
    cookie,
    refresh_token,
    session_of,
    token_ending_in,
)
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

Credential = dict[str, Any]
"""Arguments of `knock`; `query` goes behind the path."""


def by_subprotocol(token: str) -> Credential:
    return {"token": token}


def by_header(token: str) -> Credential:
    return {"headers": {"Authorization": f"Bearer {token}"}}


def by_query(token: str) -> Credential:
    return {"query": f"token={token}"}


# Let in


async def test_each_credential_opens_a_socket(tenant, server, subtests):
    token = token_for(tenant.msp_user)
    ticket = await sync_to_async(tickets.issue)(tenant.msp_user.pk)
    session = await sync_to_async(session_of)(tenant.msp_user)
    credentials: dict[str, Credential] = {
        "subprotocol": by_subprotocol(token),
        "subprotocol ahead of the protocol's": {"subprotocols": (f"bearer.{token}", "compliance.v1")},
        "header": by_header(token),
        "header in lower case": {"headers": {"authorization": f"bearer {token}"}},
        "query": by_query(token),
        "query without any subprotocol": {**by_query(token), "subprotocols": ()},
        "query, own origin": {**by_query(token), "origin": server.url},
        "ticket": {"query": f"ticket={ticket}"},
        "session": {"headers": cookie(session), "origin": server.url},
        "session by another name of this host": {
            "headers": cookie(session),
            "host": "localhost",
            "origin": f"http://localhost:{server.port}",
        },
    }
    for name, credential in credentials.items():
        with subtests.test(credential=name):
            answer = await ask(server, **credential)
            assert answer.is_open, answer
            assert answer.frame["msp_id"] == str(tenant.msp.pk)


async def test_the_first_credential_found_wins_even_where_it_is_bad(transactional_db, daphne, subtests):
    def people() -> list[User]:
        return [UserFactory(role="msp_user") for _ in range(5)]

    users = await sync_to_async(people)()
    in_order: list[Callable[[User], Credential]] = [
        lambda user: by_subprotocol(token_for(user)),
        lambda user: by_header(token_for(user)),
        lambda user: by_query(token_for(user)),
        lambda user: {"query": f"ticket={tickets.issue(user.pk)}"},
        lambda user: {"headers": cookie(session_of(user))},
    ]
    bad: list[Credential] = [
        by_subprotocol("x.y.z"),
        by_header("x.y.z"),
        by_query("x.y.z"),
        {"query": "ticket=nonsense"},
    ]
    for first in range(4):
        later = [await sync_to_async(make)(user) for make, user in zip(in_order, users, strict=True)][first:]
        with subtests.test(first=first):
            answer = await ask(daphne, **combined(later), origin=daphne.url)
            assert answer.is_open, answer
            assert answer.frame["msp_id"] == str(users[first].msp_id)
        with subtests.test(first=first, bad=True):
            assert_refused(
                await ask(daphne, **combined([bad[first], *later[1:]]), origin=daphne.url), "invalid_token"
            )


def combined(credentials: list[Credential]) -> Credential:
    query = "&".join(c["query"] for c in credentials if "query" in c)
    headers: dict[str, str] = {}
    for c in credentials:
        headers |= c.get("headers", {})
    token = next((c["token"] for c in credentials if "token" in c), None)
    return {"query": query, "headers": headers, "token": token}


async def test_a_ticket_works_once_and_for_a_while(tenant, server):
    issue = sync_to_async(tickets.issue)
    ticket = await issue(tenant.client_user.pk)
    assert (await ask(server, query=f"ticket={ticket}")).is_open
    assert_refused(await ask(server, query=f"ticket={ticket}"), "invalid_token")

    late = await issue(tenant.client_user.pk)
    await Ticket.objects.aupdate(expires_at=timezone.now() - timedelta(seconds=1))
    assert_refused(await ask(server, query=f"ticket={late}"), "invalid_token")
    assert not await Ticket.objects.aexists()


async def test_the_word_for_no_token_does_not_hide_the_session(tenant, daphne, subtests):
    """What a page without a token writes: `?token=${token}`."""
    session = {"headers": cookie(await sync_to_async(session_of)(tenant.msp_user)), "origin": daphne.url}
    for word in ("", "null", "undefined", "None"):
        for name in ("token", "ticket"):
            with subtests.test(parameter=name, word=word):
                assert (await ask(daphne, query=f"{name}={word}", **session)).is_open
        with subtests.test(subprotocol=word):
            assert (await ask(daphne, token=word, **session)).is_open
        with subtests.test(without="session", word=word):
            assert_refused(await ask(daphne, query=f"token={word}"), "authentication_required")


async def test_an_odd_cookie_of_another_application_does_not_hide_the_session(tenant, server, subtests):
    session = cookie(await sync_to_async(session_of)(tenant.msp_user))["Cookie"]
    for odd in (
        'prefs={"a":1,"b":[2]}',
        "list[]=1",
        "=nameless",
        "nothing",
        "a=b=c",
        'q="unclosed',
        "ü=ö",
        "a:b=1",
        "",
    ):
        for header in (f"{odd}; {session}", f"{session}; {odd}"):
            with subtests.test(cookie=header.replace(session, "session")):
                answer = await ask(server, headers={"Cookie": header}, origin=server.url)
                assert answer.is_open, answer


# Not let in


async def test_tokens_that_do_not_hold_are_refused_by_every_door(tenant, server, subtests):
    def tokens() -> dict[str, tuple[str, str]]:
        inactive, deleted, repented = (UserFactory(msp=tenant.msp) for _ in range(3))
        given = {
            "garbage": ("x.y.z", "invalid_token"),
            "expired": (token_ending_in(tenant.msp_user, -1), "token_expired"),
            "refresh": (refresh_token(tenant.msp_user), "wrong_token_type"),
            "inactive": (token_for(inactive), "user_inactive"),
            "deleted": (token_for(deleted), "invalid_token"),
            "before a change of password": (token_for(repented), "invalid_token"),
            "no role": (token_for(UserFactory(role="")), "no_tenant"),
            "superuser": (token_for(SuperuserFactory()), "no_tenant"),
            "signed by another": (
                forged(tenant.msp_user, "another key, as long as it has to be"),
                "invalid_token",
            ),
            "not signed": (forged(tenant.msp_user, None), "invalid_token"),
            "names no user": (naming({}), "invalid_token"),
            "names nonsense": (naming({"user_id": "nonsense"}), "invalid_token"),
            "names nobody": (naming({"user_id": str(uuid.uuid4())}), "invalid_token"),
        }
        inactive.is_active = False
        inactive.save()
        deleted.delete()
        repented.set_password("another")
        repented.save()
        return given

    doors = {"subprotocol": by_subprotocol, "header": by_header, "query": by_query}
    for name, (token, code) in (await sync_to_async(tokens)()).items():
        for door, credential in doors.items():
            with subtests.test(token=name, door=door):
                assert_refused(await ask(server, **credential(token)), code)


def forged(user: User, key: str | None) -> str:
    claims = AccessToken.for_user(user).payload
    return jwt.encode(claims, key, algorithm="HS256" if key else "none")


def naming(claims: dict[str, str]) -> str:
    token = AccessToken()
    token.payload.update(claims)
    return str(token)


async def test_without_a_credential_nobody_is_let_in(transactional_db, server, subtests):
    for name, options in {
        "nothing": {},
        "nothing, no subprotocol": {"subprotocols": ()},
        "another scheme": {"headers": {"Authorization": "Basic dXNlcjpwYXNz"}},
        "a scheme without a token": {"headers": {"Authorization": "Bearer"}},
        "another cookie": {"headers": {"Cookie": "csrftoken=abcdefgh"}, "origin": server.url},
        "a broken cookie": {"headers": {"Cookie": "sessionid"}, "origin": server.url},
    }.items():
        with subtests.test(credential=name):
            assert_refused(await ask(server, **options), "authentication_required")


async def test_sessions_that_do_not_hold_are_refused(tenant, server, subtests):
    def sessions() -> dict[str, tuple[str, str]]:
        inactive, repented, nobody = (UserFactory(msp=tenant.msp) for _ in range(3))
        anonymous = SessionStore()
        anonymous["basket"] = 1
        anonymous.save()
        given = {
            "unknown": ("abcdefghijklmnop", "authentication_required"),
            "with a NUL": ('"abcdefgh\\000ijk"', "authentication_required"),
            "anonymous": (str(anonymous.session_key), "authentication_required"),
            "inactive": (session_of(inactive), "user_inactive"),
            "before a change of password": (session_of(repented), "authentication_required"),
            "no role": (session_of(UserFactory(role="")), "no_tenant"),
            "deleted user": (session_of(nobody), "invalid_token"),
        }
        inactive.is_active = False
        inactive.save()
        repented.set_password("another")
        repented.save()
        nobody.delete()
        return given

    for name, (session, code) in (await sync_to_async(sessions)()).items():
        with subtests.test(session=name):
            assert_refused(await ask(server, headers=cookie(session), origin=server.url), code)


async def test_origins_are_exact_in_scheme_host_and_port(tenant, server, subtests):
    session = cookie(await sync_to_async(session_of)(tenant.msp_user))
    token = token_for(tenant.msp_user)
    foreign = {
        "another site": "http://evil.example",
        "null": "null",
        "another scheme": f"https://127.0.0.1:{server.port}",
        "another port": f"http://127.0.0.1:{server.port + 1}",
        "no port": "http://127.0.0.1",
        "a longer name": f"http://127.0.0.1.evil.example:{server.port}",
        "another name of this host": f"http://localhost:{server.port}",
    }
    for name, origin in foreign.items():
        with subtests.test(origin=name, credential="session"):
            assert_refused(await ask(server, headers=session, origin=origin), "origin_not_allowed")
        with subtests.test(origin=name, credential="token"):
            assert_refused(await ask(server, token=token, origin=origin), "origin_not_allowed")
    with subtests.test(origin="none", credential="session"):
        assert_refused(await ask(server, headers=session), "origin_not_allowed")
    with subtests.test("a host that is not ours, though the origin matches it"):
        answer = await ask(
            server, headers=session, host="evil.example", origin=f"http://evil.example:{server.port}"
        )
        assert_refused(answer, "origin_not_allowed")


async def test_a_listed_origin_may_open_sockets(tenant, portal_server):
    server = portal_server(env={"CORS_ALLOWED_ORIGINS": "https://app.example:8443"})
    session = cookie(await sync_to_async(session_of)(tenant.msp_user))
    assert (await ask(server, headers=session, origin="https://app.example:8443")).is_open
    for other in ("http://app.example:8443", "https://app.example", "https://app.example.evil.example:8443"):
        assert_refused(await ask(server, headers=session, origin=other), "origin_not_allowed")
