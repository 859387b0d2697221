"""Access taken away in bulk, by cascade, and beside a socket that takes nothing: nobody keeps what is not theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from engagement.models import MSP, Client, User
from realtime.broadcast import broadcast_alert
from tests.access_writes import DELETES, RELATED, WRITES
from tests.factories import AlertFactory, ClientFactory, MSPFactory, UserFactory
from tests.flows.test_stalled_reader import stalled
from tests.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)

BOUND = 1.5
"""Seconds from the commit to the close, on a busy test machine; `benchmarks.revocation` measures the promised 1 s."""

DEEDS: dict[str, Callable[[Any], object]] = {
    "the user is deleted": lambda t: t.client_user.delete(),
    "users are deleted in bulk": lambda t: User.objects.filter(pk=t.client_user.pk).delete(),
    "their client is deleted": lambda t: t.client.delete(),
    "clients are deleted in bulk": lambda t: Client.objects.filter(pk=t.client.pk).delete(),
    "their MSP is deleted": lambda t: MSP.objects.filter(pk=t.msp.pk).delete(),
    "users are deactivated in bulk": lambda t: User.objects.filter(pk=t.client_user.pk).update(
        is_active=False
    ),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_socket_ends_when_its_access_does(tenant, daphne, deed):
    async with tenant.socket(daphne, tenant.client_user) as socket:
        await sync_to_async(DEEDS[deed])(tenant)
        done = time.monotonic()
        code, _ = await socket.closed(timeout=5)
        assert code == 4003
        assert time.monotonic() - done < BOUND


async def test_every_write_to_a_user_ends_that_users_socket_and_no_other(tenant, server):
    """All forms at once, each of a user of its own."""
    forms = [*WRITES, *DELETES]
    users = [await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp) for _ in forms]

    def write() -> None:
        for form, user in zip(forms, users, strict=True):
            if form in WRITES:
                WRITES[form](User, user.pk, "is_active", False)
            else:
                DELETES[form](User, user.pk)
        AlertFactory(client=tenant.client, details="after")

    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(tenant.socket(server, user)) for user in users]
        colleague = await stack.enter_async_context(tenant.socket(server))
        own = await stack.enter_async_context(tenant.socket(server, tenant.client_user))
        await sync_to_async(write)()
        closed = await asyncio.gather(*(socket.closed() for socket in sockets))
        assert dict(zip(forms, (code for code, _ in closed), strict=True)) == dict.fromkeys(forms, 4003)
        for socket in (colleague, own):
            [event] = await socket.events(1)
            assert event["data"]["details"] == "after"


async def test_every_write_that_moves_a_client_cuts_its_former_msp_off(tenant, server):
    """By each form a client of its own, watched on its route; its own people keep their sockets."""
    forms = [*WRITES, *RELATED]
    clients = [await sync_to_async(ClientFactory)(msp=tenant.msp) for _ in forms]
    people = [await sync_to_async(UserFactory)(role="client_user", client=client) for client in clients]

    def move() -> None:
        other = MSPFactory()
        for form, client in zip(forms, clients, strict=True):
            if form in WRITES:
                WRITES[form](Client, client.pk, "msp", other)
            else:
                RELATED[form](other, client)
            AlertFactory(client=client, details="after")
        AlertFactory(client=tenant.client, details="the MSP's own")

    async with AsyncExitStack() as stack:
        watching = [
            await stack.enter_async_context(tenant.socket(server, path=f"/ws/client/{client.pk}/engagement"))
            for client in clients
        ]
        whole = await stack.enter_async_context(tenant.socket(server))
        kept = [await stack.enter_async_context(tenant.socket(server, user)) for user in people]
        await sync_to_async(move)()
        closed = await asyncio.gather(*(socket.closed() for socket in watching))
        assert dict(zip(forms, (code for code, _ in closed), strict=True)) == dict.fromkeys(forms, 4003)
        for socket in kept:
            [event] = await socket.events(1)
            assert event["data"]["details"] == "after"
        [event] = await whole.events(1)
        assert event["data"]["details"] == "the MSP's own"


async def test_a_stalled_reader_delays_no_revocation(tenant, daphne):
    """Both follow a client that goes to another MSP; the one that is asked first takes nothing more."""
    path = "/ws/engagement?scope=selected"
    async with stalled(tenant.socket(daphne, path=path)) as first:
        await first.send({"type": "subscribe", "client_id": str(tenant.client.pk)})
        async with tenant.socket(daphne, path=path) as second:
            await second.ask({"type": "subscribe", "client_id": str(tenant.client.pk)})

            def flood() -> None:
                for _ in range(150):
                    broadcast_alert(tenant.client.pk, tenant.msp.pk, {"details": "x" * 40_000})

            await sync_to_async(flood)()
            await second.events(150, timeout=20)

            def move() -> None:
                client = Client.objects.get(pk=tenant.client.pk)
                client.msp = MSPFactory()
                client.save()

            await sync_to_async(move)()
            frame = await second.receive(timeout=BOUND)
            assert (frame["type"], frame["client_id"]) == ("unsubscribed", str(tenant.client.pk))
            await sync_to_async(AlertFactory)(client=tenant.client)
            await second.silence()


async def test_a_moved_client_leaves_all_its_watchers_of_the_old_msp_at_once(tenant, daphne):
    """Sixty sockets on it: the last is no later than the bound."""
    path = f"/ws/client/{tenant.client.pk}/engagement"
    users = [await sync_to_async(UserFactory)(role="msp_user", msp=tenant.msp) for _ in range(3)]
    sockets = [await tenant.socket(daphne, users[n % 3], path).__aenter__() for n in range(60)]

    def move() -> None:
        client = Client.objects.get(pk=tenant.client.pk)
        client.msp = MSPFactory()
        client.save()

    await sync_to_async(move)()
    done = time.monotonic()

    async def ended(socket: Socket) -> tuple[int | None, float]:
        code, _ = await socket.closed(timeout=10)
        return code, time.monotonic() - done

    ends = await asyncio.gather(*(ended(socket) for socket in sockets))
    assert {code for code, _ in ends} == {4003}
    assert max(after for _, after in ends) < BOUND


async def test_a_slow_line_still_hears_why_it_was_closed(tenant, server):
    """Two seconds until a phone reads again: the close frame must be there, not a connection reset."""
    async with tenant.socket(server, tenant.client_user) as socket:
        socket.raw.transport.pause_reading()

        def deactivate() -> None:
            tenant.client_user.is_active = False
            tenant.client_user.save()

        await sync_to_async(deactivate)()
        await asyncio.sleep(2.5)
        socket.raw.transport.resume_reading()
        code, _ = await socket.closed()
        assert code == 4003
