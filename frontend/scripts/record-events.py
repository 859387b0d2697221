"""Record what a client's dashboard is before and after some minutes of traffic, and the events between, as the server tells them.

    manage.py shell -c "exec(open('frontend/scripts/record-events.py').read())" > frontend/src/app/testing/recorded.json

Run on a fresh database with demo data (`manage.py seed_demo`). The tests of the SPA's state apply the events to the first answer and
expect the second.
"""

import json
import sys
import time

from django.test import Client as Browser

from engagement import actions
from engagement.models import Alert, Client, User
from realtime.events import publisher

EVENTS = 40

client = Client.objects.get(name="Harbor Dental")
me = User.objects.get(username="msp_admin")
browser = Browser()
browser.force_login(me)


def get(path):
    return json.loads(browser.get(path, headers={"host": "localhost"}).content)


def snapshot():
    return {
        "alerts": get(f"/api/v1/alerts/?page_size=100&client={client.pk}"),
        "figures": get(f"/api/v1/clients/{client.pk}/dashboard"),
        "activity": get(f"/clients/{client.pk}/activity/"),
        "overview": get("/overview/data/"),
    }


before = snapshot()
applications, agents = list(client.applications.all()), list(client.agents.all())
departments = list(client.departments.all())
for number in range(EVENTS):
    kind = number % 8
    department = departments[number % len(departments)]
    open_alerts = Alert.objects.filter(client=client, status__in=actions.alerts.OPEN).order_by("created_at")
    if kind == 5:
        actions.raise_alert(client, severity=Alert.Severity.values[number % 4], details=f"Recorded {number}")
    elif kind == 6:
        actions.assign_alert(open_alerts[number % open_alerts.count()], me, me)
    elif kind == 7:
        actions.resolve_alert(open_alerts[number % open_alerts.count()], me)
    else:
        subject = (
            {"agent": agents[number % len(agents)]}
            if kind == 3
            else {"application": applications[number % len(applications)]}
        )
        use = actions.Use(
            department=department,
            count=number + 1,
            flagged=kind == 2,
            user_ref=f"recorded{number}",
            **subject,
        )
        actions.record_interactions(client, [use])
publisher.flush(10)
stream = f"client.{client.pk}"
after = before["figures"]["positions"][stream]
deadline = time.monotonic() + 10
while True:
    events = get(f"/api/v1/clients/{client.pk}/events?after={after}")["events"]
    if len(events) >= EVENTS or time.monotonic() > deadline:
        break
    time.sleep(0.2)
json.dump(
    {"client": str(client.pk), "before": before, "events": events, "after": snapshot()}, sys.stdout, indent=1
)
