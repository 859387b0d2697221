"""Python's garbage collector in a process that serves.

Left as it comes, it looks through all that was ever imported again and again, while requests and frames make
short-lived objects: that was a fifth of the processor time of a bulk request.
"""

from __future__ import annotations

import gc

THRESHOLDS = 10_000, 20, 20
"""Of `gc.set_threshold`; Python's own are 700, 10, 10. Reference cycles wait longer, some megabytes of them at most."""


def spare_what_stays() -> None:
    """Collect once, look at what is there now no more, and at what comes less often. Call it when all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
