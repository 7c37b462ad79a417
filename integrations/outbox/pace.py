"""The vendor's rate, kept by all workers together: when the next request may go to a place.

The generic cell rate algorithm (ITU-T I.371, annex A): one time stamp per place, no counters to reset.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from integrations.models import Pace

#: Share of a vendor's window that may go at once; the rest is spread, so that no window holds more than its limit.
BURST = 0.25
#: Seconds that one conversation waits at most before its next request.
LONGEST = 5.0


def take(connection_id: int, place: str, rate: tuple[int, float] | None, now: datetime) -> bool:
    """Whether a request may go now; it is counted then. Inside a transaction: the place's row is locked."""
    if rate is None:
        return True
    row = _row(connection_id, place, now)
    if row.open_at > now:
        return False
    _count(row, rate, now)
    return True


def wait(connection_id: int, place: str, rate: tuple[int, float] | None) -> None:
    """Count one more request of a conversation that has begun, and sleep until its turn (LONGEST at most)."""
    if rate is None:
        return
    with transaction.atomic():
        now = timezone.now()
        row = _row(connection_id, place, now)
        turn = max(row.open_at, now)
        _count(row, rate, turn)
    time.sleep(min(LONGEST, max(0.0, (turn - now).total_seconds())))


def hold(connection_id: int, place: str, seconds: float) -> None:
    """The vendor said "not before": nothing goes to the place until then."""
    now = timezone.now()
    row, until = _row(connection_id, place, now), now + timedelta(seconds=seconds)
    Pace.objects.filter(pk=row.pk, open_at__lt=until).update(open_at=until, arrival_at=until)


def _row(connection_id: int, place: str, now: datetime) -> Pace:
    row = Pace.objects.select_for_update().filter(connection=connection_id, place=place).first()
    if row is None:
        fresh = {"arrival_at": now, "open_at": now}
        Pace.objects.get_or_create(connection_id=connection_id, place=place, defaults=fresh)
        row = Pace.objects.select_for_update().get(connection=connection_id, place=place)
    return row


def _count(row: Pace, rate: tuple[int, float], now: datetime) -> None:
    requests, seconds = rate
    burst = max(1, int(requests * BURST))
    # a burst at the end of one window and a spread window after it stay within the limit together
    each = seconds / max(1, requests - burst) if requests > 1 else seconds
    arrival = max(row.arrival_at, now) + timedelta(seconds=each)
    opens = max(now, arrival - timedelta(seconds=each * (burst - 1))) if burst > 1 else arrival
    Pace.objects.filter(pk=row.pk).update(arrival_at=arrival, open_at=opens)
