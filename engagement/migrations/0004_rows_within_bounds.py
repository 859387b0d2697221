"""Brings rows within the bounds that the next migration has the database enforce. No text is lost.

A severity, status or tier that is no choice becomes the choice that it was meant to be where only case, spaces or
punctuation differ ("High", "AI-RESOLVED"), else the column's default. An alert's details beyond the bound are kept whole in
`OriginalDetails`, and cut in the alert, which goes to every open dashboard.
"""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Length

MAX_DETAILS = 10_000

CHOICES = [
    ("Alert", "severity", ("low", "medium", "high", "critical"), "medium"),
    ("Alert", "status", ("Unassigned", "Pending", "Complete", "AI Resolved"), "Unassigned"),
    ("Alert", "asset_kind", ("application", "agent"), "application"),
    ("Application", "status", ("Permitted", "Unsanctioned"), "Unsanctioned"),
    ("Client", "status", ("active", "trial", "suspended"), "active"),
    ("Client", "subscription_tier", ("basic", "professional", "enterprise"), "basic"),
]


def plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def map_choices(apps: Any, schema_editor: Any) -> None:
    for model, field, choices, otherwise in CHOICES:
        rows = apps.get_model("engagement", model).objects.using(schema_editor.connection.alias)
        meant = {plain(choice): choice for choice in choices}
        wrong = rows.exclude(**{f"{field}__in": choices})
        for value in set(wrong.values_list(field, flat=True)):
            rows.filter(**{field: value}).update(**{field: meant.get(plain(value), otherwise)})


def keep_long_details(apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    alerts = apps.get_model("engagement", "Alert").objects.using(using)
    originals = apps.get_model("engagement", "OriginalDetails").objects.using(using)
    long = alerts.alias(length=Length("details")).filter(length__gt=MAX_DETAILS)
    for pk in list(long.values_list("pk", flat=True)):  # one at a time: each may be megabytes
        text = alerts.values_list("details", flat=True).get(pk=pk)
        originals.create(alert_id=pk, text=text)
        alerts.filter(pk=pk).update(details=f"{text[: MAX_DETAILS - 1]}…")


def put_long_details_back(apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    alerts = apps.get_model("engagement", "Alert").objects.using(using)
    for original in apps.get_model("engagement", "OriginalDetails").objects.using(using).iterator(1):
        alerts.filter(pk=original.pk).update(details=original.text)


class Migration(migrations.Migration):
    dependencies = [
        ("engagement", "0003_leaner_interactions"),
    ]

    operations = [
        migrations.CreateModel(
            name="OriginalDetails",
            fields=[
                (
                    "alert",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="original_details",
                        serialize=False,
                        to="engagement.alert",
                    ),
                ),
                ("text", models.TextField()),
            ],
        ),
        migrations.RunPython(map_choices, migrations.RunPython.noop),
        migrations.RunPython(keep_long_details, put_long_details_back),
    ]
