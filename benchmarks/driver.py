"""Our end of the load client (`benchmarks.load`)."""

from __future__ import annotations

import json
from typing import Any

from benchmarks import cores, kit
from benchmarks.child import Child, ChildError

SLACK_SECONDS = 60
CONNECT_SECONDS = 240


class Load:
    """The load client's process, pinned to its core."""

    def start(self) -> None:
        """Start the process."""
        with cores.on(cores.LOAD):
            self._process = Child("benchmarks.load", python=kit.PYTHON)

    def stop(self) -> None:
        """End it."""
        self._process.end()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def do(self, what: str, **order: Any) -> dict[str, Any]:
        """Give an order and return the answer; raise ChildError."""
        self.begin(what, **order)
        return self.answer(SLACK_SECONDS + order.get("seconds", 0))

    def begin(self, what: str, **order: Any) -> None:
        """Give an order."""
        self._process.tell(json.dumps({"do": what, **order}))

    def answer(self, seconds: float) -> dict[str, Any]:
        """Return the answer to the order given last."""
        answer: dict[str, Any] = json.loads(self._process.hear(seconds))
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    def connect(self, port: int, routes: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """Open sockets; raise ChildError if any is refused."""
        self.begin("connect", port=port, routes=routes, **options)
        answer = self.answer(CONNECT_SECONDS)
        if answer["failed"]:
            raise ChildError(f"{answer['failed']} sockets refused, the first with {answer['first_failure']}")
        return answer
