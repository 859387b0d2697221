"""`python -m benchmarks.model`: what a million connections would take, from figures that were measured here.

Each resource's demand follows from the load that the options describe; what one unit of it takes comes from the newest
result file that measured it. Nothing is guessed: what was not measured is an option, and listed as assumed.

Connections and events are spread evenly. A core is one like those of the machine that was measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import FOLDER, Table, show, table_lines
from realtime.conf import RealtimeSettings

NEVER = math.inf


def _option(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the system, and of what it is built: the options of the command."""

    connections: int = _option(1_000_000, "connections, open all the time")
    clients: int = _option(20_000, "clients")
    msps: int = _option(200, "MSPs")
    events: float = _option(0.05, "events a second of one client, each of a transaction of its own")
    msp_share: float = _option(0.05, "share of the connections that follow an MSP's stream: all its clients")
    per_process: int = _option(10_000, "most connections of one process")
    together: bool = _option(
        False, "the proxy brings connections of one MSP and its clients to the same processes"
    )
    storm: float = _option(300.0, "seconds within which all connections come back after all were lost")
    cores: int = _option(8, "cores of a machine, for processes or for PostgreSQL")
    memory_gb: float = _option(32.0, "its memory in GB")
    network_gbit: float = _option(10.0, "its network in Gbit/s")
    use: float = _option(0.6, "how much of a core, or of any other limit, may be in use lastingly")

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            if option.name not in {"together", "msp_share", "events"} and not value > 0:
                raise ValueError(f"{option.name} is {value}; it takes more than 0.")
        if not 0 <= self.msp_share <= 1 or not 0 < self.use <= 1 or self.events < 0:
            raise ValueError("msp_share and use are shares, from 0 to 1; events is 0 or more.")


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number, and where it stands."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A part: what is asked of all of it, and what one of it gives (at full use)."""

    name: str
    unit: str
    demand: float
    one: float
    source: str
    addable: bool
    """Whether more of it can be had by adding: processes, machines, Redis servers."""

    def needed(self, use: float) -> int | None:
        """How many of it are needed; None where one is too little and no second can help."""
        count = max(1, math.ceil(self.demand / (self.one * use)))
        return count if self.addable or count == 1 else None

    @property
    def times(self) -> float:
        """How many times this load one of it takes, at full use."""
        return self.one / self.demand if self.demand else NEVER


FIGURES: dict[str, tuple[str, str]] = {
    "hear_us": ("hearing", "hear_cpu_us"),
    "deliver_us": ("hearing", "deliver_cpu_us"),
    "process_mb": ("hearing", "process_mb"),
    "place_us": ("ceilings", "placed_cpu_us"),
    "save_pg_us": ("ceilings", "save_pg_us"),
    "handshake_pg_us": ("hearing", "handshake_pg_us"),
    "publish_us": ("ceilings", "publish_cpu_us"),
    "copy_us": ("ceilings", "copy_cpu_us"),
}
"""Figures by name: the measure, and its name there. Those of rows are in `measured`."""


def measured(folder: Path = FOLDER) -> dict[str, Figure]:
    """Return the figures. Raise LookupError for a measure that no result file holds."""
    outcomes: dict[str, tuple[dict[str, Any], str]] = {}
    for path in sorted(folder.glob("*-bench*.json")):
        for name, outcome in json.loads(path.read_text())["outcomes"].items():
            if not outcome["failed"]:
                outcomes[name] = outcome, f"{name}, {path.name[:10]}"

    def of(name: str) -> tuple[dict[str, Any], str]:
        if name not in outcomes:
            raise LookupError(f"No result file holds `{name}`: run `python -m benchmarks --only {name}`.")
        return outcomes[name]

    def row(name: str, pick: Any, value: Any) -> Figure:
        outcome, source = of(name)
        return Figure(value(next(found for found in outcome["figures"]["rows"] if pick(found))), source)

    def largest(found: dict[str, Any]) -> bool:
        return bool(found["connections"] == 5000 and found["server"] == "daphne")

    figures = {
        key: Figure(of(name)[0]["figures"][kept], of(name)[1]) for key, (name, kept) in FIGURES.items()
    }
    figures["connection_kb"] = row("scale", largest, lambda found: found["busy_kb"])
    figures["idle_us"] = row("scale", largest, lambda found: found["cpu_idle"] / 100 / 5000 * 1e6)
    figures["event_bytes"] = row(
        "encodings", lambda found: found["title"] == "JSON", lambda found: found["all"]
    )
    figures["comeback_ms"] = row(
        "resuming", lambda found: "memory" in found["title"], lambda found: found["cpu_ms"]
    )
    return figures


def heard_by(processes: float, followers: float, *, together: float | None = None) -> float:
    """Return how many of `processes` hear a stream with `followers`, spread evenly at random.

    With `together`, they all are in so many processes.
    """
    among = processes if together is None else min(processes, together)
    return among * (1 - (1 - 1 / among) ** followers)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The processes that a load needs, and what they do."""

    processes: int
    heard: float
    """Events heard a second, over all processes."""
    deliveries: float
    cpu: float
    """Cores in use, without a storm."""
    hearing: float
    """Cores of these that go into taking events from Redis, before any is written to a socket."""


def fleet(load: Load, figures: dict[str, Figure]) -> Fleet:
    """Return the fleet: enough processes for the connections, and for their processor time.

    Hearing grows with the processes, since each hears every event that one of its connections follows; but never beyond
    once for each connection, so there always is a number that suffices.
    """
    events = load.clients * load.events
    of_client = load.connections * (1 - load.msp_share) / load.clients
    of_msp = load.connections * load.msp_share / load.msps
    deliveries = events * (of_client + of_msp)
    writing = (deliveries * figures["deliver_us"].value + load.connections * figures["idle_us"].value) / 1e6
    processes = math.ceil(load.connections / load.per_process)
    while True:
        home = max(1.0, processes / load.msps) if load.together else None
        heard = events * sum(heard_by(processes, of, together=home) for of in (of_client, of_msp))
        hearing = heard * figures["hear_us"].value / 1e6
        wanted = math.ceil((writing + hearing) / load.use)
        if wanted <= processes:
            return Fleet(processes, heard, deliveries, writing + hearing, hearing)
        processes = wanted


def resources(load: Load, figures: dict[str, Figure]) -> list[Resource]:
    """Return each part's demand and limit."""
    found = fleet(load, figures)
    events = load.clients * load.events
    redis = (2 * events * figures["publish_us"].value + found.heard * figures["copy_us"].value) / 1e6
    memory = (
        load.connections * figures["connection_kb"].value / 2**20
        + found.processes * figures["process_mb"].value / 2**10
    )
    traffic = found.deliveries * figures["event_bytes"].value * 8 / 1e9
    back = load.connections / load.storm

    def source(*names: str) -> str:
        return "; ".join(dict.fromkeys(figures[name].source for name in names))

    return [
        Resource(
            "processor time of the processes", "cores", found.cpu, 1, source("deliver_us", "hear_us", "idle_us"), True
        ),
        Resource("memory of the processes", "GB", memory, load.memory_gb, source("connection_kb", "process_mb"), True),
        Resource("network out", "Gbit/s", traffic, load.network_gbit, source("event_bytes"), True),
        Resource("Redis", "cores", redis, 1, source("publish_us", "copy_us"), True),
        Resource(
            "sequencing (one batch at a time)",
            "events/s",
            events,
            1e6 / figures["place_us"].value,
            source("place_us"),
            False,
        ),
        Resource(
            "PostgreSQL: saves of one event each, and sequencing them",
            "cores",
            events * figures["save_pg_us"].value / 1e6,
            load.cores,
            source("save_pg_us"),
            False,
        ),
        Resource(
            f"all come back in {load.storm:g} s: processes",
            "cores",
            back * figures["comeback_ms"].value / 1e3,
            1,
            source("comeback_ms"),
            True,
        ),
        Resource(
            f"all come back in {load.storm:g} s: PostgreSQL",
            "cores",
            back * figures["handshake_pg_us"].value / 1e6,
            load.cores,
            source("handshake_pg_us"),
            False,
        ),
    ]  # fmt: skip


def machines(load: Load, figures: dict[str, Figure]) -> int:
    """Return how many machines the processes need: for cores (a storm's too), memory and network."""
    by_name = {resource.name: resource for resource in resources(load, figures)}
    storm = by_name[f"all come back in {load.storm:g} s: processes"].demand
    cores = max(
        fleet(load, figures).processes, by_name["processor time of the processes"].demand / load.use, storm
    )
    needs = [cores / load.cores]
    needs += [
        by_name[name].demand / (by_name[name].one * load.use)
        for name in ("memory of the processes", "network out")
    ]
    return math.ceil(max(needs))


COLUMNS = {
    "name": "part",
    "demand": "asked of it",
    "one": "one takes",
    "times": "times this load, one of it",
    "needed": "needed",
    "source": "measured by",
}


def report(load: Load, figures: dict[str, Figure]) -> str:
    """Return the table, with what gives first."""
    found = resources(load, figures)
    table = Table("", COLUMNS)
    for part in found:
        needed = part.needed(load.use)
        table.rows.append(
            {
                "name": part.name,
                "demand": f"{show(float(part.demand))} {part.unit}",
                "one": f"{show(float(part.one))} {part.unit}",
                "times": show(part.times) if part.times != NEVER else "–",
                "needed": "**more than one, and it is one**" if needed is None else show(needed),
                "source": part.source,
            }
        )
    running = fleet(load, figures)
    first = min((part for part in found if not part.addable), key=lambda part: part.times)
    state = "gives at" if first.times >= 1 else "has given way at"
    work = (
        f"{running.processes:,} processes on {machines(load, figures):,} machines; "
        f"{show(float(running.deliveries))} deliveries/s; Redis carries "
        f"{show(2.0 * load.clients * load.events)} messages/s in and {show(float(running.heard))} out; "
        f"{running.hearing / running.cpu:.0%} of the processes' work is taking them in."
    )
    defaults = RealtimeSettings()
    upkeep = running.processes * (2 / defaults.sweep_shared + 1 / defaults.heartbeat)
    asked = (
        f"PostgreSQL sees {show(float(load.clients * load.events))} saves/s, at most as many batches, and "
        f"{show(upkeep)} queries/s of sweeps and heartbeats."
    )
    gives = f"Of what cannot be had by adding, **{first.name}** {state} {show(first.times)} times this load."
    return "\n".join([*table_lines(table), work, "", asked, "", gives])


def parser() -> argparse.ArgumentParser:
    """Return the command's options: the fields of `Load`."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__.split("\n\n")[0])
    for option in dataclasses.fields(Load):
        name, meaning = f"--{option.name.replace('_', '-')}", option.metadata["meaning"]
        if option.default is False:
            made.add_argument(name, action="store_true", help=meaning)
        else:
            kind, told = type(option.default), f"{meaning} (default: %(default)s)"
            made.add_argument(name, type=kind, default=option.default, help=told)
    return made


def assumptions() -> str:
    """Return the options as a table."""
    table = Table("", {"name": "option", "default": "default", "meaning": "meaning"})
    for option in dataclasses.fields(Load):
        default = "no" if option.default is False else f"{option.default:,}"
        name = f"`--{option.name.replace('_', '-')}`"
        table.rows.append({"name": name, "default": default, "meaning": option.metadata["meaning"]})
    return "\n".join(table_lines(table))


def main() -> None:
    """Print the report."""
    options = parser()
    try:
        load = Load(**vars(options.parse_args()))
        print(report(load, measured()))
    except (ValueError, LookupError) as error:
        options.error(str(error))


if __name__ == "__main__":
    main()
