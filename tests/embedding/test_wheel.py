"""The engine as a wheel: a portal that has the wheel alone migrates and shows its pages."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import realtime
from tests.embedding.test_existing_portal import EXAMPLE

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.once]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that nothing is written into the checkout."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "realtime", source / "realtime", ignore=ignored)
    (source / "docs").mkdir()
    for name in ("pyproject.toml", "LICENSE", "docs/embedding.md"):
        shutil.copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        made,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = made.glob("*.whl")
    return found


def test_it_holds_what_the_engine_needs_and_nothing_of_the_portal(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith(f"realtime_event_log-{realtime.__version__}-")
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"realtime", "realtime_event_log"}
    for path in (ROOT / "realtime").rglob("*"):
        relative = str(path.relative_to(ROOT))
        if path.is_file() and "__pycache__" not in relative:
            assert relative in names, relative


def test_a_portal_with_the_wheel_alone_migrates_and_checks(wheel, tmp_path):
    packages, portal = tmp_path / "packages", tmp_path / "a" / "b" / "portal"
    zipfile.ZipFile(wheel).extractall(packages)
    shutil.copytree(EXAMPLE, portal, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3*"))
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DATABASE", "DJANGO", "REALTIME"))
    }
    environment = kept | {
        "DB_NAME": str(tmp_path / "db.sqlite3"),
        "PYTHONPATH": os.pathsep.join([str(packages), *site.getsitepackages()]),
    }

    def manage(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=portal, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = "import realtime, sys; print(realtime.__file__); sys.exit('engagement' in sys.modules)"
    assert manage("shell", "--no-imports", "-c", where).startswith(str(packages))
    manage("migrate", "--verbosity", "0")
    assert "no issues" in manage("check")
    look = """
from django.contrib.auth.models import User
from django.test import Client
User.objects.create_superuser("root", password="x")
client = Client()
client.force_login(User.objects.get())
admin = "/admin/realtime"
for path in (f"{admin}/event/", f"{admin}/liveconnection/overview/", "/api/ws/schema/html", "/api/ws/stats", "/"):
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
print("seen")
"""
    assert manage("shell", "--no-imports", "-c", look).strip() == "seen"
