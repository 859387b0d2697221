"""What it costs to look at every connection's access again in turn (`REALTIME_RECHECK_SECONDS`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import cores
from benchmarks.results import Outcome, Table, show
from benchmarks.stage import Stage, Tenant

Say = Callable[[str], None]

CONNECTIONS = 5_000
"""As many as a process is meant for, each of another user."""

BOUND_SECONDS = 60
"""Within which each is looked at: the default."""

COLUMNS = {
    "title": "",
    "us": "CPU µs a connection",
    "postgres_us": "of PostgreSQL",
    "percent": f"% of a core, {CONNECTIONS:,} in {BOUND_SECONDS} s",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Look again at connections that were opened with tokens, and at others that were opened with sessions."""
    table = Table("What it costs to look at every connection's access again", COLUMNS)
    figures = {}
    for kind, identities in (("token", _by_token()), ("session", _by_session())):
        _recheck(identities[:200])  # the first opens a connection and imports things
        ours, theirs = time.process_time(), cores.cpu_seconds(stage.postgres.pid)
        _recheck(identities)
        each = (time.process_time() - ours) / len(identities) * 1e6
        postgres = (cores.cpu_seconds(stage.postgres.pid) - theirs) / len(identities) * 1e6
        percent = each * CONNECTIONS / BOUND_SECONDS / 1e4
        title = f"opened with a {kind}"
        table.rows.append({"title": title, "us": each, "postgres_us": postgres, "percent": percent})
        figures[f"recheck_{kind}_us"] = each
        say(f"{title}: {show(each)} µs of CPU, {show(percent)} % of a core for {CONNECTIONS:,}")
    return Outcome([table], figures=figures)


def _recheck(identities: list[Any]) -> None:
    from realtime.auth import identity
    from realtime.hub.turns import AT_ONCE

    for start in range(0, len(identities), AT_ONCE):
        asked = [(each, [each.scope.client_id]) for each in identities[start : start + AT_ONCE]]
        found = identity.recheck_many(asked)
        if any(isinstance(answer, identity.Refused) for answer, _ in found):
            raise RuntimeError("A connection of the benchmark was refused.")


def _users() -> list[Any]:
    from engagement.models import User

    tenant = Tenant(100)
    return User.objects.bulk_create(
        [
            User(
                username=f"{tenant.user.username}-{number}",
                role="client_user",
                client=tenant.clients[number % len(tenant.clients)],
                password=f"pbkdf2_sha256$1$salt${number}",
            )
            for number in range(CONNECTIONS)
        ]
    )


def _by_token() -> list[Any]:
    from realtime.auth.identity import Identity
    from realtime.auth.tickets import fingerprint
    from realtime.portal import current

    return [
        Identity(user.pk, user.username, current().scope_of(user), fingerprint(user.password), None)
        for user in _users()
    ]


def _by_session() -> list[Any]:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from realtime.auth.credentials import Credential
    from realtime.auth.identity import identify

    found = []
    for user in _users():
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        found.append(identify(Credential("session", session.session_key)))
    return found
