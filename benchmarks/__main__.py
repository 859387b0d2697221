"""`python -m benchmarks`: measure the portal beside its peers, on this machine, in one run."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks import cores, kit
from benchmarks.stage import Stage
from tests.servers import ServerError


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    from benchmarks.measures import MEASURES
    from benchmarks.measures.fanout import SERVERS

    measures = "\n".join(f"  {measure.name:10} {measure.what}" for measure in MEASURES)
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Start a real PostgreSQL (fsync on), a real Redis or Valkey, servers and a load client of raw\n"
            "WebSocket frames; measure; write JSON, a page and a plot into benchmarks/results/. What the peers\n"
            "need is installed into benchmarks/.venv and benchmarks/.peers at first; a peer that cannot be is\n"
            "left out, with a line that says why. Some 15 minutes; --quick some 4."
        ),
        epilog=f"measures:\n{measures}",
    )
    made.add_argument("--only", metavar="NAME", nargs="+", help="these measures only")
    made.add_argument(
        "--servers",
        metavar="KEY",
        nargs="+",
        choices=SERVERS,
        help=f"these servers only, in `fanout`: {', '.join(SERVERS)}",
    )
    made.add_argument(
        "--quick", action="store_true", help="fewer rounds, smaller sizes: to see that it works"
    )
    made.add_argument("--no-save", action="store_true", help="print the page, write no files")
    return made


def main() -> int:
    """Measure; return 1 where a measure failed or a target was missed."""
    from benchmarks import machine
    from benchmarks.measures import MEASURES
    from benchmarks.results import Outcome, Run, markdown

    options = parser().parse_args()
    known = {measure.name: measure for measure in MEASURES}
    unknown = set(options.only or ()) - set(known)
    if unknown:
        parser().error(f"no such measure: {', '.join(sorted(unknown))}. There are {', '.join(known)}.")
    chosen = [known[name] for name in known if not options.only or name in options.only]
    try:
        kit.make_venv()
        with Stage(quick=options.quick, servers=options.servers) as stage:
            what = "-".join(["bench", *(options.only or []), *(["quick"] if options.quick else [])])
            run = Run(what, machine.command(), dict(machine.describe()), machine.versions(stage))
            for number, measure in enumerate(chosen, 1):
                _say(f"[{number}/{len(chosen)}] {measure.name}: {measure.what}")
                others, started = cores.Others(), time.monotonic()
                try:
                    outcome = measure.run(stage, _indented)
                except Exception as error:
                    outcome = Outcome(failed=f"{type(error).__name__}: {error}")
                    _indented(f"failed: {outcome.failed}")
                    stage.renew_load()
                outcome.seconds = round(time.monotonic() - started, 1)
                outcome.others_percent = round(others.percent(), 1)
                _indented(
                    f"{outcome.seconds:.0f} s, others took {outcome.others_percent:.0f} % of the machine"
                )
                run.outcomes[measure.name] = outcome
    except (ServerError, kit.MissingError) as error:
        _say(str(error))
        return 1
    if options.no_save:
        print(markdown(run, None))
    else:
        print("\n".join(str(path.relative_to(kit.ROOT)) for path in run.save()))
    missed = [target for outcome in run.outcomes.values() for target in outcome.targets if not target.holds]
    for target in missed:
        _say(f"missed: {target.what}: {target.measured}, wanted {target.wanted}")
    return 1 if missed or any(outcome.failed for outcome in run.outcomes.values()) else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _indented(text: str) -> None:
    _say(f"    {text}")


if __name__ == "__main__":
    sys.exit(main())
