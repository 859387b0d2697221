"""Python programs that start in a third of the time: forked from a process that has imported the libraries.

Most of what a portal's process costs is the import of Django, Twisted and their kind: a second of CPU, and a test run
starts hundreds. Python's own fork server (`multiprocessing`) imports them once. It knows no settings and nothing of the
portal: each program reads its environment and imports the portal anew, as when it is typed.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import multiprocessing
import multiprocessing.connection
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LIBRARIES = [
    "autobahn.twisted.websocket",
    "channels.generic.websocket",
    "csp.middleware",
    "django.contrib.admin",
    "django.core.management.commands.runserver",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.test",
    "django_filters",
    "jsonschema",
    "psycopg_pool",
    "redis.asyncio",
    "rest_framework.serializers",
    "rich.progress",
    "structlog",
    "twisted.internet.asyncioreactor",
    "twisted.web.http",
    "uvicorn.main",
    "websockets.server",
    "whitenoise.middleware",
    "yaml",
]
"""What servers import and what can be imported without settings, a reactor or a loop. Not prometheus_client: as it is
imported, it reads in the environment whether its files are shared."""

PR_SET_PDEATHSIG = 1

_LOCK = threading.Lock()
"""A start asks after all processes, and of two threads that ask after the same one, one would get a wrong status."""


def is_possible() -> bool:
    """Return whether this system can fork such programs."""
    return sys.platform == "linux"


class WarmProcess:
    """A running program, with what `subprocess.Popen` would offer of it."""

    def __init__(
        self,
        arguments: list[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        errors: Path | None = None,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LIBRARIES)
        self._process: BaseProcess = context.Process(
            target=_be,
            args=(arguments, dict(environment), folder, output, errors or output),
            daemon=True,
        )
        with _LOCK:
            self._process.start()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The status it ended with; None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        """Return the status it ended with, or None while it runs."""
        with _LOCK:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; raise TimeoutExpired where it has not."""
        multiprocessing.connection.wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def manage(
    *arguments: str, environment: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` in a process of its own and return its status and what it printed, as `subprocess.run` does."""
    command = [sys.executable, "manage.py", *arguments]
    with tempfile.TemporaryDirectory(prefix="portal-manage-") as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        surroundings = {**os.environ, **(environment or {})}
        if is_possible():
            process = WarmProcess(
                command, environment=surroundings, folder=ROOT, output=output, errors=errors
            )
            try:
                status = process.wait(60)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                raise
        else:
            with output.open("wb") as out, errors.open("wb") as err:
                status = subprocess.run(
                    command, env=surroundings, cwd=ROOT, stdout=out, stderr=err, timeout=60, check=False
                ).returncode
        done = subprocess.CompletedProcess(command, status, output.read_text(), errors.read_text())
    if check:
        done.check_returncode()
    return done


def _measure_coverage() -> None:
    """Measure this program's coverage where the test run's is measured (`make coverage`)."""
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        import coverage

        inherited = coverage.Coverage.current()
        if inherited is not None:
            inherited.stop()
        coverage.process_startup(force=True)


def _be(arguments: list[str], environment: dict[str, str], folder: Path, output: Path, errors: Path) -> None:
    """Be the program: `[python, file, …]` or `[python, "-m", module, …]`."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the fork server ends with the test run
    os.setsid()  # Ctrl-C in the terminal is for the test run, which then stops its servers in order
    for descriptor, path in ((1, output), (2, errors)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    gc.freeze()
    _measure_coverage()
    sys.argv = arguments[1:]
    try:
        if sys.argv[0] == "-m":
            sys.argv.pop(0)
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:  # multiprocessing leaves out what Python does at its end
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
