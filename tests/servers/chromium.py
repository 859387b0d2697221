"""The Chromium for browser tests: Playwright's own where it was installed, else the machine's."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    # Chromium's sandbox refuses to start as root, and in most containers.
    "--no-sandbox",
]


def find_chromium(playwright: Playwright) -> str | None:
    """Return the path of a Chromium; CHROMIUM in the environment names one to use instead."""
    if named := os.environ.get("CHROMIUM"):
        return named
    bundled = playwright.chromium.executable_path
    if Path(bundled).exists():
        return bundled
    return next((found for program in PROGRAMS if (found := shutil.which(program))), None)
