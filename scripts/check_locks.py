"""Check, offline, that the lock files are in step with the requirements they were made from.

Every requirement is pinned at a version it allows, every pin has a hash, both locks agree, and none names an address.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
REMEDY = "Run `make lock` and commit the result."


def main() -> None:
    """Check both pairs and end with status 1 if something is out of step."""
    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    problems = [
        *out_of_step("requirements.txt", "requirements.lock", runtime),
        *out_of_step("requirements-dev.txt", "requirements-dev.lock", development),
        *(
            f"{name} is {sorted(versions)} in requirements.lock, not so in requirements-dev.lock"
            for name, versions in runtime.items()
            if development.get(name) != versions
        ),
        *unsafe_lines("requirements.lock"),
        *unsafe_lines("requirements-dev.lock"),
    ]
    if problems:
        sys.exit("\n".join([*problems, REMEDY]))


def requirements(file: str) -> Iterator[Requirement]:
    """Read the requirements of a file; `-r` lines lead on to another one."""
    for line in (ROOT / file).read_text().splitlines():
        text = line.split("#")[0].strip()
        if text.startswith("-r "):
            yield from requirements(text.removeprefix("-r ").strip())
        elif text:
            yield Requirement(text)


def pins(file: str) -> dict[str, set[str]]:
    """Map each name in a lock file to its versions; environment markers can give it several."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)(?:\[.*?\])?==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE
    ):
        found.setdefault(canonical(name), set()).add(version)
    return found


def out_of_step(file: str, lock: str, pinned: dict[str, set[str]]) -> Iterator[str]:
    """Name the requirements that the lock does not fulfil."""
    for requirement in requirements(file):
        versions = pinned.get(canonical(requirement.name), set())
        if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            yield f"{lock} pins {requirement.name} at {sorted(versions) or 'nothing'}; {file} asks for {requirement}"


def unsafe_lines(lock: str) -> Iterator[str]:
    """Name the pins without a hash and the lines with an address."""
    text = (ROOT / lock).read_text()
    for line in re.findall(r"^[\w.-]+.*[^\\]$", text, re.MULTILINE):
        yield f"{lock}: no hash for {line}"
    for line in re.findall(r"^.*://.*$", text, re.MULTILINE):
        yield f"{lock}: an address in {line.strip()!r}"


def canonical(name: str) -> str:
    """Spell a package's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
