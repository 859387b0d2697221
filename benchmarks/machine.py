"""What it was measured on: machine, load of others, versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import redis

from benchmarks import kit
from benchmarks.stage import Stage

PORTAL_PACKAGES = (
    "Django",
    "channels",
    "channels-redis",
    "redis",
    "daphne",
    "autobahn",
    "Twisted",
    "msgspec",
    "psycopg",
    "uvicorn",
    "websockets",
    "uvloop",
)
PEER_PACKAGES = (
    "Django",
    "channels",
    "channels-redis",
    "daphne",
    "fastapi",
    "starlette",
    "uvicorn",
    "websockets",
    "python-socketio",
    "uvloop",
)


def describe() -> dict[str, str | int | float]:
    """Return the machine's processor, cores, memory and system."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "processor": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(stage: Stage) -> dict[str, dict[str, str]]:
    """Return what ran, by where it came from."""
    with psycopg.connect(stage.postgres.url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
        postgres = row[0].split()[0] if row else "?"
    with redis.Redis.from_url(stage.redis.url) as client:
        info = client.info("server")
    servers = {
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        info.get("server_name", "redis").capitalize(): info.get("valkey_version", info["redis_version"]),
    }
    if kit.why_no_nchan() is None:
        servers["nginx"] = _output(["nginx", "-v"]).rpartition("/")[2]
    if kit.why_no_node_peers() is None:
        servers["Node"] = _output([shutil.which("node") or "node", "--version"])
    found = {"servers": servers, "portal": _installed(PORTAL_PACKAGES), "peers": _in_venv(PEER_PACKAGES)}
    modules = kit.HERE / ".peers" / "node_modules"
    for package in ("ws", "socket.io"):
        described = modules / package / "package.json"
        if described.exists():
            found["peers"][package] = json.loads(described.read_text())["version"]
    found["portal"]["commit"] = commit()
    return found


def commit() -> str:
    """Return the commit that is checked out, `-dirty` if files were changed since."""
    return _output(["git", "-C", str(kit.ROOT), "describe", "--always", "--dirty"])


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _in_venv(packages: tuple[str, ...]) -> dict[str, str]:
    program = "import importlib.metadata as m, json, sys; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    found: dict[str, str] = json.loads(_output([str(kit.PYTHON), "-c", program, *packages]))
    return found


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return (done.stdout or done.stderr).strip()


def command() -> str:
    """Return what was typed."""
    return " ".join(["python -m benchmarks", *sys.argv[1:]])
