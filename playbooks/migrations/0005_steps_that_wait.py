from django.db import migrations, models

from incidents.migrating import AddIndexAside


class Migration(migrations.Migration):
    """Which runs wait for a step is asked for lists of stuck runs."""

    atomic = False

    dependencies = [("playbooks", "0004_archived_by_whom")]

    operations = [
        AddIndexAside(
            "step", models.Index(fields=["run"], condition=models.Q(("state", "waiting")), name="steps_that_wait")
        ),
    ]
