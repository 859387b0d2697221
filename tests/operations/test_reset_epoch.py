"""`manage.py reset_epoch`: after a restore nobody resumes into another history."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from realtime.models import Log
from tests.factories import AlertFactory, two_tenants
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
