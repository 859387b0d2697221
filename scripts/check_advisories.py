"""Check, offline, that no locked version is one with a known hole or fault.

The list is short and kept by hand: what we know of the packages that matter most. It is no substitute for an audit
against a live database of advisories, which needs the network.
"""

import sys
from pathlib import Path

from packaging.specifiers import SpecifierSet

sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_locks import pins

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
    if problems := [
        problem for lock in ("requirements.lock", "requirements-dev.lock") for problem in bad(pins(lock))
    ]:
        sys.exit("\n".join(problems))


def bad(pinned: dict[str, set[str]]) -> list[str]:
    """Return what is wrong with these pins."""
    return [
        f"{name} {version} is locked: {why}. Ask for another version and run `make lock`."
        for name, (versions, why) in KNOWN_BAD.items()
        for version in sorted(pinned.get(name, ()))
        if SpecifierSet(versions).contains(version, prereleases=True)
    ]


if __name__ == "__main__":
    main()
