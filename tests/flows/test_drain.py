"""A server process is replaced under load: its sockets are handed over, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connections

from realtime.events import publisher, reading
from realtime.models import LiveConnection, ServerProcess
from tests.factories import AlertFactory
from tests.live import wait_until
from tests.servers import PortalServer
from tests.sockets import Socket, is_event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SOCKETS = 24
DRAIN = 2.0
ENVIRONMENT = {
    "REALTIME_DRAIN_SECONDS": str(DRAIN),
    "REALTIME_HEARTBEAT": "0.3",
    "REALTIME_SWEEP_LOCAL": "0.05",
    "REALTIME_SWEEP_SHARED": "0.1",
}


@contextmanager
def load(tenant: Any) -> Iterator[None]:
    """Save alerts from a thread, some forty a second."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.025):
            AlertFactory(client=tenant.client)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class Handed:
    """What one client saw of the hand-over."""

    after_ms: int | None = None
    code: int | None = None
    closed_at: float = 0.0
    seqs: list[int] = field(default_factory=list)


async def live_through(
    socket: Socket, tenant: Any, elsewhere: PortalServer, final: asyncio.Future[int]
) -> Handed:
    """Take events until the close; come back elsewhere when told, resume, and go on to the end."""
    seen = Handed()
    stream = f"msp.{tenant.msp.pk}"
    epoch = socket.hello["epoch"]
    position = socket.hello["positions"][stream]
    try:
        while True:
            frame = await socket.receive(timeout=30)
            if frame["type"] == "reconnect":
                seen.after_ms = frame["after_ms"]
            elif is_event(frame):
                seen.seqs.append(frame["seq"])
                position = frame["seq"]
    except Exception:
        seen.code, seen.closed_at = socket.raw.close_code, time.monotonic()
    await asyncio.sleep((seen.after_ms or 100) / 1000)
    async with tenant.socket(
        elsewhere, path=f"/ws/engagement?positions={stream}:{position}&epoch={epoch}"
    ) as again:
        answer = await again.receive()
        assert (answer["type"], answer["from"]) == ("resumed", position)
        while not final.done() or position < final.result():
            try:
                frame = await again.receive(0.2)
            except TimeoutError:
                continue
            if is_event(frame):
                seen.seqs.append(frame["seq"])
                position = frame["seq"]
    return seen


def ask_to_stop(portal: PortalServer, how: str) -> None:
    if how == "SIGTERM":
        portal.stop()
    else:
        call_command("drain", str(portal.pid))
        connections.close_all()


def head(tenant: Any) -> int:
    return reading.head(f"msp.{tenant.msp.pk}")


def wait_for_more(tenant: Any) -> None:
    """Wait until ten more events have been placed."""
    enough = head(tenant) + 10
    wait_until(lambda: head(tenant) >= enough, "next to nothing is written")


async def handed_over(tenant: Any, leaving: PortalServer, staying: PortalServer, how: str) -> list[Handed]:
    """Connect to the one, write, stop it, and follow everybody to the other."""
    final: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    sockets = [await tenant.socket(leaving).__aenter__() for _ in range(SOCKETS)]
    with load(tenant):
        lives = [asyncio.create_task(live_through(socket, tenant, staying, final)) for socket in sockets]
        await sync_to_async(wait_for_more)(tenant)
        await asyncio.to_thread(ask_to_stop, leaving, how)
        await sync_to_async(wait_for_more)(tenant)
    assert await sync_to_async(publisher.flush)(10)
    final.set_result(await sync_to_async(head)(tenant))
    return await asyncio.wait_for(asyncio.gather(*lives), 30)


def check_nothing_lost(seen: list[Handed]) -> None:
    last = max(one.seqs[-1] for one in seen)
    assert last >= 20
    for one in seen:
        assert one.seqs == list(range(1, last + 1))


def check_rows(pid: int) -> None:
    process = ServerProcess.objects.get(pid=pid)
    assert process.stopped_at is not None
    rows = LiveConnection.objects.filter(process=process)
    assert rows.count() >= SOCKETS
    assert not rows.filter(closed_at=None).exists()
    assert set(rows.values_list("close_code", flat=True)) == {1012}


@pytest.mark.parametrize("how", ["SIGTERM", "drain"])
async def test_our_daphne_hands_its_sockets_over_one_after_the_other(tenant, portal_server, how):
    leaving, staying = (portal_server(env=ENVIRONMENT) for _ in range(2))
    pid = leaving.pid
    seen = await handed_over(tenant, leaving, staying, how)
    assert {one.code for one in seen} == {1012}
    delays = [one.after_ms for one in seen]
    assert None not in delays
    assert len(set(delays)) > SOCKETS / 2, "all come back at the same moment"
    times = sorted(one.closed_at for one in seen)
    assert times[-1] - times[0] > DRAIN / 2, "all were closed at once"
    check_nothing_lost(seen)
    await sync_to_async(check_rows)(pid)
    await sync_to_async(wait_until)(lambda: not leaving.is_running(), "the drained process still runs")


async def test_uvicorn_is_drained_by_the_command_too(tenant, portal_server):
    leaving, staying = portal_server("uvicorn", env=ENVIRONMENT), portal_server(env=ENVIRONMENT)
    pid = leaving.pid
    seen = await handed_over(tenant, leaving, staying, "drain")
    assert {one.code for one in seen} == {1012}
    assert len({one.after_ms for one in seen} - {None}) > SOCKETS / 2
    check_nothing_lost(seen)
    await sync_to_async(check_rows)(pid)


async def test_uvicorn_closes_with_1012_on_sigterm_and_nothing_is_lost(tenant, portal_server):
    """It does so by itself and all at once, before the application hears of it: no `reconnect` frame."""
    leaving, staying = portal_server("uvicorn", env=ENVIRONMENT), portal_server(env=ENVIRONMENT)
    pid = leaving.pid
    seen = await handed_over(tenant, leaving, staying, "SIGTERM")
    assert {one.code for one in seen} == {1012}
    check_nothing_lost(seen)

    def stopped() -> None:
        assert ServerProcess.objects.get(pid=pid).stopped_at is not None
        assert not LiveConnection.objects.filter(process__pid=pid, closed_at=None).exists()

    await sync_to_async(stopped)()


async def test_a_draining_process_is_not_ready_and_takes_no_new_socket(tenant, portal_server):
    portal = portal_server(env=ENVIRONMENT)
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{portal.url}/readyz")).status_code == 200
        sockets = [await tenant.socket(portal).__aenter__() for _ in range(4)]
        await sync_to_async(wait_until)(
            ServerProcess.objects.filter(pid=portal.pid).exists, "the process never said that it lives"
        )
        await asyncio.to_thread(
            lambda: (call_command("drain", str(portal.pid), "--no-wait"), connections.close_all())
        )
        deadline = time.monotonic() + 3
        while (answer := await http.get(f"{portal.url}/readyz")).status_code == 200:
            assert time.monotonic() < deadline, "still ready"
            await asyncio.sleep(0.02)
        assert (answer.status_code, answer.json()["draining"]) == (503, "yes")
        assert (await http.get(f"{portal.url}/healthz")).status_code == 200
        async with tenant.socket(portal) as late:
            assert (late.hello["type"], late.hello["code"]) == ("error", "restarting")
            assert (await late.closed())[0] == 1012
        for socket in sockets:
            assert (await socket.closed(timeout=10))[0] == 1012
    await sync_to_async(wait_until)(lambda: not portal.is_running(), "the drained process still runs")


def test_the_command_names_what_lives_and_refuses_what_does_not(portal_server, capsys):
    portal = portal_server(env=ENVIRONMENT)
    httpx.get(f"{portal.url}/readyz")
    with pytest.raises(CommandError, match="No such live server process"):
        call_command("drain", "12345678")
