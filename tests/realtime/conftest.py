"""Fixtures of the socket tests: a tenant, its people, and what they are connected to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from asgiref.sync import sync_to_async

from engagement.models import MSP, Agent, Application, Client, User
from tests.factories import AgentFactory, ApplicationFactory, ClientFactory, MSPFactory, UserFactory
from tests.realtime.tight import tight
from tests.sockets import Socket, token_for

__all__ = ["tight"]


@dataclass
class Tenant:
    """An MSP with two clients, an application and an agent in the first, and a user of each kind."""

    msp: MSP
    client: Client
    other_client: Client
    application: Application
    agent: Agent
    msp_user: User
    client_user: User

    def socket(
        self, server: object, user: User | None = None, path: str = "/api/v1/ws/engagement", **options: object
    ) -> Socket:
        """Return a socket of `user` (default: the MSP's) to a server."""
        return Socket(f"{server.ws_url}{path}", token=token_for(user or self.msp_user), **options)  # type: ignore[attr-defined, arg-type]


def make_tenant() -> Tenant:
    """Make one."""
    msp = MSPFactory()
    client = ClientFactory(msp=msp)
    return Tenant(
        msp=msp,
        client=client,
        other_client=ClientFactory(msp=msp),
        application=ApplicationFactory(client=client, name="ChatGPT"),
        agent=AgentFactory(client=client),
        msp_user=UserFactory(role="msp_admin", msp=msp),
        client_user=UserFactory(role="client_user", client=client),
    )


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """Return a tenant."""
    return make_tenant()


@pytest.fixture
def in_thread() -> Callable[..., object]:
    """Return `await in_thread(function, ...)`: ORM work from an async test."""
    return lambda function, *args, **kwargs: sync_to_async(function, thread_sensitive=True)(*args, **kwargs)
