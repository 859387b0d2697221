"""`manage.py reset_epoch`: after a restore nobody resumes into another history."""

from __future__ import annotations

import asyncio
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import F

from realtime.hub.hub import Hub
from realtime.models import Event, Log, Stream
from tests.factories import AlertFactory, two_tenants
from tests.operations.test_metrics import place
from tests.sockets import Socket, token_for


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("reset_epoch", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
class TestTheCommand:
    def test_it_changes_the_epoch_and_leaves_the_positions(self):
        AlertFactory()
        before = Log.current()
        said = run("--yes")
        after = Log.current()
        assert after.epoch != before.epoch
        assert after.position >= before.position
        assert str(after.epoch) in said

    @pytest.mark.parametrize("answer", ["no", "", "y"])
    def test_without_a_yes_nothing_changes(self, monkeypatch, answer):
        before = Log.current().epoch
        monkeypatch.setattr("builtins.input", lambda prompt: answer)
        with pytest.raises(CommandError, match="Nothing was changed"):
            run()
        assert Log.current().epoch == before

    def test_a_yes_will_do(self, monkeypatch):
        before = Log.current().epoch
        monkeypatch.setattr("builtins.input", lambda prompt: "yes")
        run()
        assert Log.current().epoch != before

    def test_without_a_terminal_it_does_not_wait(self, monkeypatch):
        def nobody(prompt: str) -> str:
            raise EOFError

        monkeypatch.setattr("builtins.input", nobody)
        with pytest.raises(CommandError, match="--yes"):
            run()


@pytest.mark.slow
async def test_a_client_of_the_old_epoch_refetches(daphne, in_thread):
    tenant = (await in_thread(two_tenants))[0]
    token = token_for(tenant.client_user)
    async with Socket(f"{daphne.ws_url}/ws/engagement", token=token) as socket:
        await in_thread(AlertFactory, client=tenant.client)
        (event,) = await socket.events(1)
        epoch = socket.hello["epoch"]
        await in_thread(run, "--yes")
        frame = await socket.receive()
        while frame["type"] != "resync":
            frame = await socket.receive()
        assert frame["reason"] == "epoch"  # who is connected
    new = str((await in_thread(Log.current)).epoch)

    async def resumed() -> dict:
        url = f"{daphne.ws_url}/ws/engagement?positions={event['stream']}:{event['seq']}&epoch={epoch}"
        async with Socket(url, token=token) as socket:
            return await socket.receive()

    frame = await resumed()
    assert (frame["type"], frame["reason"], frame["epoch"]) == ("resync", "epoch", new)  # and who comes back


def taken_back(stream_count: int, alerts: int, tenant: Any) -> None:
    """Put the log back by its last events, as a backup would, and have others take their positions, and more."""
    with transaction.atomic():
        log = Log.current(lock=True)
        Event.objects.filter(position__gt=log.position - stream_count).delete()
        Log.objects.update(position=log.position - stream_count)
        Stream.objects.update(position=F("position") - stream_count)
    for _ in range(alerts):
        AlertFactory(client=tenant.client)
    place()


@pytest.mark.parametrize("alerts", [0, 1, 2, 5])
async def test_a_restored_log_is_noticed_without_the_command(transactional_db, in_thread, alerts):
    """Also where new events have taken the old positions before anybody looked."""
    tenant = (await in_thread(two_tenants))[0]
    for _ in range(3):
        await in_thread(AlertFactory, client=tenant.client)
    await in_thread(place)
    hub = Hub()
    await hub.start()
    try:
        await hub.sweep()
        before = hub.epoch
        await in_thread(taken_back, 2, alerts, tenant)
        await hub.sweep()
        assert hub.epoch != before
        assert hub.epoch == str((await in_thread(Log.current)).epoch)
        renewed = hub.epoch
        await in_thread(AlertFactory, client=tenant.client)
        await in_thread(place)
        await hub.sweep()
        assert hub.epoch == renewed  # once
    finally:
        await hub.stop()


async def test_of_several_processes_one_renews_the_epoch(transactional_db, in_thread):
    tenant = (await in_thread(two_tenants))[0]
    await in_thread(AlertFactory, client=tenant.client)
    await in_thread(place)
    hubs = [Hub(), Hub()]
    for hub in hubs:
        await hub.start()
        await hub.sweep()
    try:
        await in_thread(taken_back, 1, 2, tenant)
        await asyncio.gather(*(hub.sweep() for hub in hubs))
        await asyncio.gather(*(hub.sweep() for hub in hubs))
        assert {hub.epoch for hub in hubs} == {str((await in_thread(Log.current)).epoch)}
    finally:
        for hub in hubs:
            await hub.stop()


async def test_retention_is_no_restore(transactional_db, in_thread):
    tenant = (await in_thread(two_tenants))[0]
    await in_thread(AlertFactory, client=tenant.client)
    await in_thread(place)
    hub = Hub()
    await hub.start()
    try:
        await hub.sweep()
        before = hub.epoch
        await in_thread(Event.objects.all().delete)
        await hub.sweep()
        await in_thread(AlertFactory, client=tenant.client)
        await in_thread(place)
        await hub.sweep()
        assert hub.epoch == before
    finally:
        await hub.stop()
