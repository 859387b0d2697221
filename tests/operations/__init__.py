"""Tests of what operators use: metrics, logs, admin, descriptions, deployment."""

import pytest

pytest.register_assert_rewrite("tests.realtime.doors", "tests.sockets")
