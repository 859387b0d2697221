"""What the benchmarks need besides the portal: benchmarks/.venv, Node's packages, nchan. Made on demand, kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = HERE / "requirements.txt"
NODE_FOLDER = HERE / ".peers" / "node_modules" / ".portal"
"""The Node peers are copied here: beside their packages, outside what git sees."""

NODE_MAJOR = 18
INSTALL_SECONDS = 600
NCHAN = "ngx_nchan_module.so"
MODULE_FOLDERS = (
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/share/nginx/modules",
    "/etc/nginx/modules",
)


class MissingError(Exception):
    """Something cannot be installed here; the message says what and why."""


def make_venv() -> None:
    """Make benchmarks/.venv as requirements.txt has it; at once if it is there already."""
    stamp = VENV / "installed"
    wanted = REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("Installing the load client and the peers into benchmarks/.venv …", file=sys.stderr)
    _run([sys.executable, "-m", "venv", str(VENV)], "benchmarks/.venv cannot be made")
    pip = [
        str(PYTHON),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "-r",
        str(REQUIREMENTS),
    ]
    _run(pip, "benchmarks/requirements.txt cannot be installed")
    stamp.write_text(wanted)


@cache
def why_no_node_peers() -> str | None:
    """Install Node's peers; return why that is not possible, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "no Node on this machine"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE_MAJOR:
        return f"Node {version} is older than {NODE_MAJOR}"
    folder = HERE / ".peers"
    folder.mkdir(exist_ok=True)
    wanted = (HERE / "peers" / "package.json").read_text()
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        (folder / "package.json").write_text(wanted)
        try:
            install = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error"]
            _run([*install, "--no-package-lock"], "ws and socket.io cannot be installed")
        except MissingError as error:
            return str(error)
        stamp.write_text(wanted)
    NODE_FOLDER.mkdir(parents=True, exist_ok=True)
    for program in (HERE / "peers").glob("*.mjs"):
        shutil.copy(program, NODE_FOLDER)
    return None


@cache
def nchan_module() -> Path | None:
    """Return nginx's nchan module."""
    found = (Path(folder) / NCHAN for folder in MODULE_FOLDERS)
    return next((module for module in found if module.exists()), None)


def why_no_nchan() -> str | None:
    """Return why nchan cannot be run, or None."""
    if shutil.which("nginx") is None:
        return "no nginx on this machine (Debian: apt-get install nginx-core libnginx-mod-nchan)"
    return None if nchan_module() else "nginx is here, its nchan module is not (Debian: libnginx-mod-nchan)"


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"{what}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise MissingError(f"{what}: {lines[-1] if lines else done.returncode}")
