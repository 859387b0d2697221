"""From a saved row to the socket: what goes out, to whom, once and in order."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from engagement import actions
from engagement.models import Alert, Engagement, Interaction
from realtime import broadcast
from tests.factories import AlertFactory

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_saved_alert_arrives_with_its_fields_at_its_msp_and_its_client(tenant, server):
    async with tenant.socket(server) as msp, tenant.socket(server, tenant.client_user) as client:
        assert msp.hello["type"] == "connection"
        assert (msp.hello["scope"], client.hello["scope"]) == ("msp", "client")
        alert = await sync_to_async(AlertFactory)(
            client=tenant.client, application=tenant.application, severity="high", details="Leaked"
        )
        for socket, stream in ((msp, f"msp.{tenant.msp.pk}"), (client, f"client.{tenant.client.pk}")):
            [event] = await socket.events(1)
            assert {key: event[key] for key in ("type", "client_id", "stream", "seq")} == {
                "type": "alert",
                "client_id": str(tenant.client.pk),
                "stream": stream,
                "seq": socket.hello["positions"][stream] + 1,
            }
            data = event["data"]
            assert (data["severity"], data["details"], data["app"]) == ("high", "Leaked", "ChatGPT")
            assert data["id"] == str(alert.pk)
            assert event["timestamp"]


async def test_interactions_of_one_transaction_are_one_event_with_their_sum(tenant, daphne):
    def save_many() -> None:
        with transaction.atomic():
            for _ in range(20):
                Interaction.objects.create(client=tenant.client, application=tenant.application, count=3)

    async with tenant.socket(daphne) as socket:
        await sync_to_async(save_many)()
        [event] = await socket.events(1)
        await socket.silence()
    assert event["type"] == "interaction_update"
    assert event["data"]["app_id"] == str(tenant.application.pk)
    assert event["data"]["interaction_count"] == 60
    assert event["data"]["total_daily_interactions"] == 60


async def test_bulk_forms_are_told_like_saves(tenant, daphne):
    def rows() -> list[Interaction]:
        return [Interaction(client=tenant.client, application=tenant.application, count=2) for _ in range(5)]

    async with tenant.socket(daphne) as socket:
        await sync_to_async(Interaction.objects.bulk_create)(rows())
        [created] = await socket.events(1)
        assert created["data"]["interaction_count"] == 10

        await sync_to_async(Interaction.objects.filter(client=tenant.client).update)(count=5)
        [updated] = await socket.events(1)
        assert updated["data"]["interaction_count"] == 15
        assert updated["data"]["total_daily_interactions"] == 25

        def bulk_update() -> None:
            loaded = list(Interaction.objects.filter(client=tenant.client))
            for row in loaded:
                row.count = 1
            Interaction.objects.bulk_update(loaded, ["count"])

        await sync_to_async(bulk_update)()
        [bulk_updated] = await socket.events(1)
        assert bulk_updated["data"]["interaction_count"] == -20

        await sync_to_async(Interaction.objects.filter(client=tenant.client).delete)()
        [deleted] = await socket.events(1)
        assert deleted["data"]["interaction_count"] == -5
        assert deleted["data"]["total_daily_interactions"] == 0


async def test_an_alert_changed_and_deleted_is_told_each_time(tenant, daphne):
    """Each change is told with the row as it is when the event is sequenced, so they are made one after the other."""
    async with tenant.socket(daphne) as socket:
        alert = await sync_to_async(AlertFactory)(client=tenant.client, application=tenant.application)
        events = await socket.events(1)
        alert.status = Alert.Status.COMPLETE
        await alert.asave()
        events += await socket.events(1)
        await sync_to_async(Alert.objects.filter(pk=alert.pk).update)(severity="critical")
        events += await socket.events(1)
        await alert.adelete()
        events += await socket.events(1)
    assert [event["data"]["change"] for event in events] == ["created", "updated", "updated", "deleted"]
    assert [event["data"]["status"] for event in events] == ["Unassigned", "Complete", "Complete", "Complete"]
    assert events[2]["data"]["severity"] == "critical"


async def test_recorded_interactions_bring_changed_engagement_figures(tenant, daphne):
    use = actions.Use(application=tenant.application, count=4, user_ref="ana")
    async with tenant.socket(daphne) as socket:
        await sync_to_async(actions.record_interactions)(tenant.client, [use])
        events = {event["type"]: event for event in await socket.events(2)}
    [row] = events["engagement_update"]["data"]["applications"]
    assert row["application"] == "ChatGPT"
    assert row["active_users"] == 1
    assert set(events) == {"engagement_update", "interaction_update"}
    assert await Engagement.objects.acount() == 1


async def test_what_is_rolled_back_is_never_told(tenant, daphne):
    class Abandoned(Exception):
        pass

    def save_and_abandon() -> None:
        with transaction.atomic():
            AlertFactory(client=tenant.client, details="outer")
            try:
                with transaction.atomic():
                    AlertFactory(client=tenant.client, details="inner")
                    raise Abandoned
            except Abandoned:
                pass
        try:
            with transaction.atomic():
                AlertFactory(client=tenant.client, details="gone")
                raise Abandoned
        except Abandoned:
            pass

    async with tenant.socket(daphne) as socket:
        await sync_to_async(save_and_abandon)()
        [event] = await socket.events(1)
        assert event["data"]["details"] == "outer"
        await socket.silence()


async def test_broadcast_functions_take_the_same_road(tenant, daphne):
    ids = (str(tenant.client.pk), str(tenant.msp.pk))
    async with tenant.socket(daphne) as socket:
        await broadcast.abroadcast_alert(*ids, {"severity": "high", "details": "d", "app": "ChatGPT"})
        await sync_to_async(broadcast.broadcast_engagement_update)(*ids, {"departments": [1]})
        await broadcast.abroadcast_interaction_update(*ids, {"app_id": "x", "interaction_count": 5})
        events = await socket.events(3)
    assert [event["type"] for event in events] == ["alert", "engagement_update", "interaction_update"]
    assert events[0]["data"] == {"severity": "high", "details": "d", "app": "ChatGPT"}
    assert [event["seq"] for event in events] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda t: (t.client.pk, "00000000-0000-0000-0000-000000000000", {}), "no client"),
        (lambda t: ("nonsense", t.msp.pk, {}), "which is no key of one"),
        (lambda t: (t.client.pk, t.msp.pk, {"severity": "awful"}), "severity is 'awful'"),
        (lambda t: (t.client.pk, t.msp.pk, {"details": object()}), "must be JSON"),
        (lambda t: (t.client.pk, t.msp.pk, ["details"]), "an object"),
    ],
)
def test_broadcast_says_what_is_wrong(tenant, arguments, said):
    with pytest.raises(ValueError, match=said):
        broadcast.broadcast_alert(*arguments(tenant))


async def test_many_events_arrive_once_and_in_order_on_every_socket(tenant, server):
    sockets = [tenant.socket(server, path=f"/ws/engagement?batch={n % 2}") for n in range(6)]
    for socket in sockets:
        await socket.__aenter__()
    try:
        for number in range(60):
            await sync_to_async(AlertFactory)(client=tenant.client, details=str(number))
        for socket in sockets:
            events = await socket.events(60)
            assert [event["seq"] for event in events] == list(range(1, 61))
            assert [event["data"]["details"] for event in events] == [str(n) for n in range(60)]
    finally:
        for socket in sockets:
            await socket.raw.close()
