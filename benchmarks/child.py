"""Processes of a measure that are told something in a line and answer in a line."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from benchmarks import kit

ANSWER_SECONDS = 120


class ChildError(Exception):
    """The process failed, or did not answer in time."""


class Child:
    """A running `python -m MODULE`, by `python` (ours, unless another is given)."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        python: Path | str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=kit.ROOT,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, line: str = "") -> None:
        """Write a line to it."""
        if self._process.stdin is None:
            raise ChildError(f"{self.module} has no input.")
        print(line, file=self._process.stdin, flush=True)

    def hear(self, seconds: float = ANSWER_SECONDS) -> str:
        """Return the next line it writes; raise ChildError."""
        output = self._process.stdout
        if output is None or not select.select([output], [], [], seconds)[0]:
            raise ChildError(f"{self.module} did not answer within {seconds:g} s.")
        line = output.readline()
        if not line:
            raise ChildError(f"{self.module} ended with status {self._process.wait()}.")
        return line

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
