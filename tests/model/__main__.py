"""`python -m tests.model`: explore every scenario, two at a time, and print how many states each has."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ProcessPoolExecutor

from tests.model.delivery import Model, explore
from tests.model.scenarios import SCENARIOS


def explored(name: str) -> tuple[str, int]:
    """Explore one scenario. Raise Violation."""
    gc.disable()  # millions of tuples without a cycle among them
    memory, begin = SCENARIOS[name]
    return name, explore(Model(memory=memory), begin)


def main() -> None:
    """Explore them all."""
    started, total = time.monotonic(), 0
    with ProcessPoolExecutor(max_workers=2) as processes:
        for name, states in processes.map(explored, SCENARIOS):
            total += states
            print(f"{states:>9,}  {name}", flush=True)
    print(f"{total:>9,}  states in {time.monotonic() - started:.1f} s, no violation")


if __name__ == "__main__":
    main()
