"""Check that no locked version is one with a known hole or fault.

First offline, against a short list kept by hand: what we know of the packages that matter most, faults that are no
security hole included. Then pip-audit asks OSV's live database of advisories. Where that cannot be reached this is
said, and the list alone decides; with --online it is a failure.
"""

import json
import subprocess
import sys
from pathlib import Path

from packaging.specifiers import SpecifierSet

sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_locks import ROOT, pins

LOCKS = ("requirements.lock", "requirements-dev.lock")
KNOWN_BAD = {
    "daphne": ("<4.2.2", "two advisories, and messages of any size"),
    "redis": (">=8", "channels_redis 4.3 loses idle consumers after five seconds (channels_redis#422)"),
    "django": ("<5.2.8", "SQL injection through column aliases and query sets' _connector"),
    "djangorestframework-simplejwt": ("<5.5.1", "tokens of deactivated users"),
    "cryptography": ("<44.0.1", "OpenSSL with a known hole in its wheels"),
    "twisted": ("<24.7.0", "answers of pipelined requests out of order"),
}
"""By package: the versions that must not be locked, and why."""


def main() -> None:
    """Name every bad pin and end with status 1 if there is one."""
    problems = [problem for lock in LOCKS for problem in bad(pins(lock))]
    advisories = audited([ROOT / lock for lock in LOCKS])
    if advisories is None:
        unreached = "No database of advisories can be reached from here"
        if "--online" in sys.argv[1:]:
            problems.append(f"{unreached}.")
        else:
            print(
                f"{unreached}: the locked versions were compared with scripts/check_advisories.py's own list only."
            )
    if problems := [*problems, *(advisories or [])]:
        sys.exit("\n".join(problems))


def bad(pinned: dict[str, set[str]]) -> list[str]:
    """Return what is wrong with these pins by our own list."""
    return [
        f"{name} {version} is locked: {why}. Ask for another version and run `make lock`."
        for name, (versions, why) in KNOWN_BAD.items()
        for version in sorted(pinned.get(name, ()))
        if SpecifierSet(versions).contains(version, prereleases=True)
    ]


def audited(locks: list[Path], *options: str) -> list[str] | None:
    """Return what pip-audit says of these lock files; None where it does not reach the database of advisories."""
    files = [word for lock in locks for word in ("--requirement", str(lock))]
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        *files,
        "--require-hashes",
        "--disable-pip",
        "--format",
        "json",
    ]
    quietly = ["--vulnerability-service", "osv", "--progress-spinner", "off", "--timeout", "10", *options]
    done = subprocess.run([*command, *quietly], capture_output=True, text=True, timeout=300, check=False)
    if not done.stdout:
        if "ConnectionError" in done.stderr or "ServiceError" in done.stderr:
            return None
        sys.exit(f"pip-audit failed:\n{done.stderr}")
    return [
        f"{package['name']} {package['version']} is locked: {hole['id']}, mended in {hole['fix_versions']}."
        for package in json.loads(done.stdout)["dependencies"]
        for hole in package.get("vulns", [])
    ]


if __name__ == "__main__":
    main()
