"""`python -m benchmarks.browser_chaos`: dashboards stay open in a real browser while servers die and the network goes.

Four pages of a Chromium (the SPA's overview and one client in it, and the two Django pages of the same) watch living
traffic. Meanwhile the server is killed, replaced (SIGTERM, drain, a new one) or frozen, and pages lose their network.
At the end, without a reload, every number and the feed of every page must be what the database says, and every alert
raised meanwhile must have been shown, and told by the toast once. Ends with status 1 if anything was not so.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser

from benchmarks import browsing, cores
from tests.servers import PortalServer
from tests.servers.portal import ROOT

if TYPE_CHECKING:
    from engagement.models import Client, User

FAULTS = {
    "kill": "the server killed (SIGKILL), started again after a while",
    "drain": "the server replaced: SIGTERM, drain, a new one",
    "freeze": "the server frozen (SIGSTOP), let go on after a while",
    "offline": "one page without network for a while",
    "all offline": "all pages without network for a while",
}
SETTLE_SECONDS = 60.0
"""Until pages are connected again, and until they have fetched what events do not carry."""

RECORD = """() => {
  const recorded = (window.__recorded = { seen: new Set(), doubled: new Set(), told: 0, pending: 0 });
  let last = "";
  const look = () => {
    const ids = [...document.querySelectorAll(".feed [data-alert]")].map(({ dataset }) => dataset.alert);
    for (const id of ids) recorded.seen.add(id);
    ids.filter((id, index) => ids.indexOf(id) !== index).forEach((id) => recorded.doubled.add(id));
    const titles = [...document.querySelectorAll(".toast-title")].map(({ textContent }) => textContent);
    const title = titles.find((words) => /^[\\d,]+ new alerts$| alert( – |$)/.test(words)) ?? "";
    const text = title && title + document.querySelector(".toast-text").textContent;
    const many = /^([\\d,]+) new alerts$/.exec(title);
    const count = many ? Number(many[1].replaceAll(",", "")) : title ? 1 : 0;
    if (text !== last && count <= recorded.pending) { recorded.told += recorded.pending; recorded.pending = 0; }
    recorded.pending = Math.max(recorded.pending, count);
    last = text;
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
"""Keeps the ids that the feed has shown, those it showed twice at a time, and how many alerts the toast told of: it
counts up while it is there, so what one toast told is the most that it said."""

READ = """() => { const { seen, doubled, told, pending } = window.__recorded;
  return { seen: [...seen], doubled: [...doubled], told: told + pending }; }"""


class Watched:
    """An open page: what it must show in the end, which alerts (`raised`, `told`), and what happens to it."""

    def __init__(
        self,
        name: str,
        browser: Browser,
        url: str,
        truth: Callable[[], dict[str, str]],
        raised: Callable[[], Any],
        told: Callable[[], Any],
    ) -> None:
        self.name = name
        self.truth, self.raised, self.told = truth, raised, told
        self.sockets = self.loads = 0
        self.exceptions: list[str] = []
        self.page = browsing.open_page(browser, url)
        self.page.on("load", lambda _: self._loaded())
        self.page.on("websocket", lambda _: self._connected())
        self.page.on("pageerror", lambda error: self.exceptions.append(str(error)))
        self.page.evaluate(RECORD)

    def _loaded(self) -> None:
        self.loads += 1

    def _connected(self) -> None:
        self.sockets += 1

    def judge(self, before: set[Any], seconds: float) -> dict[str, Any]:
        """Return the page's figures, once it shows the truth or `seconds` are over."""
        from tests.browser import truth

        began = time.monotonic()
        self.page.wait_for_selector(browsing.LIVE, timeout=browsing.READY_MS)
        differing = truth.settle(self.page, self.truth, seconds)
        recorded = self.page.evaluate(READ)
        raised = {str(pk) for pk in set(self.raised()) - before}
        return {
            "page": self.name,
            "numbers": len(self.truth()),
            "differing": differing,
            "settled_after_s": round(time.monotonic() - began, 1),
            "alerts_raised": len(raised),
            "alerts_not_shown": len(raised - set(recorded["seen"])),
            "alerts_shown_twice": len(recorded["doubled"]),
            "alerts_to_tell": len(set(self.told()) - before),
            "alerts_told": recorded["told"],
            "reconnects": self.sockets,
            "reloads": self.loads,
            "exceptions": self.exceptions,
        }


def freeze(server: PortalServer) -> None:
    """Freeze the server at a moment when it does not hold SQLite's only write lock.

    With the lock it would stop every writer until it goes on: that is SQLite's, and not what is looked for here.
    """
    for _ in range(50):
        server.pause()
        if _is_writable():
            return
        server.resume()
        time.sleep(0.05)
    raise RuntimeError("The server held the write lock whenever it was frozen.")


def _is_writable() -> bool:
    from django.db import connection

    if connection.vendor != "sqlite":
        return True
    try:
        with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0.5)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.rollback()
    except sqlite3.OperationalError:
        return False
    return True


def play(
    server: PortalServer,
    watched: list[Watched],
    seconds: float,
    chance: random.Random,
    alert: Callable[[str], None],
    most: float,
) -> list[str]:
    """Break one thing after the other, each kind at least once, for a second or up to `most`; raise an alert during
    each. Return the kinds."""
    done: list[str] = []
    end = time.monotonic() + seconds
    wait = watched[0].page.wait_for_timeout
    kinds = list(FAULTS)
    while time.monotonic() < end or len(done) < len(kinds):
        kind = kinds[len(done)] if len(done) < len(kinds) else chance.choice(kinds)
        spell = chance.uniform(1, most) * 1000
        if kind == "kill":
            server.kill()
        elif kind == "drain":
            server.stop()
        elif kind == "freeze":
            freeze(server)
        victims = [chance.choice(watched)] if kind == "offline" else watched if kind == "all offline" else []
        for victim in victims:
            victim.page.context.set_offline(True)
        alert(f"During {kind} {len(done)}")
        wait(spell)
        for victim in victims:
            victim.page.context.set_offline(False)
        if kind == "freeze":
            server.resume()
        elif not server.is_running():
            server.start()
        done.append(kind)
        print(f"{seconds - (end - time.monotonic()):6.1f} s  {kind}", file=sys.stderr)
        wait(chance.uniform(1, most + 1) * 1000)
    return done


def run(browser: Browser, server: PortalServer, options: argparse.Namespace) -> dict[str, Any]:
    """Open the pages, break things, compare. Needs Django set up on the server's database."""
    from engagement import actions
    from engagement.models import Alert, Client, User
    from realtime.models import Event

    client = Client.objects.get(name=browsing.CLIENT)
    watched = _open(browser, server.url, User.objects.get(username=browsing.USERNAME), client)
    before, events, began = set(_ids(Alert.objects.all())), Event.objects.count(), time.monotonic()
    with ExitStack() as stack:
        traffic = _simulate(stack, options.rate, options.seed)
        chance = random.Random(options.seed)
        faults = play(
            server,
            watched,
            options.seconds,
            chance,
            lambda details: actions.raise_alert(client, severity="high", details=details),
            options.longest,
        )
        traffic.terminate()
        traffic.wait(30)
    return {
        "faults": dict(Counter(faults)),
        "pages": [page.judge(before, SETTLE_SECONDS) for page in watched],
        "events": Event.objects.count() - events,
        "seconds": round(time.monotonic() - began, 1),
    }


def _open(browser: Browser, url: str, viewer: User, client: Client) -> list[Watched]:
    """Open the four pages. A client in the SPA shows that client's alerts, and tells of all that the viewer sees."""
    from engagement.models import Alert
    from tests.browser import truth

    of_client = partial(_ids, Alert.objects.filter(client=client))
    of_all = partial(_ids, Alert.objects.visible_to(viewer))
    in_spa, page = f"/app/clients/{client.pk}/", f"/clients/{client.pk}/"
    return [
        Watched(
            "overview in the SPA",
            browser,
            f"{url}/app/",
            partial(truth.overview_in_spa, viewer),
            of_all,
            of_all,
        ),
        Watched(
            "client in the SPA",
            browser,
            url + in_spa,
            partial(truth.client_in_spa, client),
            of_client,
            of_all,
        ),
        Watched("overview page", browser, f"{url}/", partial(truth.overview_page, viewer), of_all, of_all),
        Watched("client page", browser, url + page, partial(truth.client_page, client), of_client, of_client),
    ]


def _ids(alerts: Any) -> Any:
    return alerts.all().values_list("pk", flat=True)


def _simulate(stack: ExitStack, rate: float, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "manage.py", "simulate", "--rate", str(rate), "--seed", str(seed)]
    traffic = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    stack.callback(lambda: traffic.poll() is None and traffic.kill())
    return traffic


def is_right(page: dict[str, Any]) -> bool:
    """Return whether a page showed all there was, once, and shows what there is."""
    wrong = ("differing", "alerts_not_shown", "alerts_shown_twice", "reloads", "exceptions")
    return not any(page[key] for key in wrong) and page["alerts_told"] == page["alerts_to_tell"]


def markdown(figures: dict[str, Any]) -> str:
    """Return the run as a page."""
    columns = {
        "page": "page",
        "numbers": "numbers compared",
        "wrong": "differing",
        "alerts_raised": "alerts raised",
        "alerts_not_shown": "not shown",
        "alerts_shown_twice": "shown twice",
        "alerts_to_tell": "to be told by the toast",
        "alerts_told": "told",
        "reconnects": "reconnects",
        "reloads": "reloads",
        "settled_after_s": "right after (s)",
    }
    rows = [page | {"wrong": len(page["differing"])} for page in figures["pages"]]
    faults = "; ".join(f"{count} × {FAULTS[kind]}" for kind, count in figures["faults"].items())
    lines = [
        "# Chaos in a browser",
        "",
        browsing.provenance_line(figures),
        "",
        f"{figures['events']:,} events in {figures['seconds']:.0f} s. {faults}.",
        "",
        *browsing.table(columns, rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run; return the exit status."""
    parser = browsing.options_of("browser_chaos", __doc__, seconds=600.0, rate=10.0)
    parser.add_argument(
        "--seed", type=int, default=1, help="what the faults follow from (default: %(default)s)"
    )
    parser.add_argument(
        "--longest", type=float, default=5.0, help="seconds that a fault lasts at most (default: %(default)s)"
    )
    options = parser.parse_args()
    with (
        browsing.portal(options.backend, REALTIME_DRAIN_SECONDS="2") as server,
        browsing.chromium() as browser,
    ):
        others = cores.Others()
        figures = run(browser, server, options) | browsing.provenance("browser_chaos", browser)
        figures["others_percent"] = round(others.percent(), 1)
    browsing.save(figures, options.json or browsing.RESULTS / "browser-chaos.json", markdown(figures))
    for page in figures["pages"]:
        for line in [*page["differing"], *page["exceptions"]]:
            print(f"{page['page']}: {line}")
    return 0 if all(map(is_right, figures["pages"])) else 1


if __name__ == "__main__":
    sys.exit(main())
