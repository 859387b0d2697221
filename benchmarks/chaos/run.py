"""One run, from the first server to the verdict. Needs Django set up on the run's database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.chaos import faults, judge, watchers, world
from benchmarks.chaos.plan import Plan
from realtime import conf
from tests.servers import PortalServer, PostgresServer, RedisServer
from tests.servers.portal import ROOT

PLACED_SECONDS = 30.0
STOP_SECONDS = 20.0
RECORDS_SECONDS = 90.0
EXPECTED = ("channels_redis", "moved to the dead letters")
"""What the headings say of tracebacks that a run brings about."""
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT")


@dataclass
class Outcome:
    """What a run showed."""

    plan: Plan
    verdict: judge.Verdict
    broken: list[faults.Broken]
    reconnects: Counter[str]
    refused: Counter[str]
    failed_attempts: int
    replays: list[judge.Replayed]
    quiet_replays: list[judge.Replayed]
    """Those that no fault came between: none was on while they ran, nor had ended just before."""
    busiest_second: float | None
    """During drains: the largest share of all clients that came back within one second; None where there is
    nowhere else to go."""
    level: bool
    seconds: float
    crashed: list[str] = field(default_factory=list)


class Run:
    """A run on the database and Redis that are up already."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        console: Console,
        *,
        postgres: PostgresServer | None,
        redis: RedisServer | None,
        environment: dict[str, str],
        rate: float,
        poison: int,
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.console = console
        self.postgres = postgres
        self.redis = redis
        self.environment = environment
        self.rate = rate
        self.poison = poison
        """One in so many recorded changes cannot be published; 0: none."""
        self._writers = 0
        self._started = 0.0

    def __call__(self) -> Outcome:
        """Do it."""
        people = world.populate()
        began = time.monotonic()
        with ExitStack() as stack:
            portals = self._portals(stack)
            self._say(f"{len(portals)} server process(es) up: {', '.join(p.kind for p in portals)}")
            self._brief(people, portals)
            watching = self._start(stack, "benchmarks.chaos.watchers", str(self.folder))
            self._started = time.monotonic()
            writers = [self._writer(stack) for _ in range(self.plan.writers)]
            servers = faults.Servers(portals, self.postgres, self.redis, self._write_and_die)
            broken = self._break(servers)
            self._sleep_until(self.plan.seconds)
            for writer in writers:
                writer.terminate()
            crashed = [
                f"writer ended with {code}" for writer in writers if (code := writer.wait(STOP_SECONDS))
            ]
            heads = world.heads_of_all_committed(PLACED_SECONDS)
            self._say(f"writers stopped; waiting for {len(self.plan.watchers)} clients to be level")
            draft = self.folder / "final.tmp"
            draft.write_bytes(msgspec.json.encode(heads))
            draft.rename(self.folder / "final.json")
            if watching.wait(RECORDS_SECONDS):
                said = (self.folder / "benchmarks.chaos.watchers.log").read_text()[-4000:]
                raise RuntimeError(f"The clients' process ended with {watching.returncode}:\n{said}")
            crashed.extend(_tracebacks(portals))
        report = msgspec.json.decode((self.folder / "records.json").read_bytes(), type=watchers.Report)
        return self._outcome(report, broken, crashed, time.monotonic() - began)

    # Servers and processes

    def _portals(self, stack: ExitStack) -> list[PortalServer]:
        portals = []
        for number in range(self.plan.processes):
            portal = PortalServer(
                database_url=os.environ["DATABASE_URL"],
                redis_url=os.environ["REDIS_URL"],
                kind="uvicorn" if number == 2 else "daphne",
                environment=self.environment,
            )
            stack.callback(portal.close)
            portals.append(portal.start())
        return portals

    def _brief(self, people: list[world.Person], portals: list[PortalServer]) -> None:
        brief = watchers.Brief(
            seed=self.plan.seed,
            seconds=self.plan.seconds,
            servers=[portal.ws_url for portal in portals],
            people=[watchers.Person(person.token, person.stream, person.clients) for person in people],
            watchers=self.plan.watchers,
        )
        (self.folder / "brief.json").write_bytes(msgspec.json.encode(brief))

    def _start(self, stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        noise = stack.enter_context((self.folder / f"{module}.log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, env=self._environment(), stderr=noise
        )
        stack.callback(_end, process)
        return process

    def _environment(self) -> dict[str, str]:
        # What the writers warn of is what the run does to them.
        return {**os.environ, **self.environment, "LOG_LEVEL": "ERROR"}

    def _writer_arguments(self) -> list[str]:
        number = self._writers
        self._writers += 1
        journal = self.folder / f"writer-{number}.log"
        return ["--seed", f"{self.plan.seed}.{number}", "--journal", str(journal)]

    def _writer(self, stack: ExitStack) -> subprocess.Popen[bytes]:
        rate = self.rate / self.plan.writers
        limits = ["--rate", str(rate), "--seconds", str(self.plan.seconds * 2 + 60)]
        limits += ["--poison", str(self.poison)]
        return self._start(stack, "benchmarks.chaos.writer", *self._writer_arguments(), *limits)

    def _write_and_die(self) -> subprocess.CompletedProcess[bytes]:
        command = [
            sys.executable,
            "-m",
            "benchmarks.chaos.writer",
            *self._writer_arguments(),
            "--killed-after-commit",
        ]
        return subprocess.run(command, cwd=ROOT, env=self._environment(), timeout=60, check=False)

    # Faults

    def _break(self, servers: faults.Servers) -> list[faults.Broken]:
        broken: list[faults.Broken] = []
        for fault in self.plan.faults:
            self._sleep_until(fault.at)
            self._say(f"{fault.kind} …")
            done = servers.commit(fault)
            broken.append(done)
            done.heads = world.heads_of_all_committed(PLACED_SECONDS)
            self._say(f"{fault.kind} ({done.target}) mended after {done.mended - done.began:.1f} s")
        return broken

    def _sleep_until(self, at: float) -> None:
        time.sleep(max(0.0, self._started + at - time.monotonic()))

    def _say(self, what: str) -> None:
        at = time.monotonic() - self._started if self._started else 0.0
        self.console.print(f"[dim]{at:6.1f} s[/dim]  {what}")

    # The end

    def _outcome(
        self, report: watchers.Report, broken: list[faults.Broken], crashed: list[str], seconds: float
    ) -> Outcome:
        truth = world.truth()
        verdict = judge.Verdict(events=truth.events)
        reconnects: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        failed = sum(log.failed_attempts for log in report.logs)
        for log in report.logs:
            reconnects.update(why for _, why in log.reconnects)
            refused.update(log.refused)
            verdict.foreign += len(log.foreign)
            for record in log.records:
                stream = truth.streams.get(record.stream, [])
                judge.judge_record(record, stream, conf.current().backlog_events, verdict)
        outcomes = world.journal(self.folder)
        judge.judge_journal(outcomes, truth, verdict)
        judge.judge_poison(outcomes, truth, verdict)
        for done in broken:
            done.stayed, done.level_after = _recovery(report, done)
        replays = [replay for log in report.logs for replay in log.replays if 1.5 <= replay.gap <= 3.5]
        return Outcome(
            plan=self.plan,
            verdict=verdict,
            broken=broken,
            reconnects=reconnects,
            refused=refused,
            failed_attempts=failed,
            replays=replays,
            quiet_replays=[replay for replay in replays if not _disturbed(replay, broken)],
            busiest_second=_busiest_second(report, broken, len(self.plan.watchers))
            if self.plan.processes > 1
            else None,
            level=report.level,
            seconds=seconds,
            crashed=crashed,
        )


def _recovery(report: watchers.Report, done: faults.Broken) -> tuple[int, float | None]:
    """Return how many clients stayed (were not offline of their own will), and the seconds until the last of them had
    all that was committed when the fault was mended; None if one never had."""
    slowest = 0.0
    stayed = 0
    for log in report.logs:
        reached = [record.level_at(done.heads.get(record.stream, 0), done.mended) for record in log.records]
        if any(at is None for at in reached):
            return stayed, None
        last = max((at for at in reached if at is not None), default=done.mended)
        if any(begin < last and end > done.mended for begin, end in log.offline):
            continue
        stayed += 1
        slowest = max(slowest, last - done.mended)
    return stayed, slowest


def _disturbed(replay: judge.Replayed, broken: list[faults.Broken]) -> bool:
    begin = replay.at - replay.seconds
    return any(
        begin < done.mended + (done.level_after or 0.0) + 1.0 and replay.at > done.began for done in broken
    )


def _busiest_second(report: watchers.Report, broken: list[faults.Broken], clients: int) -> float | None:
    drains = [done for done in broken if done.kind == "server_drain"]
    if not drains:
        return None
    busiest = 0
    for done in drains:
        moments = sorted(
            at
            for log in report.logs
            for at, why in log.reconnects
            if why == "1012" and done.began <= at <= done.mended + 2
        )
        for index, at in enumerate(moments):
            busiest = max(busiest, sum(other < at + 1 for other in moments[index:]))
    return busiest / clients


def _tracebacks(portals: list[PortalServer]) -> list[str]:
    """Return what the servers logged with a traceback, each once, with how often.

    Left out is what channels_redis says of a Redis that is gone: it logs so before it connects again; and what went to
    the dead letters, which is judged by its rows.
    """
    found: Counter[str] = Counter()
    for portal in portals:
        heading = ""
        for line in portal.log_text().splitlines():
            if line.startswith("Traceback (most recent call last)"):
                if heading and not any(expected in heading for expected in EXPECTED):
                    found[f"{portal.kind}: {heading[:160]}"] += 1
                heading = ""  # what follows in a chain belongs to the same
            elif LOG_LINE.match(line):
                heading = line.partition("[")[2]
    return [f"{count} x {what}" for what, count in found.items()]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
