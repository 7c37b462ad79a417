"""A source that has gone silent is an alert itself: the monitor that died tells nobody."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from incidents.intake import ingest
from incidents.intake.signal import Signal, Status
from integrations.models import Connection

FINGERPRINT = "holdfast-source-silent"


def sweep(now: datetime | None = None) -> int:
    """Open an alert for each source that is overdue, and resolve those that speak again; how many changed."""
    moment = now or timezone.now()
    changed = 0
    with transaction.atomic():
        expected = Connection.objects.exclude(expect_every=None).filter(enabled=True).defer("settings")
        for row in expected.select_for_update(skip_locked=True).order_by("pk"):
            since = row.last_received_at or row.created_at
            if row.silent_since is None and since + timedelta(seconds=row.expect_every or 0) < moment:
                Connection.objects.filter(pk=row.pk).update(silent_since=since)
                ingest([_signal(row, "firing", moment, since)])
                changed += 1
            elif row.silent_since is not None and since > row.silent_since:
                Connection.objects.filter(pk=row.pk).update(silent_since=None)
                ingest([_signal(row, "resolved", moment, row.silent_since)])
                changed += 1
    return changed


def _signal(row: Connection, status: Status, now: datetime, since: datetime) -> Signal:
    minutes = (row.expect_every or 0) / 60
    return Signal(
        origin=row.origin, source="heartbeat", fingerprint=FINGERPRINT, status=status,
        title=f"Nothing heard from {row.name}"[:300], level="critical", family="INTEG",
        description=f"Expected at least one message every {minutes:g} min; the last came at {since:%Y-%m-%d %H:%M} UTC. "
        "While it is silent, trouble that it watches goes unseen: look at the monitor and at the way from it to here.",
        labels={"connection": row.name, "alertname": "SourceSilent"}, observed_at=now, starts_at=since,
        ends_at=now if status == "resolved" else None,
    )  # fmt: skip
