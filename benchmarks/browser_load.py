"""`python -m benchmarks.browser_load`: a dashboard in a real browser under load: frames a second, and memory.

A page of a Chromium follows a client at so many events a second (uses of applications; every tenth an alert), which a
process of its own broadcasts. Ten times on the way the frames since the last time are counted
(`requestAnimationFrame`), the browser's processor time is taken (other people's processes disturb frames, not this),
and the JavaScript heap is read after a forced collection. Ends with status 1 below 55 frames a second, or where the
heap of the second half is more than a tenth above that of the first, or where the page did not hear every event.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from benchmarks import browsing, cores

WARM_UP_SECONDS = 15.0
POINTS = 10
FRAMES_WANTED = 55.0
GROWTH_ALLOWED = 0.1
CHUNK_SECONDS = 0.1
HEARD_SECONDS = 30

COUNT_FRAMES = """() => {
  const frames = (window.__frames = []);
  let last = performance.now();
  const tick = (now) => { frames.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
}"""
TAKE_FRAMES = "() => window.__frames.splice(0)"


def broadcast(rate: float, seconds: float, sent: Any) -> None:
    """Broadcast `rate` events a second, in transactions of a tenth of a second; `sent` counts them."""
    import django

    django.setup()
    from django.db import transaction

    from engagement.models import Client
    from realtime import broadcast as send

    client = Client.objects.get(name=browsing.CLIENT)
    applications = list(client.applications.all())
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        with transaction.atomic():
            while sent.value < elapsed * rate:
                number = sent.value
                application = applications[number % len(applications)]
                if number % 10 == 0:
                    severity = ("low", "medium", "high")[number % 3]
                    alert = {"severity": severity, "details": f"Load {number}", "app": application.name}
                    send.broadcast_alert(client.pk, client.msp_id, alert)
                else:
                    uses = {"app_id": str(application.pk), "app": application.name, "interaction_count": 1}
                    send.broadcast_interaction_update(client.pk, client.msp_id, uses)
                sent.value += 1
        time.sleep(CHUNK_SECONDS)


def heap_mb(devtools: CDPSession) -> float:
    """Return the JavaScript heap in MB after a forced collection."""
    devtools.send("HeapProfiler.collectGarbage")
    return round(float(devtools.send("Runtime.getHeapUsage")["usedSize"]) / 2**20, 2)


def cpu_seconds(devtools: CDPSession) -> float:
    """Return the processor time of all the browser's processes so far."""
    return float(sum(info["cpuTime"] for info in devtools.send("SystemInfo.getProcessInfo")["processInfo"]))


def measure(browser: Browser, page: Page, seconds: float) -> list[dict[str, Any]]:
    """Return a row for each tenth of the time."""
    devtools, whole = page.context.new_cdp_session(page), browser.new_browser_cdp_session()
    page.evaluate(COUNT_FRAMES)
    points, began = [], time.monotonic()
    at, used = began, cpu_seconds(whole)
    for number in range(1, POINTS + 1):
        page.wait_for_timeout(max(0.0, began + number * seconds / POINTS - time.monotonic()) * 1000)
        frames = sorted(page.evaluate(TAKE_FRAMES))
        now, used_now = time.monotonic(), cpu_seconds(whole)
        points.append(
            {
                "at_s": round(time.monotonic() - began),
                "frames_per_second": round(len(frames) / sum(frames) * 1000, 1),
                "frame_p99_ms": round(frames[int(len(frames) * 0.99)], 1),
                "longest_frame_ms": round(frames[-1]),
                "browser_cpu_percent": round((used_now - used) / (now - at) * 100),
                "heap_mb": heap_mb(devtools),
                "nodes": page.evaluate("document.querySelectorAll('*').length"),
            }
        )
        at, used = now, used_now
        print(points[-1], file=sys.stderr, flush=True)
    return points


def run(browser: Browser, url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Load the page and measure it."""
    page = browsing.open_page(browser, url + options.path)
    context = multiprocessing.get_context("spawn")
    sent = context.Value("q", 0)
    load = context.Process(
        target=broadcast, args=(options.rate, options.seconds + WARM_UP_SECONDS + 5, sent), daemon=True
    )
    load.start()
    page.wait_for_timeout(WARM_UP_SECONDS * 1000)
    points = measure(browser, page, options.seconds)
    load.join()
    page.get_by_role("link", name="Connection:").click()
    heard = page.locator("[data-total=heard]")
    deadline = time.monotonic() + HEARD_SECONDS
    while _number(heard.inner_text()) < sent.value and time.monotonic() < deadline:
        page.wait_for_timeout(500)
    halves = [[point["heap_mb"] for point in part] for part in (points[: POINTS // 2], points[POINTS // 2 :])]
    first, second = map(statistics.median, halves)
    return {
        "path": options.path,
        "rate": options.rate,
        "seconds": options.seconds,
        "broadcast": sent.value,
        "heard": _number(heard.inner_text()),
        "frames_per_second": round(statistics.mean(point["frames_per_second"] for point in points), 1),
        "heap_growth": round(second / first - 1, 3),
        "points": points,
    }


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def markdown(figures: dict[str, Any]) -> str:
    """Return the run as a page."""
    columns = {
        "at_s": "after (s)",
        "frames_per_second": "frames a second",
        "frame_p99_ms": "p99 of a frame (ms)",
        "longest_frame_ms": "longest (ms)",
        "browser_cpu_percent": "browser (% of a core)",
        "heap_mb": "heap after collection (MB)",
        "nodes": "elements",
    }
    summary = (
        f"`{figures['path']}` at {figures['rate']:g} events/s for {figures['seconds']:g} s: "
        f"{figures['broadcast']:,} events broadcast, {figures['heard']:,} heard; "
        f"{figures['frames_per_second']} frames a second; the heap of the second half is "
        f"{figures['heap_growth']:+.1%} against the first's (medians)."
    )
    lines = [
        "# A dashboard under load",
        "",
        browsing.provenance_line(figures),
        "",
        summary,
        "",
        *browsing.table(columns, figures["points"]),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure; return the exit status."""
    parser = browsing.options_of("browser_load", __doc__, seconds=600.0, rate=200.0)
    parser.add_argument("--path", default="/app/", help="the page (default: %(default)s)")
    options = parser.parse_args()
    with browsing.portal(options.backend) as server, browsing.chromium() as browser:
        others = cores.Others()
        figures = run(browser, server.url, options) | browsing.provenance("browser_load", browser)
        figures["others_percent"] = round(others.percent(), 1)
    browsing.save(figures, options.json or browsing.RESULTS / "browser-load.json", markdown(figures))
    holds = (
        figures["frames_per_second"] >= FRAMES_WANTED
        and figures["heap_growth"] <= GROWTH_ALLOWED
        and figures["heard"] == figures["broadcast"]
    )
    return 0 if holds else 1


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "compliance_portal.settings")
    sys.exit(main())
