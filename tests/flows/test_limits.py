"""Connection limits, each reached by real sockets: an `error` frame, 1013, and room again when somebody goes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.factories import UserFactory
from tests.sockets import token_for

pytestmark = pytest.mark.django_db(transaction=True)

PER_USER, PER_CLIENT, PER_ADDRESS, PER_PROCESS = 2, 3, 5, 6
LIMITS = {
    "REALTIME_CONNECTIONS_PER_USER": str(PER_USER),
    "REALTIME_CONNECTIONS_PER_CLIENT": str(PER_CLIENT),
    "REALTIME_CONNECTIONS_PER_ADDRESS": str(PER_ADDRESS),
    "REALTIME_CONNECTIONS_PER_PROCESS": str(PER_PROCESS),
}


@pytest.fixture
def full(portal_server: Any) -> Any:
    """Return a server that is full soon."""
    return portal_server(env=LIMITS)


class Crowd:
    """Sockets of one test, from addresses of the loopback net."""

    def __init__(self, tenant: Any, server: Any, stack: AsyncExitStack) -> None:
        self.tenant, self.server, self.stack = tenant, server, stack

    async def user(self, role: str = "client_user", **fields: Any) -> Any:
        tenants = {"client": self.tenant.client} if role.startswith("client") else {"msp": self.tenant.msp}
        return await sync_to_async(UserFactory)(role=role, **(tenants | fields))

    async def come(self, user: Any, address: str = "127.0.0.1") -> tuple[Any, str]:
        """Connect; return the socket and how it was answered: `connection`, or the error's code and close code."""
        raw = await self.stack.enter_async_context(
            connect(
                f"{self.server.ws_url}/ws/engagement",
                subprotocols=[Subprotocol("compliance.v1"), Subprotocol(f"bearer.{token_for(user)}")],
                local_addr=(address, 0),
                compression=None,
                proxy=None,
            )
        )
        hello = self.tenant.socket(self.server).decode(await raw.recv())
        if hello["type"] == "connection":
            return raw, "connection"
        await raw.wait_closed()
        return raw, f"{hello['code']} {raw.close_code}: {hello['message']}"

    async def fill(self, users: list[Any], address: str = "127.0.0.1") -> list[Any]:
        sockets = []
        for user in users:
            raw, answer = await self.come(user, address)
            assert answer == "connection"
            sockets.append(raw)
        return sockets


def refused(answer: str, what: str) -> bool:
    return answer.startswith("too_many_connections 1013") and what in answer


async def room_again(crowd: Crowd, user: Any, address: str = "127.0.0.1") -> None:
    """Somebody has gone: the server notices within a moment."""
    for _ in range(50):
        _, answer = await crowd.come(user, address)
        if answer == "connection":
            return
    raise AssertionError(answer)


async def test_connections_of_a_user(tenant, full):
    async with AsyncExitStack() as stack:
        crowd = Crowd(tenant, full, stack)
        sockets = await crowd.fill([tenant.msp_user] * PER_USER)
        assert refused((await crowd.come(tenant.msp_user))[1], "this user")
        await crowd.fill([await crowd.user("msp_user")])
        await sockets[0].close()
        await room_again(crowd, tenant.msp_user)


async def test_connections_to_a_client(tenant, full):
    async with AsyncExitStack() as stack:
        crowd = Crowd(tenant, full, stack)
        sockets = await crowd.fill([await crowd.user() for _ in range(PER_CLIENT)])
        late = await crowd.user()
        assert refused((await crowd.come(late))[1], "this client")
        await crowd.fill([await crowd.user(client=tenant.other_client)])
        await sockets[0].close()
        await room_again(crowd, late)


async def test_connections_of_an_address_and_of_a_process(tenant, full):
    async with AsyncExitStack() as stack:
        crowd = Crowd(tenant, full, stack)
        await crowd.fill([await crowd.user("msp_user") for _ in range(PER_ADDRESS)])
        late = await crowd.user("msp_user")
        assert refused((await crowd.come(late))[1], "this address")
        others = await crowd.fill([late] * (PER_PROCESS - PER_ADDRESS), "127.0.0.2")
        assert refused((await crowd.come(late, "127.0.0.3"))[1], "this server process")
        await others[0].close()
        await room_again(crowd, late, "127.0.0.3")


async def test_handshakes_of_an_address(tenant, portal_server):
    server = portal_server(env={"REALTIME_HANDSHAKES_BURST": "4", "REALTIME_HANDSHAKES_PER_SECOND": "0.1"})
    async with AsyncExitStack() as stack:
        crowd = Crowd(tenant, server, stack)
        for _ in range(4):  # refused ones count too
            [socket] = await crowd.fill([tenant.msp_user])
            await socket.close()
        _, answer = await crowd.come(tenant.msp_user)
        assert answer.startswith("rate_limited 1013")
        await crowd.fill([tenant.msp_user], "127.0.0.2")
