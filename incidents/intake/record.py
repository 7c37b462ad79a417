"""A classified report as the row that the alert table gets."""

from __future__ import annotations

import math
from typing import Any

from .classify import Classified
from .promotion import Voice, detector_of, promote

_BIGGEST = 2**63 - 1
#: what brings an alert into an incident that is there
OPEN_INCIDENT = {"by": "open incident"}


def row_of(item: Classified, storm_id: int | None = None, incident_id: int | None = None) -> dict[str, Any]:
    """Values by column, cut to what the columns hold, as if the alert were new, and alone or in an incident."""
    report, signal = item.report, item.report.signal
    disposition = disposition_alone(item) if incident_id is None else "attached"
    why = why_of(item, incident_id)
    return {
        "live_key": report.live_key,
        "origin": signal.origin[:80],
        "source": signal.source[:60],
        "fingerprint": report.fingerprint,
        "status": report.newest.status,
        "disposition": disposition,
        "title": signal.title[:300] or signal.metric or "Alert without a title",
        "description": signal.description,
        "level": item.level,
        "family": item.family,
        "labels": {str(name): str(value) for name, value in signal.labels.items()},
        "env": item.env[:64],
        "system_id": item.system.id if item.system else None,
        "system_name": item.found.name[:200],
        "version": signal.version[:120],
        "segment": signal.segment[:200],
        "feature": signal.feature[:200],
        "dataset": signal.dataset[:200],
        "metric": signal.metric[:120],
        "value": _number(signal.value),
        "threshold": _number(signal.threshold),
        "comparator": signal.comparator[:8],
        "baseline": signal.baseline[:200],
        "window": signal.window[:120],
        "sample_size": signal.sample_size if signal.sample_size is None or abs(signal.sample_size) <= _BIGGEST else None,
        "links": [list(link) for link in signal.links],
        "starts_at": report.starts_at,
        "ends_at": report.ends_at,
        "first_seen": report.first_at,
        "last_seen": report.last_at,
        "count": report.count,
        "windows": len(item.windows),
        "last_window": item.windows[-1] if item.windows else "",
        "grouping_key": item.key,
        "rule_id": item.rule.id or None,
        "storm_id": storm_id,
        "silence_id": item.silence.id if item.silence else None,
        "why": why if storm_id is None else {**why, "storm": storm_id},
        "last_inbox_id": report.newest.inbox_id,
        "incident_id": incident_id,
    }  # fmt: skip


def disposition_alone(item: Classified) -> str:
    """Where an alert belongs that no incident takes."""
    if not item.report.firings:
        return "recorded"
    return "watching" if item.significant else "suppressed"


def why_of(item: Classified, incident_id: int | None) -> dict[str, Any]:
    """The explanation that a new alert is written with."""
    if incident_id is not None:
        return {**item.why, "promoted": OPEN_INCIDENT}
    if disposition_alone(item) == "watching":
        return {**item.why, "waiting": alone(item)}
    return item.why


def alone(item: Classified) -> dict[str, Any]:
    """What promotion has and needs when no other alert of the key is there."""
    signal = item.report.signal
    detector = detector_of(signal.source, signal.metric, signal.feature, signal.title)
    voice = Voice(item.level, item.report.firing, detector, len(item.windows))
    return promote(item.rule, [voice])[1]


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
