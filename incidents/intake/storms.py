"""Storm: more than 20 new alerts of one origin within five minutes become one record and few messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from incidents.models import Event, Storm

from . import store
from .case import Entry

LIMIT = 20
SPAN = timedelta(minutes=5)
QUIET = timedelta(minutes=10)  #: so long without a new alert, and the storm is over


def blowing() -> dict[str, int]:
    """Origin → its open storm."""
    return dict(Storm.objects.exclude(open_key=None).values_list("origin", "id"))


def watch(entries: Sequence[Entry], known: dict[str, int], now: datetime) -> list[Event]:
    """Count the new alerts of the batch into storms and begin storms where the limit is passed.

    Sets `storm_id` on the new entries. Returns the events that begin storms, not yet written.
    """
    new = [e for e in entries if e.created]
    counts = Counter(e.item.report.signal.origin[:80] for e in new)
    calm = sorted(set(counts) - set(known))
    events: list[Event] = []
    opened: dict[str, int] = {}
    if calm:
        for origin, alerts in sorted(store.new_alerts_since(calm, now - SPAN).items()):
            if alerts <= LIMIT:
                continue
            storm = store.open_storm(origin, now, now, alerts)
            if storm is None:  # another batch was first; it did not see the alerts of this one
                known[origin] = Storm.objects.values_list("id", flat=True).get(open_key=origin)
                continue
            opened[origin] = storm
            events.append(
                Event(
                    kind="storm.started", at=now, recorded_at=now, actor="intake",
                    text=f"Alert storm: {alerts} new alerts from {origin} within five minutes. Incidents of SEV3 "
                    "and below are not announced one by one until it is over.",
                    data={"storm": storm, "origin": origin, "alerts": alerts, "announce": True},
                )
            )  # fmt: skip
    fed = [
        {"id": known[origin], "alerts": n, "last_at": now}
        for origin, n in sorted(counts.items())
        if origin in known
    ]
    if fed:
        store.feed_storms(fed)
    storms = {**known, **opened}
    for entry in new:
        entry.storm_id = storms.get(entry.item.report.signal.origin[:80])
    return events
