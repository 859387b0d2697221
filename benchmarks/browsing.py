"""What measures with a real browser share: a server with the demo's data, a Chromium, how results are kept."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers import PortalServer, PostgresServer, RedisServer
from tests.servers.chromium import FLAGS, find_chromium
from tests.servers.portal import ROOT

RESULTS = ROOT / "benchmarks" / "results"
USERNAME, CLIENT = "msp_admin", "Harbor Dental"
PASSWORD = "demo-only"
LIVE = '.status[data-state="live"]'
READY_MS = 60_000


def options_of(module: str, description: str | None, seconds: float, rate: float) -> argparse.ArgumentParser:
    """Return a parser with what every measure with a browser takes."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=seconds, help="for how long (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=rate, help="events a second (default: %(default)s)")
    parser.add_argument(
        "--backend", choices=("postgres", "sqlite"), default="postgres", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, help="where the figures go, Markdown beside (default: benchmarks/results/)"
    )
    return parser


@contextmanager
def portal(backend: str, **environment: str) -> Iterator[PortalServer]:
    """Run a server (`environment` is its) on a database with the demo's data, and set Django up on that."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-browsing-")))
        sqlite = backend == "sqlite"
        database = (
            f"sqlite:///{folder / 'portal.sqlite3'}" if sqlite else stack.enter_context(PostgresServer()).url
        )
        redis = "" if sqlite else stack.enter_context(RedisServer()).url
        os.environ |= {
            "DEBUG": "true",
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "LOG_LEVEL": "ERROR",
            "DEMO_PASSWORD": PASSWORD,
            "DJANGO_SETTINGS_MODULE": "compliance_portal.settings",
            # Playwright's loop runs in this thread, in which Django would refuse to be asked.
            "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
        }
        for command in ("migrate", "seed_demo"):
            subprocess.run(
                [sys.executable, "manage.py", command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
            )
        import django

        django.setup()
        server = PortalServer(database_url=database, redis_url=redis, environment=environment)
        stack.callback(server.close)
        yield server.start()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS)
        yield browser
        browser.close()


def open_page(browser: Browser, url: str) -> Page:
    """Sign in as the demo's MSP administrator in a context of its own, and return the page once it is live."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url)
    page.get_by_label("Username").fill(USERNAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector(LIVE, timeout=READY_MS)
    page.wait_for_selector(".feed [data-alert]", timeout=READY_MS)
    return page


def provenance(module: str, browser: Browser) -> dict[str, Any]:
    """Return where figures are from: command, date, commit, machine, browser."""
    from benchmarks import machine

    return {
        "command": f"python -m benchmarks.{module} {shlex.join(sys.argv[1:])}".strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": machine.commit(),
        "machine": machine.describe(),
        "chromium": browser.version,
        "python": sys.version.split()[0],
    }


def provenance_line(figures: dict[str, Any]) -> str:
    """Return the same in a line of Markdown."""
    machine = figures["machine"]
    return (
        f"`{figures['command']}` on {figures['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, Chromium {figures['chromium']}, Python {figures['python']}, "
        f"commit {figures['commit']}. "
        f"Other people's processes took {figures['others_percent']} % of the machine meanwhile."
    )


def save(figures: dict[str, Any], path: Path, text: str) -> None:
    """Write the figures and, beside them, the page."""
    path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".md").write_text(text)
    print(text)


def table(columns: dict[str, str], rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table: key of a row → heading."""
    return [
        f"| {' | '.join(columns.values())} |",
        f"|---|{'---:|' * (len(columns) - 1)}",
        *(f"| {' | '.join(str(row[key]) for key in columns)} |" for row in rows),
    ]
