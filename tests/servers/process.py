"""One server in one process: start, stop, kill, pause, resume, restart, and the end of its log when it fails."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Self

from tests.servers.warm import WarmProcess, is_possible

LOOPBACK = "127.0.0.1"
# Below the range from which kernels take the local ports of outgoing connections: a client that hammers the port of
# a stopped server there can, on loopback, connect to itself and so keep the port from the server's restart.
PORTS = range(20_000, 32_000)
LOG_TAIL_LINES = 15


class ServerError(RuntimeError):
    """A server that could not start, or did not stop; the message names it, the reason and the end of its log."""


class ServerProcess:
    """A server process with a port and a folder of its own, both kept over a restart and given up by `close`.

    `warm`: start it, where it is written in Python, from a process that has imported the libraries (`warm.py`).
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_seconds: ClassVar[float] = 30
    stop_seconds: ClassVar[float] = 10

    def __init__(self, *, warm: bool = False) -> None:
        self.warm = warm and is_possible()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"portal-{self.name.lower()}-"))
        self.log_path = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | WarmProcess | None = None

    # What a kind of server says of itself.

    def prepare(self) -> None:
        """Make what the server needs in its folder; runs before every start."""

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return the environment the server runs in."""
        return os.environ

    def working_folder(self) -> Path:
        """Return the folder the server runs in."""
        return self.folder

    def user(self) -> str | None:
        """Return the name of the system user to run as, or None for ours."""
        return None

    def is_ready(self) -> bool:
        """Ask the server for an answer; an OSError means "not yet"."""
        raise NotImplementedError

    # What callers do with it.

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def is_running(self) -> bool:
        """Tell whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def log_text(self) -> str:
        """Return everything the server has printed since its first start."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> Self:
        """Start the server and return once it answers; raise ServerError where it does not."""
        if self.is_running():
            raise ServerError(f"{self.name} is already running as process {self.pid}.")
        try:
            self.prepare()
            self._launch()
            self._wait_until_ready()
        except OSError as error:
            raise self._failure("cannot start", str(error)) from error
        return self

    def stop(self) -> None:
        """Ask the server to stop and wait for it; kill it and raise ServerError if it does not."""
        if not self.is_running():
            return
        self.resume()
        process, tree = self._running(), process_tree(self.pid)
        process.send_signal(self.stop_signal)
        try:
            process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            reason = f"still running {self.stop_seconds:g} s after {self.stop_signal.name}, so it was killed"
            raise self._failure("did not stop", reason) from None
        _wait_until_gone(tree, self.stop_seconds)

    def kill(self) -> None:
        """End the server and its children at once with SIGKILL, as a crash would."""
        tree = process_tree(self.pid)
        _signal_all(tree, signal.SIGKILL)
        self._running().wait()
        _wait_until_gone(tree, self.stop_seconds)

    def pause(self) -> None:
        """Freeze the server and its children with SIGSTOP: connections stay open, nothing answers."""
        _signal_all(process_tree(self.pid), signal.SIGSTOP)
        wait_until(lambda: not _runs(self.pid), self.stop_seconds, every=0.001)  # it runs on for a moment

    def resume(self) -> None:
        """Let a paused server go on."""
        _signal_all(process_tree(self.pid), signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server if it runs and start it on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    # How it is done.

    def _running(self) -> subprocess.Popen[bytes] | WarmProcess:
        if self._process is None:
            raise ServerError(f"{self.name} was never started.")
        return self._process

    def _launch(self) -> None:
        if self.warm:
            self._process = WarmProcess(
                self.command(),
                environment=self.environment(),
                folder=self.working_folder(),
                output=self.log_path,
            )
            return
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*_ending_with_us(), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.working_folder(),
                env=dict(self.environment()),
                user=self.user(),
                # Ctrl-C in the terminal is for the test run, which then stops its servers in order.
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        try:
            ready = wait_until(lambda: not self.is_running() or self._answers(), self.start_seconds)
        except BaseException:
            self.kill()
            raise
        if not self.is_running():
            raise self._failure("cannot start", f"it ended with status {self._running().returncode}")
        if not ready:
            self.kill()
            raise self._failure(
                "cannot start", f"no answer on port {self.port} within {self.start_seconds:g} s"
            )

    def _answers(self) -> bool:
        try:
            return self.is_ready()
        except OSError:
            return False

    def _failure(self, what: str, reason: str) -> ServerError:
        tail = "\n".join(f"    {line}" for line in self.log_text().splitlines()[-LOG_TAIL_LINES:])
        return ServerError(f"{self.name} {what}: {reason}." + (f" Its log ends:\n{tail}" if tail else ""))


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    for port in random.sample(PORTS, k=100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ServerError(f"No free port between {PORTS.start} and {PORTS.stop} on {LOOPBACK}.")


def wait_until(condition: Callable[[], bool], seconds: float, *, every: float = 0.02) -> bool:
    """Ask until the condition holds or the time is over; return whether it held."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every)
    return condition()


def process_tree(pid: int) -> list[int]:
    """Return the process and all its descendants, parents before children."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    tree = [pid]
    for member in tree:  # grows while we walk it
        tree.extend(children.get(member, []))
    return tree


def _parents() -> dict[int, int]:
    """Map every live process to its parent; zombies are left out."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
        )
        rows = [line.split() for line in listing.stdout.splitlines()]
        return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    return parents


def _runs(pid: int) -> bool:
    """Tell whether a process is neither stopped nor at its end."""
    if not Path("/proc/self/stat").exists():
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
    else:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].strip()
        except OSError:
            return False
    return state[:1] not in ("T", "Z", "")


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _wait_until_gone(pids: list[int], seconds: float) -> None:
    """PostgreSQL refuses to restart while one of its old children still holds the shared memory."""
    wait_until(lambda: not _parents().keys() & set(pids), seconds)


def _ending_with_us() -> list[str]:
    """Make Linux end the server with the thread that started it, where that is the main one: even if we are killed."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "KILL", "--"]
