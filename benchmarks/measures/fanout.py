"""Fan-out: one stream, 500 connections, one server process on one core; the portal beside its peers.

*Sustained* is the rate at which events arrive while new ones are published as fast as they are taken, at most
`window` events ahead of the sockets. *Latency* is from just before an event is handed to the server (or to
Redis) to its receipt by each socket, at a fixed rate. One group message, inlet line or POST carries one event.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import cores
from benchmarks.peers.catalog import PEERS, WINDOW, Peer
from benchmarks.results import Outcome, Table, Target, show, spread
from benchmarks.stage import Stage, Tenant, route
from tests.servers.portal import Kind

Say = Callable[[str], None]

CONNECTIONS = 500
OFFERED = 20_000
"""Deliveries a second at which latency is taken."""

HEADROOM = 0.8
"""A server that does not sustain `OFFERED` is offered this share of what it does sustain."""

WANTED = {
    "deliveries": 300_000,
    "over_tutorial": 75,
    "over_nchan": 3,
    "single_over_tutorial": 10,
    "p99_ms": 25,
}


@dataclass(frozen=True, slots=True)
class Ours:
    """A way to run the portal and to listen to it."""

    key: str
    title: str
    kind: Kind = "daphne"
    batch: bool = True
    encoding: str | None = None

    def routes(self, tenant: Tenant, count: int) -> list[dict[str, Any]]:
        return [route(tenant.token, count, batch=self.batch, encoding=self.encoding)]

    @property
    def options(self) -> dict[str, Any]:
        return {"frames": self.encoding == "compliance.v1+deflate"}


OURS = (
    Ours("ours", "**portal, Daphne, batches**"),
    Ours("ours-single", "**portal, Daphne, a frame per event**", batch=False),
    Ours("ours-msgpack", "portal, Daphne, batches, MessagePack", encoding="compliance.v1+msgpack"),
    Ours("ours-deflate", "portal, Daphne, batches, deflate", encoding="compliance.v1+deflate"),
    Ours("ours-uvicorn", "portal, uvicorn, batches", kind="uvicorn"),
    Ours("ours-uvicorn-single", "portal, uvicorn, a frame per event", kind="uvicorn", batch=False),
)

SERVERS = (*(peer.key for peer in PEERS), *(ours.key for ours in OURS))

COLUMNS = {
    "title": "server",
    "per_second": "deliveries/s",
    "spread": "least – most",
    "cpu_us": "server CPU µs a delivery",
    "bytes": "bytes a delivery",
    "offered": "offered/s",
    "cpu_percent": "CPU % then",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "missing": "lost",
}


def sustained(
    stage: Stage, pid: int, publisher: dict[str, Any], fan_out: int, window: int = WINDOW
) -> dict[str, Any]:
    """Return the median and spread of deliveries a second of several rounds, and the server's CPU for each."""
    rates, cpu, size, missing = [], [], [], 0
    for _ in range(stage.pick(3, 2)):
        used, answer = (
            cores.cpu_seconds(pid),
            stage.load.do(
                "press", publisher=publisher, seconds=stage.pick(3.0, 1.5), fan_out=fan_out, window=window
            ),
        )
        cpu.append((cores.cpu_seconds(pid) - used) / max(1, answer["delivered"]) * 1e6)
        rates.append(answer["per_second"])
        size.append(answer["bytes_per_delivery"])
        missing += answer["missing"]
        publisher["heads"] = answer["heads"]
    rate = spread(rates)
    return {
        "per_second": rate["median"],
        "least": rate["least"],
        "most": rate["most"],
        "spread": f"{show(rate['least'])} – {show(rate['most'])}",
        "cpu_us": spread(cpu)["median"],
        "bytes": spread(size)["median"],
        "missing": missing,
    }


def offered(
    stage: Stage, pid: int, publisher: dict[str, Any], fan_out: int, deliveries: float
) -> dict[str, Any]:
    """Return latencies at `deliveries` a second: of the round whose p99 is the median one."""
    rounds = []
    for _ in range(stage.pick(3, 1)):
        used, started = cores.cpu_seconds(pid), time.perf_counter()
        answer = stage.load.do(
            "offer",
            publisher=publisher,
            events_per_second=deliveries / fan_out,
            seconds=stage.pick(3.0, 2.0),
            fan_out=fan_out,
        )
        publisher["heads"] = answer["heads"]
        answer["cpu_percent"] = (cores.cpu_seconds(pid) - used) / (time.perf_counter() - started) * 100
        rounds.append(answer)
    rounds.sort(key=lambda answer: answer.get("p99_ms", float("inf")))
    chosen = rounds[len(rounds) // 2]
    latencies = {key: chosen.get(key) for key in ("cpu_percent", "p50_ms", "p95_ms", "p99_ms", "max_ms")}
    return {
        "offered": round(deliveries),
        "lost_offered": sum(answer["missing"] for answer in rounds),
        **latencies,
    }


def run(stage: Stage, say: Say) -> Outcome:
    """Measure every peer that can be run here, then the portal."""
    table = Table(f"Fan-out: {CONNECTIONS} connections, 770-byte events, one process on one core", COLUMNS)
    rows: dict[str, dict[str, Any]] = {}
    for peer in filter(lambda peer: stage.compares(peer.key), PEERS):
        why = peer.missing()
        if why:
            say(f"{peer.title}: left out, {why}")
            table.notes.append(f"Left out: {peer.title} ({why}).")
            continue
        rows[peer.key] = _peer(stage, peer)
        say(_told(rows[peer.key]))
    comparable = HEADROOM * rows["seed"]["per_second"] if "seed" in rows else OFFERED
    at_seed: dict[str, Any] = {}
    tenant = Tenant()
    for ours in filter(lambda ours: stage.compares(ours.key), OURS):
        with stage.portal(ours.kind) as portal:
            stage.load.connect(portal.port, ours.routes(tenant, CONNECTIONS), **ours.options)
            publisher = tenant.announcing(stage.redis.url)
            row = sustained(stage, portal.pid, publisher, CONNECTIONS)
            row |= offered(
                stage, portal.pid, publisher, CONNECTIONS, min(OFFERED, HEADROOM * row["per_second"])
            )
            if ours.key == "ours":
                at_seed = offered(stage, portal.pid, publisher, CONNECTIONS, min(OFFERED, comparable))
        tenant = Tenant()  # its stream's positions are known to the server that ends here
        rows[ours.key] = row | {"title": ours.title}
        say(_told(rows[ours.key]))
    table.rows = sorted(rows.values(), key=lambda row: -row["per_second"])
    table.notes += [
        (
            "A frame per event is what the peers do; the portal writes frames that wait with one system call. With "
            "batches, what waited goes out as one frame. So a saturated server does less for each delivery; at the "
            "offered rate nothing waits."
        ),
        "Lost: of the sustained rounds. The core layer of channels_redis drops what goes beyond its capacity.",
    ]
    outcome = Outcome([table], figures={"rows": rows, "at_seed": at_seed})
    if {"ours", "ours-single"} <= rows.keys():
        outcome.tables.insert(0, _ratios(rows))
        outcome.targets = _targets(rows, at_seed)
    return outcome


def _peer(stage: Stage, peer: Peer) -> dict[str, Any]:
    server = peer.start(stage.redis.url)
    with cores.on(cores.SERVER):
        server.start()
    try:
        stage.load.connect(server.port, [{"path": peer.path, "count": CONNECTIONS}], **peer.connect)
        publisher = peer.publisher(server, stage.redis.url)
        row = sustained(stage, server.pid, publisher, CONNECTIONS, peer.window)
        row |= offered(stage, server.pid, publisher, CONNECTIONS, min(OFFERED, HEADROOM * row["per_second"]))
    finally:
        stage.load.do("close")
        server.close()
    return row | {"title": peer.title}


def _told(row: dict[str, Any]) -> str:
    return (
        f"{row['title'].strip('*')}: {show(row['per_second'])}/s; "
        f"p99 {show(row['p99_ms'])} ms at {row['offered']:,}/s offered"
    )


def _ratios(rows: dict[str, dict[str, Any]]) -> Table:
    columns = {
        "title": "the portal on Daphne delivers … times as much as",
        "ours": "with batches",
        "ours-single": "a frame per event",
    }
    table = Table("Ratios", columns)
    for peer in PEERS:
        if peer.key in rows:
            base = rows[peer.key]["per_second"]
            ratios = {key: rows[key]["per_second"] / base for key in ("ours", "ours-single")}
            table.rows.append({"title": peer.title, **ratios})
    return table


def _targets(rows: dict[str, dict[str, Any]], at_seed: dict[str, Any]) -> list[Target]:
    ours, single = rows["ours"], rows["ours-single"]
    targets = [_at_least("deliveries/s with batches", ours["per_second"], WANTED["deliveries"])]
    if "tutorial-pubsub" in rows:
        base = rows["tutorial-pubsub"]["per_second"]
        targets += [
            _at_least(
                "times the tutorial (pub/sub layer), with batches",
                ours["per_second"] / base,
                WANTED["over_tutorial"],
            ),
            _at_least(
                "times the tutorial (pub/sub layer), a frame per event",
                single["per_second"] / base,
                WANTED["single_over_tutorial"],
            ),
        ]
    if "nchan" in rows:
        ratio = ours["per_second"] / rows["nchan"]["per_second"]
        targets.append(_at_least("times nchan, with batches", ratio, WANTED["over_nchan"]))
    p99 = ours["p99_ms"]
    targets.append(
        Target(
            f"p99 at {OFFERED:,} deliveries/s",
            f"≤ {WANTED['p99_ms']} ms",
            f"{show(p99)} ms",
            p99 <= WANTED["p99_ms"],
        )
    )
    if "seed" in rows and at_seed:
        seed = rows["seed"]["p99_ms"]
        what = f"p99 at {at_seed['offered']:,}/s, which the in-process manager sustains"
        measured = f"{show(at_seed['p99_ms'])} ms"
        targets.append(Target(what, f"≤ its {show(seed)} ms", measured, at_seed["p99_ms"] <= seed))
    return targets


def _at_least(what: str, measured: float, wanted: float) -> Target:
    return Target(what, f"≥ {wanted:,}", show(float(measured)), measured >= wanted)
