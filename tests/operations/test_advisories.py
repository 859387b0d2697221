"""No locked version is one that we know to be bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from check_advisories import KNOWN_BAD, bad  # noqa: E402
from check_locks import pins  # noqa: E402


def test_the_locked_versions_have_no_known_hole():
    subprocess.run([sys.executable, ROOT / "scripts" / "check_advisories.py"], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "version"), [("daphne", "4.2.1"), ("redis", "8.0.0"), ("django", "5.2.1"), ("twisted", "24.3.0")]
)
def test_a_bad_one_is_named(name, version):
    (problem,) = bad({name: {version}})
    assert name in problem
    assert version in problem


def test_the_list_is_of_packages_that_are_locked():
    assert KNOWN_BAD.keys() <= pins("requirements.lock").keys()
