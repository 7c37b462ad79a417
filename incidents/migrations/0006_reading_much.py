from django.db import migrations, models

from incidents.migrating import AddIndexAside, words_aside


class Migration(migrations.Migration):
    """What lists and searches are answered by, however many rows there are."""

    atomic = False

    dependencies = [("incidents", "0005_rolegrant_source")]

    operations = [
        AddIndexAside("incident", models.Index(fields=["severity", "-detected_at", "-id"], name="incidents_worst_first")),
        AddIndexAside("incident", models.Index(fields=["-updated_at", "-id"], name="incidents_last_changed_first")),
        AddIndexAside(
            "alert",
            models.Index(
                fields=["-last_seen", "-id"], condition=models.Q(("status", "firing")), name="firing_alerts_newest_first"
            ),
        ),
        AddIndexAside(
            "alert",
            models.Index(
                fields=["first_seen"], condition=models.Q(("disposition", "suppressed")), name="suppressed_alerts_by_time"
            ),
        ),
        # the expression and condition that `incidents.search` asks notes by
        words_aside(
            "notes_full_text",
            "incidents_event USING gin (to_tsvector('simple'::regconfig, COALESCE(text, ''))) "
            "WHERE kind IN ('note.added', 'note.corrected')",
        ),
    ]
