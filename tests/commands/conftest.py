"""Commands as a user runs them: `run("emit_event", "alert", client="…")` returns what was printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO

import pytest
from django.core.management import call_command


@dataclass
class Printed:
    """What a command printed."""

    out: str
    err: str


@pytest.fixture
def run() -> Callable[..., Printed]:
    """Call a command, keeping what it prints."""

    def call(name: str, *args: object, **options: object) -> Printed:
        out, err = StringIO(), StringIO()
        call_command(name, *args, stdout=out, stderr=err, **options)
        return Printed(out.getvalue(), err.getvalue())

    return call
