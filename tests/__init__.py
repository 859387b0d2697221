"""Tests of the portal."""

import pytest

pytest.register_assert_rewrite("tests.realtime.doors", "tests.sockets")
