"""Our end of the load client (`benchmarks.load`)."""

from __future__ import annotations

import json
import select
import subprocess
from typing import Any

from benchmarks import cores, kit

SLACK_SECONDS = 60
CONNECT_SECONDS = 240


class LoadError(Exception):
    """The load client failed, or did not answer in time."""


class Load:
    """The load client's process, pinned to its core."""

    def start(self) -> None:
        """Start the process."""
        with cores.on(cores.LOAD):
            self._process = subprocess.Popen(
                [str(kit.PYTHON), "-m", "benchmarks.load"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=kit.ROOT,
                text=True,
            )

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def do(self, what: str, **order: Any) -> dict[str, Any]:
        """Give an order and return the answer; raise LoadError."""
        self.begin(what, **order)
        return self.answer(SLACK_SECONDS + order.get("seconds", 0))

    def begin(self, what: str, **order: Any) -> None:
        """Give an order."""
        if self._process.stdin is None:
            raise LoadError("The load client is not running.")
        self._process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self._process.stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any]:
        """Return the answer to the order given last."""
        output = self._process.stdout
        if output is None or not select.select([output], [], [], seconds)[0]:
            raise LoadError(f"The load client did not answer within {seconds:g} s.")
        line = output.readline()
        if not line:
            raise LoadError(f"The load client ended with status {self._process.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LoadError(answer["error"])
        return answer

    def connect(self, port: int, routes: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """Open sockets; raise LoadError if any is refused."""
        self.begin("connect", port=port, routes=routes, **options)
        answer = self.answer(CONNECT_SECONDS)
        if answer["failed"]:
            raise LoadError(f"{answer['failed']} sockets refused, the first with {answer['first_failure']}")
        return answer
