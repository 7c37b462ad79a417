"""The time around an incident that is looked at."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

HOURS = 2.0


def around(incident: Any, now: datetime, hours: float = HOURS) -> tuple[datetime, datetime]:
    """From `hours` before the onset (else the detection) to now, at most as long after it."""
    onset = onset_of(incident)
    span = timedelta(hours=hours)
    return onset - span, max(onset, min(onset + span, now))


def onset_of(incident: Any) -> datetime:
    """When it began, as far as that is known."""
    onset: datetime = incident.onset_at or incident.detected_at
    return onset
