"""Fixtures of what operators do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async


@pytest.fixture
def in_thread() -> Callable[..., object]:
    """Return `await in_thread(function, ...)`: ORM work from an async test."""
    return lambda function, *args, **kwargs: sync_to_async(function, thread_sensitive=True)(*args, **kwargs)
