from django.db import migrations, models


class Migration(migrations.Migration):
    """Day totals by the key of their facts, whatever the type of a subject's own key. They are summed anew."""

    dependencies = [
        ("realtime", "0005_kinds_are_declared"),
    ]

    operations = [
        migrations.DeleteModel(name="DayTotal"),
        migrations.CreateModel(
            name="DayTotal",
            fields=[
                (
                    "subject",
                    models.CharField(
                        help_text="The key of its facts", max_length=64, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField()),
                ("total", models.BigIntegerField()),
                (
                    "summed_at",
                    models.DateTimeField(
                        help_text="When it was last summed from the interactions themselves"
                    ),
                ),
            ],
        ),
    ]
