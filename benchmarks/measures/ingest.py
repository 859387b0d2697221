"""Interactions a second into PostgreSQL (fsync on), with their roll-ups and events made: REST, save(), bulk_create."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import cores
from benchmarks.results import Outcome, Table, Target, show, spread
from benchmarks.stage import Stage, Tenant
from tests.servers.process import LOOPBACK, wait_until

Say = Callable[[str], None]

WANTED = 20_000
ROWS = 5000
"""Interactions in a request, half of what one may bring."""

APPLICATIONS, DEPARTMENTS, PEOPLE = 10, 5, 200
COLUMNS = {
    "title": "",
    "per_second": "interactions/s",
    "spread": "least – most",
    "events": "events made",
    "interactions": "of interactions",
}


def run(stage: Stage, say: Say) -> Outcome:
    """Measure each way in, everything on all cores."""
    table = Table("Ingest: interactions a second, everything on the same cores", COLUMNS)
    with stage.everything_everywhere(), cores.on(cores.ALL):
        with stage.portal(on=cores.ALL) as portal:
            for posters in (1, 2):
                row = _rest(stage, portal.port, posters)
                table.rows.append({"title": f"REST bulk, {ROWS:,} a request, {posters} at a time", **row})
                say(_told(table.rows[-1]))
        for title, work, count in (
            ("`bulk_create` of 5,000, roll-ups aside", _bulk_create, ROWS),
            ("`save()`, one by one, roll-ups aside", _saves, stage.pick(500, 200)),
        ):
            table.rows.append({"title": title, **_in_process(stage, work, count)})
            say(_told(table.rows[-1]))
    table.notes.append(
        f"Each interaction is of one of {APPLICATIONS} applications, {DEPARTMENTS} departments and {PEOPLE} people. A "
        "request is decoded, checked, counted into the day's roll-ups and stored in one transaction; its events are "
        "folded: one for each application, one for the roll-ups."
    )
    best = max(row["per_second"] for row in table.rows[:2])
    target = Target("bulk REST interactions/s", f"≥ {WANTED:,}", show(float(best)), best >= WANTED)
    return Outcome([table], [target], {"rows": table.rows})


def _told(row: dict[str, Any]) -> str:
    return f"{row['title']}: {show(row['per_second'])}/s, {row['events']:,} events of {row['interactions']:,}"


def _furnish(tenant: Tenant) -> tuple[list[Any], list[Any]]:
    from engagement.models import Application, Department

    client = tenant.clients[0]
    applications = Application.objects.bulk_create(
        [Application(client=client, name=f"Application {index}") for index in range(APPLICATIONS)]
    )
    departments = Department.objects.bulk_create(
        [Department(client=client, name=f"Department {index}") for index in range(DEPARTMENTS)]
    )
    return applications, departments


def _rest(stage: Stage, port: int, posters: int) -> dict[str, Any]:
    tenants = [Tenant() for _ in range(posters)]
    rates, requests = [], stage.pick(6, 3)
    bodies = [_body(tenant) for tenant in tenants]
    for tenant, body in zip(tenants, bodies, strict=True):
        _post(port, tenant, body)  # roll-ups are made, connections opened
    before = _events_when_placed(tenants)
    for _ in range(stage.pick(3, 2)):
        started = time.perf_counter()
        with ThreadPoolExecutor(posters) as pool:
            posting = [
                pool.submit(_post_often, port, tenant, body, requests)
                for tenant, body in zip(tenants, bodies, strict=True)
            ]
            for done in posting:
                done.result()
        rates.append(ROWS * requests * posters / (time.perf_counter() - started))
    rate = spread(rates)
    return {
        "per_second": rate["median"],
        "spread": f"{show(rate['least'])} – {show(rate['most'])}",
        "events": _events_when_placed(tenants) - before,
        "interactions": ROWS * requests * posters * len(rates),
    }


def _body(tenant: Tenant) -> bytes:
    applications, departments = _furnish(tenant)
    return json.dumps(
        [
            {
                "app_id": str(applications[index % APPLICATIONS].pk),
                "department_id": str(departments[index % DEPARTMENTS].pk),
                "user_ref": f"person{index % PEOPLE}@example.com",
                "interaction_count": 1 + index % 3,
                "flagged": index % 50 == 0,
            }
            for index in range(ROWS)
        ]
    ).encode()


def _post_often(port: int, tenant: Tenant, body: bytes, times: int) -> None:
    for _ in range(times):
        _post(port, tenant, body)


def _post(port: int, tenant: Tenant, body: bytes) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    headers = {"Authorization": f"Bearer {tenant.token}", "Content-Type": "application/json"}
    connection.request("POST", f"/api/v1/clients/{tenant.clients[0].pk}/interactions/bulk", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"The bulk endpoint answered {answer.status}: {text[:300]!r}")


def _events_when_placed(tenants: list[Tenant]) -> int:
    from realtime.models import Event, Outbox

    if not wait_until(lambda: not Outbox.objects.exists(), 30, every=0.05):
        raise RuntimeError("Events were not placed within 30 s.")
    return Event.objects.filter(msp_id__in=[tenant.msp.pk for tenant in tenants]).count()


def _in_process(stage: Stage, work: Callable[[Any, list[Any], int], None], count: int) -> dict[str, Any]:
    tenant = Tenant()
    applications, _ = _furnish(tenant)
    client = tenant.clients[0]
    work(client, applications, 10)
    before = _events_when_placed([tenant])
    rates = []
    for _ in range(3):
        started = time.perf_counter()
        work(client, applications, count)
        rates.append(count / (time.perf_counter() - started))
    rate = spread(rates)
    return {
        "per_second": rate["median"],
        "spread": f"{show(rate['least'])} – {show(rate['most'])}",
        "events": _events_when_placed([tenant]) - before,
        "interactions": count * len(rates),
    }


def _interactions(client: Any, applications: list[Any], count: int) -> list[Any]:
    from engagement.models import Interaction

    return [
        Interaction(
            client=client,
            application=applications[index % APPLICATIONS],
            user_ref=f"person{index % PEOPLE}@example.com",
        )
        for index in range(count)
    ]


def _bulk_create(client: Any, applications: list[Any], count: int) -> None:
    from engagement.models import Interaction

    Interaction.objects.bulk_create(_interactions(client, applications, count), batch_size=2000)


def _saves(client: Any, applications: list[Any], count: int) -> None:
    for interaction in _interactions(client, applications, count):
        interaction.save()
