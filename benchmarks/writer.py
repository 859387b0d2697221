"""Saves alerts as fast as it can, and says how long each took: `python -m benchmarks.writer` in a process of its own.

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

from django.db import connection, connections, models, transaction  # noqa: E402

from engagement.models import Alert, Client  # noqa: E402
from realtime.events import publisher  # noqa: E402


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


def main(kind: str, client_id: str, threads: int, count: int) -> None:
    """Save from `threads` threads, after a line on standard input; print the times."""
    model: type[models.Model] = Alert if kind == "tracked" else twin()
    if kind == "untracked" and model._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(model)
    client = Client.objects.get(pk=client_id)
    ready = threading.Barrier(threads + 1)

    def work() -> list[float]:
        save(model, client, 20)  # connections, caches, the publisher
        ready.wait()
        ready.wait()
        took = save(model, client, count)
        connections.close_all()
        return took

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(work) for _ in range(threads)]
        ready.wait()
        publisher.flush()
        print("ready", flush=True)
        sys.stdin.readline()
        ready.wait()
        took = [seconds for future in running for seconds in future.result()]
    flushed = publisher.flush(60)
    print(json.dumps({"took": took, "flushed": flushed}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
