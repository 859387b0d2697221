"""A state machine over the socket protocol: hypothesis makes up what clients do; a model of subscriptions and positions
says what each must get; a real server is asked. After every step each socket has exactly what the model expects."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from realtime.events import publisher, reading
from realtime.protocol.inbound import SEVERITIES
from tests.factories import AlertFactory, InteractionFactory
from tests.sockets import is_event, token_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EVENT_TOPICS = ("engagement_update", "interaction_update", "alert")
EXAMPLES, STEPS = 12, 25

clients = st.sampled_from([0, 1])
topics = st.lists(st.sampled_from(EVENT_TOPICS), min_size=1, max_size=3, unique=True)
severities = st.sampled_from(SEVERITIES)


@dataclass(frozen=True)
class Happened:
    """An event of the model: what filters look at."""

    client: str
    type: str
    severity: str


@dataclass
class Wish:
    """What a connection wants of a client, or of all."""

    topics: frozenset[str] = frozenset(EVENT_TOPICS)
    least: str | None = None

    def admits(self, event: Happened) -> bool:
        if event.type not in self.topics:
            return False
        return (
            self.least is None
            or event.type != "alert"
            or SEVERITIES.index(event.severity) >= SEVERITIES.index(self.least)
        )  # type: ignore[arg-type]


@dataclass
class Model:
    """What one socket must get: by stream its position and wishes, and what is due."""

    positions: dict[str, int] = field(default_factory=dict)
    whole: Wish = field(default_factory=Wish)
    parts: dict[str, Wish] = field(default_factory=dict)
    due: dict[str, list[int]] = field(default_factory=dict)

    def admits(self, event: Happened) -> bool:
        return self.parts.get(event.client, self.whole).admits(event)

    def catch_up(self, logs: dict[str, list[Happened]]) -> None:
        for stream, at in self.positions.items():
            log = logs.get(stream, [])
            wanted = [seq for seq in range(at + 1, len(log) + 1) if self.admits(log[seq - 1])]
            self.due.setdefault(stream, []).extend(wanted)
            self.positions[stream] = len(log)


class Client:
    """A socket and its model. `selected`: it follows the clients it subscribes to, not all of its MSP's."""

    def __init__(self, url: str, token: str, *, selected: bool) -> None:
        self.url, self.token, self.selected = url, token, selected
        self.model = Model()
        self.socket: ClientConnection | None = None
        self.epoch = ""
        self.got: dict[str, list[int]] = {}
        self.refs = 0

    def open(self, query: str = "") -> dict[str, Any]:
        scope = "scope=selected" if self.selected else "scope=all"
        self.socket = connect(  # entered by hand: it outlives this method
            f"{self.url}/ws/engagement?{scope}{query}",
            subprotocols=[Subprotocol("compliance.v1"), Subprotocol(f"bearer.{self.token}")],
            compression=None,
            ping_interval=None,
        ).__enter__()
        hello = self.receive()
        assert hello["type"] == "connection"
        self.epoch = hello["epoch"]
        return hello

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def receive(self) -> dict[str, Any]:
        assert self.socket is not None
        return json.loads(self.socket.recv(timeout=5))

    def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame; return its answer, and take the events that come before it."""
        assert self.socket is not None
        self.refs += 1
        self.socket.send(json.dumps({**frame, "ref": self.refs}))
        while True:
            answer = self.receive()
            if answer.get("ref") == self.refs:
                return answer
            assert is_event(answer), answer
            self.got.setdefault(answer["stream"], []).append(answer["seq"])

    def settle(self, heads: dict[str, int]) -> None:
        """Ping until all streams were sent to their heads: what is due has come then, and nothing else."""
        for _ in range(500):
            positions = self.ask(type="ping")["positions"]
            if all(positions[stream] >= heads.get(stream, 0) for stream in positions):
                return
            time.sleep(0.01)
        raise AssertionError(f"The server never came to {heads}: {positions}")


class Protocol(RuleBasedStateMachine):
    """Two sockets of an MSP's user: one follows all, one what it selects."""

    tenant: Any
    server: Any

    def __init__(self) -> None:
        super().__init__()
        token = token_for(self.tenant.msp_user)
        self.clients = (self.tenant.client, self.tenant.other_client)
        self.ids = [str(client.pk) for client in self.clients]
        self.msp = f"msp.{self.tenant.msp.pk}"
        self.logs: dict[str, list[Happened]] = {}
        # The log is the test's, shared by all examples: what earlier ones left in it counts.
        for stream in (self.msp, *(f"client.{key}" for key in self.ids)):
            rows = reading.page(stream, 0, 100_000, 2**40).rows
            self.logs[stream] = [Happened(row.client_id, row.type, row.severity) for row in rows]
        self.all = Client(self.server.ws_url, token, selected=False)
        self.chosen = Client(self.server.ws_url, token, selected=True)
        self.all.model.positions = dict(self.all.open()["positions"])
        self.chosen.open()
        assert set(self.all.model.positions) == {self.msp}

    def teardown(self) -> None:
        self.all.close()
        self.chosen.close()

    # What happens

    @rule(which=clients, severity=severities)
    def alert(self, which: int, severity: str) -> None:
        AlertFactory(client=self.clients[which], application=None, severity=severity)
        self._happened(which, "alert", severity)

    @rule(which=clients)
    def interaction(self, which: int) -> None:
        InteractionFactory(client=self.clients[which])
        self._happened(which, "interaction_update", "")

    def _happened(self, which: int, type_: str, severity: str) -> None:
        event = Happened(self.ids[which], type_, severity)
        self.logs[self.msp].append(event)
        self.logs[f"client.{self.ids[which]}"].append(event)
        assert publisher.flush(10)

    # What the one that follows all does

    @precondition(lambda self: self.all.socket)
    @rule(which=st.none() | clients, wanted=st.none() | topics, least=st.none() | severities)
    def narrow(self, which: int | None, wanted: list[str] | None, least: str | None) -> None:
        self._level(self.all)
        frame = {"client_id": self.ids[which]} if which is not None else {}
        answer = self.all.ask(type="subscribe", topics=wanted, min_severity=least, **frame)
        assert answer["type"] == "subscribed"
        assert answer["stream"] == self.msp
        assert set(answer["topics"]) == set(wanted or EVENT_TOPICS)
        self._set(which, Wish(frozenset(wanted or EVENT_TOPICS), least))

    @precondition(lambda self: self.all.socket)
    @rule(which=st.none() | clients, unwanted=st.none() | topics)
    def leave(self, which: int | None, unwanted: list[str] | None) -> None:
        self._level(self.all)
        frame = {"client_id": self.ids[which]} if which is not None else {}
        answer = self.all.ask(type="unsubscribe", topics=unwanted, **frame)
        assert answer["type"] == "unsubscribed"
        model = self.all.model
        before = model.whole if which is None else model.parts.get(self.ids[which], model.whole)
        left = Wish(before.topics - frozenset(unwanted), before.least) if unwanted else Wish(frozenset())
        assert set(answer["topics"]) == set(left.topics)
        self._set(which, left)

    def _set(self, which: int | None, wish: Wish) -> None:
        if which is None:
            self.all.model.whole = wish
        else:
            self.all.model.parts[self.ids[which]] = wish

    @precondition(lambda self: self.all.socket)
    @rule(back=st.integers(0, 12))
    def resume(self, back: int) -> None:
        self._level(self.all)
        head = len(self.logs[self.msp])
        position = max(0, head - back)
        answer = self.all.ask(type="resume", positions={self.msp: position}, epoch=self.all.epoch)
        assert (answer["type"], answer["from"], answer["to"], answer["count"]) == (
            "resumed",
            position,
            head,
            head - position,
        )
        self.all.model.positions[self.msp] = position

    @precondition(lambda self: self.all.socket)
    @rule(ahead=st.integers(1, 5), epoch=st.sampled_from(["another", None]))
    def resume_what_cannot_be(self, ahead: int, epoch: str | None) -> None:
        self._level(self.all)
        head = len(self.logs[self.msp])
        answer = self.all.ask(type="resume", positions={self.msp: head + ahead}, epoch=epoch)
        assert (answer["type"], answer["reason"], answer["seq"]) == (
            "resync",
            "epoch" if epoch else "ahead",
            head,
        )

    @precondition(lambda self: self.all.socket)
    @rule()
    def go_offline(self) -> None:
        self._level(self.all)
        self.all.close()

    @precondition(lambda self: not self.all.socket)
    @rule(in_query=st.booleans())
    def come_back(self, in_query: bool) -> None:
        """A new connection begins with no wishes, and resumes from where the old one was. Its server may not have
        swept up the newest events yet."""
        client = self.all
        position = client.model.positions[self.msp]
        hello = client.open(f"&positions={self.msp}:{position}&epoch={client.epoch}" if in_query else "")
        assert position <= hello["positions"][self.msp] <= len(self.logs[self.msp])
        answer = (
            client.receive()
            if in_query
            else client.ask(type="resume", positions={self.msp: position}, epoch=client.epoch)
        )
        assert (answer["type"], answer["from"], answer["count"]) == (
            "resumed",
            position,
            answer["to"] - position,
        )
        # What was swept up between the greeting and the resume came live, and comes again: it was asked for.
        client.got = {}
        client.model.whole, client.model.parts = Wish(), {}

    # What the one that selects does

    @rule(which=clients, wanted=st.none() | topics, least=st.none() | severities)
    def select(self, which: int, wanted: list[str] | None, least: str | None) -> None:
        self._level(self.chosen)
        key = self.ids[which]
        stream = f"client.{key}"
        answer = self.chosen.ask(type="subscribe", client_id=key, topics=wanted, min_severity=least)
        assert (answer["type"], answer["stream"]) == ("subscribed", stream)
        assert answer["seq"] == self.chosen.model.positions.setdefault(stream, answer["seq"])
        self.chosen.model.parts[key] = Wish(frozenset(wanted or EVENT_TOPICS), least)

    @rule(which=clients, unwanted=st.none() | topics)
    def deselect(self, which: int, unwanted: list[str] | None) -> None:
        self._level(self.chosen)
        key = self.ids[which]
        stream = f"client.{key}"
        model = self.chosen.model
        answer = self.chosen.ask(type="unsubscribe", client_id=key, topics=unwanted)
        if stream not in model.positions:
            assert (answer["type"], answer["code"]) == ("error", "not_subscribed")
            return
        left = (
            Wish(model.parts[key].topics - frozenset(unwanted), model.parts[key].least)
            if unwanted
            else Wish(frozenset())
        )
        assert set(answer["topics"]) == set(left.topics)
        if left.topics:
            model.parts[key] = left
        else:
            del model.positions[stream], model.parts[key]

    @rule(which=clients, back=st.integers(0, 8))
    def resume_selected(self, which: int, back: int) -> None:
        self._level(self.chosen)
        stream = f"client.{self.ids[which]}"
        head = len(self.logs[stream])
        position = max(0, head - back)
        answer = self.chosen.ask(type="resume", positions={stream: position}, epoch=self.chosen.epoch)
        if stream in self.chosen.model.positions:
            assert (answer["type"], answer["count"]) == ("resumed", head - position)
            self.chosen.model.positions[stream] = position
        else:
            assert (answer["type"], answer["reason"]) == ("resync", "unknown")

    @rule(
        text=st.sampled_from(["{", "[]", '{"type":"nonsense"}', '{"type":"ping","x":1}', '{"type":"resume"}'])
    )
    def nonsense(self, text: str) -> None:
        self._level(self.chosen)
        assert self.chosen.socket is not None
        self.chosen.socket.send(text)
        assert self.chosen.receive()["type"] == "error"

    # What must hold

    def _level(self, client: Client) -> None:
        """Take what is due, and compare."""
        if client.socket is None:
            return
        client.model.catch_up(self.logs)
        client.settle({stream: len(log) for stream, log in self.logs.items()})
        due = {stream: seqs for stream, seqs in client.model.due.items() if seqs}
        assert client.got == due
        client.got, client.model.due = {}, {}

    @invariant()
    def everybody_has_what_is_theirs(self) -> None:
        self._level(self.all)
        self._level(self.chosen)


def test_every_socket_gets_what_the_model_says(tenant, unhurried):
    machine = type("ProtocolOnServer", (Protocol,), {"tenant": tenant, "server": unhurried})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
