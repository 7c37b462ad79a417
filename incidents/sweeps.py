"""What time alone changes: grouping keys to give up, storms that are over, silences that ran out.

The sweeper calls each of these every now and then; each returns how many rows it handled and is safe
with many workers at once (rows that another one holds are skipped).
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from incidents import silences
from incidents.intake import storms
from incidents.models import Event, Incident, Storm
from incidents.wake import wake

#: Handled per call; the next call takes the rest.
LIMIT = 500


def release_keys(now: datetime | None = None) -> int:
    """Incidents whose time for re-opening is over give up their grouping key: a new firing is a new incident."""
    moment = now or timezone.now()
    held = Incident.objects.exclude(open_key=None).exclude(mitigated_at=None)
    released = 0
    # few spans exist (rules choose them), and each can use the index on mitigated_at
    for seconds in sorted(held.order_by().values_list("reopen_seconds", flat=True).distinct()):
        due = held.filter(reopen_seconds=seconds, mitigated_at__lt=moment - timedelta(seconds=seconds))
        with transaction.atomic():
            locked = due.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True)
            ids = list(locked[:LIMIT])
            if ids:
                released += Incident.objects.filter(pk__in=ids).update(open_key=None)
    return released


def end_storms(now: datetime | None = None) -> int:
    """Storms without a new alert for ten minutes end with an event that sums up what they brought."""
    moment = now or timezone.now()
    with transaction.atomic():
        over = Storm.objects.exclude(open_key=None).filter(last_at__lte=moment - storms.QUIET)
        rows = list(over.select_for_update(skip_locked=True, no_key=True).order_by("pk")[:LIMIT])
        for storm in rows:
            storm.open_key, storm.ended_at = None, moment
            storm.save(update_fields=["open_key", "ended_at"])
            brought = list(storm.incident_set.order_by("severity", "pk").values_list("pk", "severity"))
            by_severity = Counter(f"SEV{severity}" for _, severity in brought)
            said = ", ".join(f"{n} × {name}" for name, n in sorted(by_severity.items())) or "none"
            Event.objects.create(
                kind="storm.ended", at=moment, recorded_at=moment, actor="sweeper",
                text=f"The alert storm of {storm.origin} is over: {storm.alerts} alerts; incidents: {said}.",
                data={
                    "storm": storm.pk, "origin": storm.origin, "alerts": storm.alerts, "severities": dict(by_severity),
                    "incidents": [pk for pk, _ in brought][:50], "announce": True,
                },
            )  # fmt: skip
            wake("outbox")
    return len(rows)


def end_silences(now: datetime | None = None) -> int:
    """Silences that ran out: what still fires is told again."""
    return silences.expire_due(now)
