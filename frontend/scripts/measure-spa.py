"""Measure the dashboard under load: frames a second and the JavaScript heap, with so many events a second for so long.

    DATABASE_URL=… .venv/bin/python manage.py serve --port 8210 &        (a database with demo data)
    DATABASE_URL=… .venv/bin/python frontend/scripts/measure-spa.py http://127.0.0.1:8210 [path] [rate] [seconds]

Events are broadcast from a process of their own: mostly uses, every tenth an alert. The heap is read after a forced collection.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

FRAMES = """
() => { const frames = window.__frames = []; let last = performance.now();
  const tick = (now) => { frames.push(now - last); last = now; requestAnimationFrame(tick); }; requestAnimationFrame(tick); }
"""
CHUNK_SECONDS = 0.1


def broadcast(rate: int, seconds: float) -> None:
    """Broadcast `rate` events a second, in transactions of a tenth of a second, and say how many it were."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "compliance_portal.settings")
    import django

    django.setup()
    from django.db import transaction

    from engagement.models import Client
    from realtime import broadcast as send

    client = Client.objects.get(name="Harbor Dental")
    applications = list(client.applications.all())
    started, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < seconds:
        with transaction.atomic():
            while sent < elapsed * rate:
                application = applications[sent % len(applications)]
                if sent % 10 == 0:
                    data = {
                        "severity": ("low", "medium", "high")[sent % 3],
                        "details": f"Load {sent}",
                        "app": application.name,
                    }
                    send.broadcast_alert(client.pk, client.msp_id, data)
                else:
                    stats = {"app_id": str(application.pk), "app": application.name, "interaction_count": 1}
                    send.broadcast_interaction_update(client.pk, client.msp_id, stats)
                sent += 1
        time.sleep(CHUNK_SECONDS)
    print(f"broadcast {sent} events in {time.monotonic() - started:.1f} s")


def main() -> None:
    """Sign in, load, measure, print."""
    from playwright.sync_api import sync_playwright

    from tests.servers.chromium import FLAGS, find_chromium

    base, path, rate, seconds = (sys.argv[1:] + ["/app/", "200", "60"][len(sys.argv) - 2 :])[:4]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{base}/login/?next={path}")
        page.fill("[name=username]", "msp_admin")
        page.fill("[name=password]", os.environ.get("DEMO_PASSWORD", "demo-only"))
        page.click("button[type=submit]")
        page.wait_for_selector('.status[data-state="live"]')
        page.wait_for_timeout(3000)
        devtools = page.context.new_cdp_session(page)

        def heap() -> float:
            devtools.send("HeapProfiler.collectGarbage")
            return float(devtools.send("Runtime.getHeapUsage")["usedSize"]) / 2**20

        load = multiprocessing.get_context("spawn").Process(
            target=broadcast, args=(int(rate), float(seconds) + 10)
        )
        load.start()
        page.wait_for_timeout(8000)
        before = heap()
        page.evaluate(FRAMES)
        heaps = []
        for _ in range(6):
            page.wait_for_timeout(float(seconds) * 1000 / 6)
            heaps.append(round(float(devtools.send("Runtime.getHeapUsage")["usedSize"]) / 2**20, 1))
        frames = sorted(page.evaluate("window.__frames"))
        load.join()
        page.wait_for_timeout(2000)
        after = heap()
        total = sum(frames) / 1000
        print(
            f"{path} {rate} events/s for {total:.0f} s: {len(frames) / total:.1f} frames/s, "
            f"median {frames[len(frames) // 2]:.1f} ms, 99 % {frames[int(len(frames) * 0.99)]:.1f} ms, longest {frames[-1]:.0f} ms"
        )
        print(
            f"heap after collection: {before:.1f} MB at the start, {after:.1f} MB at the end; on the way {heaps}"
        )
        browser.close()


if __name__ == "__main__":
    main()
