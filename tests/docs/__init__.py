"""Tests of the documents."""

import pytest

pytest.register_assert_rewrite("tests.sockets")
