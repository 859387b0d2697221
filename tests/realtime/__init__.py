"""Tests of delivery."""

import pytest

pytest.register_assert_rewrite("tests.realtime.doors", "tests.sockets")
