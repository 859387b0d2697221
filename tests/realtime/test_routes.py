"""Routes, their parameters, and the first frame of who is let in."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from tests.realtime.conftest import Tenant, make_tenant
from tests.realtime.doors import (
    GENERAL,
    ask,
    assert_refused,
    client_route,
    cookie,
    session_of,
    token_ending_in,
)
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_foreign_an_unknown_and_a_malformed_client_are_answered_alike(tenant, server):
    foreign = (await sync_to_async(make_tenant)()).client
    ids = [foreign.pk, uuid.uuid4(), "nonsense", "%00", "0", "%ff", f"{tenant.client.pk}x", "a" * 3000]
    for user in (tenant.msp_user, tenant.client_user):
        answers = {str(key): await ask(server, client_route(key), token=token_for(user)) for key in ids}
        assert_refused(answers[str(foreign.pk)], "not_found")
        assert len({repr(answer) for answer in answers.values()}) == 1, answers


@pytest.mark.parametrize("prefix", ["/api/v1", ""])
@pytest.mark.parametrize("end", ["", "/"])
async def test_both_routes_answer_with_and_without_prefix_and_slash(tenant, daphne, prefix, end):
    user = token_for(tenant.msp_user)
    general = await ask(daphne, f"{prefix}/ws/engagement{end}", token=user)
    one = await ask(daphne, f"{prefix}/ws/client/{tenant.client.pk}/engagement{end}", token=user)
    assert (general.frame["scope"], one.frame["scope"]) == ("msp", "client")


async def test_any_other_path_is_refused_in_words(tenant, server, subtests):
    paths = ["/", "/ws/", "/ws/engagement/x", "/api/v2/ws/engagement", "/ws/client//engagement",
             "/ws/client/engagement",
             "/ws/engagements", "/api/v1/clients/", "/static/x.js", "/%00", "/%ff"]  # fmt: skip
    for path in paths:
        with subtests.test(path=path):
            assert_refused(await ask(server, path, token=token_for(tenant.msp_user)), "unknown_route")


async def test_parameters_that_mean_nothing_are_refused(tenant, server, subtests):
    stream = f"msp.{tenant.msp.pk}"
    queries = ["scope=mine", "scope=", "scope=SELECTED", "positions=x", "positions=1", f"positions={stream}",
               f"positions={stream}:x", f"positions={stream}:-1", f"positions={stream}:{2**53 + 1}",
               "positions=msp.1:1",
               f"positions={stream}:{'9' * 5000}", f"positions=other.{tenant.msp.pk}:1",
               "&".join(f"p{n}=1" for n in range(60))]  # fmt: skip
    for query in queries:
        with subtests.test(query=query[:60]):
            answer = await ask(server, query=query, token=token_for(tenant.msp_user))
            assert_refused(answer, "invalid_parameter")


@pytest.mark.parametrize("rate", ["", "0", "-2", "nan", "often", "61", "1e9"])
async def test_a_rate_that_is_none_is_refused_on_both_routes(tenant, server, rate):
    for path in (GENERAL, client_route(tenant.client.pk)):
        answer = await ask(server, path, query=f"rate={rate}", token=token_for(tenant.msp_user))
        assert_refused(answer, "invalid_parameter")
        assert "from 0.1 to 60" in answer.frame["message"]


async def test_an_id_is_known_in_every_spelling_and_answered_in_one(tenant, daphne):
    for spelling in (str(tenant.client.pk).upper(), tenant.client.pk.hex):
        answer = await ask(daphne, client_route(spelling), token=token_for(tenant.msp_user))
        assert answer.frame["client_id"] == str(tenant.client.pk)
        assert list(answer.frame["positions"]) == [f"client.{tenant.client.pk}"]


# The first frame


FIELDS = {"type", "status", "message", "scope", "user_role", "msp_id", "client_id", "connection_id", "positions",
          "epoch",
          "token_expires_at", "heartbeat_seconds", "protocol", "timestamp"}  # fmt: skip


async def test_the_first_frame_has_its_fields_exactly(tenant: Tenant, server, subtests):
    msp, client = str(tenant.msp.pk), str(tenant.client.pk)
    cells = {
        "an MSP's user": (tenant.msp_user, GENERAL, "msp", msp, None, f"msp.{msp}"),
        "an MSP's user on a client": (
            tenant.msp_user,
            client_route(client),
            "client",
            msp,
            client,
            f"client.{client}",
        ),
        "a client's user": (tenant.client_user, GENERAL, "client", None, client, f"client.{client}"),
        "a client's user on it": (
            tenant.client_user,
            client_route(client),
            "client",
            None,
            client,
            f"client.{client}",
        ),
    }
    for name, (user, path, scope, msp_id, client_id, stream) in cells.items():
        with subtests.test(name):
            before = timezone.now()
            frame = (await ask(server, path, token=token_ending_in(user, 300))).frame
            left_out = {
                name for name, value in {"msp_id": msp_id, "client_id": client_id}.items() if not value
            }
            assert set(frame) == FIELDS - left_out
            assert (frame["type"], frame["status"], frame["protocol"]) == (
                "connection",
                "connected",
                "compliance.v1",
            )
            assert (frame["scope"], frame["user_role"]) == (scope, user.role)
            assert (frame.get("msp_id"), frame.get("client_id")) == (msp_id, client_id)
            assert frame["positions"] == {stream: 0}
            assert frame["heartbeat_seconds"] == 30
            assert uuid.UUID(frame["connection_id"])
            assert uuid.UUID(frame["epoch"])
            assert abs(datetime.fromisoformat(frame["timestamp"]) - before) < timedelta(seconds=5)
            end = datetime.fromisoformat(frame["token_expires_at"])
            assert abs(end - before - timedelta(seconds=300)) < timedelta(seconds=5)
    with subtests.test("a session does not expire by itself"):
        session = cookie(await sync_to_async(session_of)(tenant.msp_user))
        assert (await ask(server, headers=session, origin=server.url)).frame["token_expires_at"] is None
    with subtests.test("selected clients: nothing is followed yet"):
        assert (await ask(server, query="scope=selected", token=token_for(tenant.msp_user))).frame[
            "positions"
        ] == {}


async def test_the_subprotocol_is_answered_and_a_refusal_speaks_it_too(tenant, server, subtests):
    token = token_for(tenant.msp_user)
    for offered, chosen in {
        ("compliance.v1",): "compliance.v1",
        ("compliance.v1+msgpack",): "compliance.v1+msgpack",
        ("compliance.v1+deflate",): "compliance.v1+deflate",
        ("x", "compliance.v1+msgpack", "compliance.v1"): "compliance.v1+msgpack",
    }.items():
        with subtests.test(offered=offered):
            assert (await ask(server, token=token, subprotocols=offered)).subprotocol == chosen
            refused = await ask(server, subprotocols=offered)
            assert refused.subprotocol == chosen
            assert_refused(refused, "authentication_required")


async def test_a_page_of_one_user_gets_no_socket_of_another(tenant, server, subtests):
    for path in (GENERAL, client_route(tenant.client.pk)):
        with subtests.test(path=path):
            query = f"user={tenant.client_user.pk}"
            assert_refused(
                await ask(server, path, query=query, token=token_for(tenant.msp_user)), "user_changed"
            )
            answer = await ask(server, path, query=query, token=token_for(tenant.client_user))
            assert answer.frame["type"] == "connection"
