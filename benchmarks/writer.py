"""Saves alerts as fast as it can, and says how long each took: `python -m benchmarks.writer` in a process of its own.

Each line on standard input is how many to save; the answer is a line of JSON.

`tracked` saves `Alert`; `untracked` saves its twin, a model of the same columns, indexes and constraints that
nothing listens to, in a transaction of its own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "compliance_portal.settings")
django.setup()

from django.db import connection, models, transaction  # noqa: E402

from engagement.models import Alert, Client  # noqa: E402
from realtime.events import publisher  # noqa: E402
from realtime.server import collecting  # noqa: E402


def twin() -> type[models.Model]:
    """Return a plain model with the columns, indexes and constraints of `Alert`."""
    attributes: dict[str, Any] = {"__module__": __name__}
    for field in Alert._meta.local_fields:
        _, _, arguments, options = field.deconstruct()
        if field.remote_field:
            options["related_name"] = "+"
        attributes[field.name] = type(field)(*arguments, **options)
    meta = {
        "app_label": "benchmarks",
        "db_table": "benchmarks_untracked_alert",
        "indexes": [
            models.Index(fields=index.fields, name=f"b_{index.name}"[:30]) for index in Alert._meta.indexes
        ],
        "constraints": [
            models.CheckConstraint(name=f"b_{constraint.name}"[:60], condition=constraint.condition)
            for constraint in Alert._meta.constraints
            if isinstance(constraint, models.CheckConstraint)
        ],
    }
    attributes["Meta"] = type("Meta", (), meta)
    return type("UntrackedAlert", (models.Model,), attributes)


def save(model: type[models.Model], client: Client, count: int) -> list[float]:
    """Save `count` alerts, each in a transaction of its own; return the seconds that each took."""
    took = []
    for index in range(count):
        row = model(
            client=client,
            severity="high",
            family="Data loss",
            details=f"Prompt {index} with customer records",
        )
        before = time.perf_counter()
        with transaction.atomic():
            row.save()
        took.append(time.perf_counter() - before)
    return took


def main(kind: str, client_id: str, threads: int) -> None:
    """Save from `threads` threads, as often as a line on standard input says; print the times."""
    model: type[models.Model] = Alert if kind == "tracked" else twin()
    if kind == "untracked" and model._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(model)
    client = Client.objects.get(pk=client_id)
    collecting.spare_what_stays()
    with ThreadPoolExecutor(threads) as pool:
        together = threading.Barrier(threads)

        def work(count: int) -> list[float]:
            together.wait()
            return save(model, client, count)

        def turn(count: int) -> list[float]:
            running = [pool.submit(work, count) for _ in range(threads)]
            return [seconds for future in running for seconds in future.result()]

        turn(20)  # connections, caches, plans, the publisher
        publisher.flush()
        print("ready", flush=True)
        for line in sys.stdin:
            took = turn(int(line))
            print(json.dumps({"took": took, "flushed": publisher.flush(60)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
