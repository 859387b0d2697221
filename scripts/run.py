"""Start the portal on this machine: what `make run` does once everything is installed.

Prepares the database, seeds demo data into an empty one, then keeps two processes until Ctrl-C: the server and, unless
TRAFFIC=0, simulated traffic. Reads HOST, PORT and TRAFFIC from the environment. Uses the standard library only.
"""

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
READY_SECONDS = 60
STOP_SECONDS = 30


def main() -> None:
    """Run the portal until it ends or is told to stop."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, interrupt)
    host, port = os.environ.get("HOST", "127.0.0.1"), port_number(os.environ.get("PORT", "8000"))
    traffic = os.environ.get("TRAFFIC", "1") != "0"
    try:
        refuse_taken_port(host, port)
        allow_host(host)
        os.environ.setdefault(
            "REALTIME_DRAIN_SECONDS", "1"
        )  # nobody waits for a demo to hand over its dashboards
        manage("migrate", "--verbosity", "0")
        manage("seed_demo", "--if-empty")
        with running("serve", "--host", host, "--port", str(port)) as server:
            wait_until_ready(server, host, port)
            announce(host, port, traffic=traffic)
            if not traffic:
                sys.exit(server.wait())
            with running("simulate") as simulation:
                sys.exit(first_end(server, simulation))
    except KeyboardInterrupt:
        print("\nThe portal has stopped.", flush=True)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Stop in order, once: further signals no longer disturb it."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)
    raise KeyboardInterrupt


def port_number(text: str) -> int:
    """Read a port."""
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        sys.exit(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


def refuse_taken_port(host: str, port: int) -> None:
    """End with one line if nobody could listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"Port {port} on {host} is taken: choose another one, `make run PORT={port + 1}`.")
        sys.exit(f"Cannot listen on {host}, port {port}: {error.strerror}.")


def allow_host(host: str) -> None:
    """Let pages be asked for under the name we listen on; Django answers no other."""
    if "ALLOWED_HOSTS" in os.environ:
        return
    if reachable(host) != host:
        print(
            "Listening on every address: set ALLOWED_HOSTS to the names that other machines will use.",
            flush=True,
        )
        return
    os.environ["ALLOWED_HOSTS"] = ",".join(
        ["localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host]
    )


def manage(*arguments: str) -> None:
    """Run a command of the portal to its end; its failure is ours."""
    status = subprocess.run([*MANAGE, *arguments], stdin=subprocess.DEVNULL, check=False).returncode
    if status:
        sys.exit(f"`manage.py {' '.join(arguments)}` failed with status {status}.")


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a command of the portal running; stop it at the end, whatever the reason.

    It gets a process group of its own: Ctrl-C is ours, and it hears from us when to stop.
    """
    process = subprocess.Popen([*MANAGE, *arguments], stdin=subprocess.DEVNULL, process_group=0)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_ready(server: subprocess.Popen[bytes], host: str, port: int) -> None:
    """Wait for the first answer; end if the server does."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"The server ended with status {server.returncode} before it answered; see above.")
        if answers(reachable(host), port):
            return
        time.sleep(0.1)
    sys.exit(f"The server did not answer within {READY_SECONDS} seconds.")


def answers(host: str, port: int) -> bool:
    """Tell whether a request gets any answer."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("HEAD", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def reachable(host: str) -> str:
    """Return the address to open for a host to listen on."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def announce(host: str, port: int, *, traffic: bool) -> None:
    """Print where the portal is and what to do next; `seed_demo` has just printed who can sign in."""
    name = reachable(host)
    print(
        f"\nThe portal is at http://{f'[{name}]' if ':' in name else name}:{port}/",
        "Sign in with a login from the table above. Make an alert from a second terminal:",
        '  .venv/bin/python manage.py emit_event alert --client "Harbor Dental" --severity high'
        ' --details "Customer list pasted into a prompt" --app ChatGPT',
        "Traffic is simulated; TRAFFIC=0 leaves it out."
        if traffic
        else "No traffic is simulated (TRAFFIC=0).",
        "Stop with Ctrl-C.\n",
        sep="\n",
        flush=True,
    )


def first_end(server: subprocess.Popen[bytes], simulation: subprocess.Popen[bytes]) -> int:
    """Wait for the server's end and return its status; an end of the simulation is only told."""
    told = False
    while server.poll() is None:
        if simulation.poll() is not None and not told:
            print(
                f"The simulated traffic ended with status {simulation.returncode}; the portal goes on.",
                flush=True,
            )
            told = True
        time.sleep(0.5)
    return server.returncode


if __name__ == "__main__":
    main()
