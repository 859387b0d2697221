"""Run seeds from the command line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.reverts import Revert


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one, and tell all that happened")
    parser.add_argument("--seeds", type=int, default=2000, help="run so many")
    parser.add_argument(
        "--traces", type=int, help="run so many, and print what stands for all that happened in each"
    )
    parser.add_argument("--kind", help="only runs of this kind")
    parser.add_argument("--reverts", action="store_true", help="take each mend back, and find it")
    parser.add_argument("--named", default="", help="only mends with this in their name")
    parser.add_argument("--first", type=int, default=0, help="begin with this one")
    arguments = parser.parse_args()
    os.environ.update(
        DATABASE_URL="sqlite://:memory:",
        REDIS_URL="",
        ALLOWED_HOSTS="testserver",
        DEBUG="false",
        SECRET_KEY="of a simulation, which keeps no secrets",
        DJANGO_SETTINGS_MODULE="compliance_portal.settings",
    )
    from tests.simulation import clock

    clock.install()
    import django

    django.setup()
    from tests.simulation import plans, reverts, runs

    kind = plans.by_name(arguments.kind) if arguments.kind else None
    if arguments.reverts:
        named = [each for each in reverts.REVERTS if arguments.named in each.name]
        return find_reverts(named)
    if arguments.seed is not None:
        run = runs.run(arguments.seed, kind)
        print(run.story(10**6))
        print(f"trace {run.digest}")
        return int(run.violation is not None)
    if arguments.traces is not None:
        for seed in range(arguments.traces):
            print(seed, runs.run(seed).digest)
        return 0
    runs.install()
    began = REAL_TIME()
    failed = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        run = runs.run(seed, kind)
        if run.violation is not None:
            failed += 1
            print(f"seed {seed} ({run.kind}): {run.violation.invariant}: {run.violation.text}", flush=True)
    seconds = REAL_TIME() - began
    print(f"{arguments.seeds} seeds, {failed} violations, {arguments.seeds / seconds:.0f} seeds a second")
    return int(failed > 0)


def find_reverts(reverts: Iterable[Revert]) -> int:
    """Take mends back, and say within how many seeds each was found."""
    missed = 0
    for revert in reverts:
        found = revert.first_seed()
        if found is None or found[1].invariant not in revert.invariants:
            missed += 1
            print(f"MISSED {revert.name}: {found}", flush=True)
        else:
            print(
                f"found {revert.name}: {revert.kind} {found[0]}: {found[1].invariant}: {found[1].text}",
                flush=True,
            )
    return int(missed > 0)


REAL_TIME = time.perf_counter

if __name__ == "__main__":
    sys.exit(main())
