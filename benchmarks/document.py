"""Puts a result file into docs/performance.md: `python -m benchmarks.document benchmarks/results/<date>-bench.json`.

Every figure on that page comes from there; the words around them are written by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import kit
from benchmarks.results import Outcome, Run, Table, Target, markdown

PAGE = kit.ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: python -m benchmarks.document -->", "<!-- end of figures -->"


def load(path: Path) -> Run:
    """Return the run that a result file keeps."""
    kept = json.loads(path.read_text())
    kept["outcomes"] = {
        name: Outcome(
            **found
            | {
                "tables": [Table(**table) for table in found["tables"]],
                "targets": [Target(**target) for target in found["targets"]],
            }
        )
        for name, found in kept["outcomes"].items()
    }
    return Run(**kept)


def main(source: Path) -> None:
    """Replace what stands between the marks."""
    plot = source.with_suffix(".svg")
    figures = markdown(load(source), f"../benchmarks/results/{plot.name}" if plot.exists() else None)
    head, _, body = figures.partition("\n\n")
    origin = f"From [{source.name}](../benchmarks/results/{source.name}), {head.removeprefix('# ').lower()}."
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{origin}\n\n{body}\n{END}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
