"""Communications plan: which audience hears when, by severity and class (DOMAIN 3.6)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

#: audience, minutes until due at SEV1 / SEV2 / SEV3 (None: only for its classes), classes always told
#: (the first are those who are paged: they have heard once the page is due to be acknowledged)
AUDIENCES: list[tuple[str, int | None, int | None, int | None, frozenset[str]]] = [
    ("Model owner, commander, platform", 5, 15, 60, frozenset()),
    ("Data producer or steward", 60, 240, 1440, frozenset({"DATAQ", "DRIFT", "POISON"})),
    ("Security on-call", 0, None, None, frozenset({"POISON", "ADVERS", "INJECT", "LEAK", "AGENT", "SUPPLY"})),
    ("Data protection officer", None, None, None, frozenset({"LEAK", "BIAS"})),
    ("Model risk and compliance", 60, 240, 1440, frozenset({"BIAS", "COMPL"})),
    ("Ethics reviewer", None, None, None, frozenset({"BIAS", "HARM", "COMPL"})),
    ("Legal counsel", 60, 240, None, frozenset({"BIAS", "LEAK", "COMPL", "HARM"})),
    ("Business owner", 30, 120, 1440, frozenset()),
    ("Executive sponsor", 30, 120, None, frozenset()),
    ("Support and customer-facing teams", 30, 120, None, frozenset({"HALLUC", "PERF", "INTEG"})),
]
#: audience → due time of the incident that telling it meets; "update" runs again from then
MEETS = {
    "Model owner, commander, platform": "update",
    "Executive sponsor": "executive",
    "Support and customer-facing teams": "external",
}
#: when an audience hears only because of the class: within an hour at SEV1, four hours otherwise
CLASS_MINUTES = {1: 60, 2: 240}


def plan(severity: int, incident_class: str, start: datetime) -> list[dict[str, Any]]:
    """Audiences with their due times, the earliest first."""
    rows = []
    for audience, sev1, sev2, sev3, classes in AUDIENCES:
        minutes = {1: sev1, 2: sev2, 3: sev3}.get(severity)
        if minutes is None and incident_class in classes:
            minutes = CLASS_MINUTES.get(severity, 1440)
        if minutes is None:
            continue
        rows.append(
            {
                "audience": audience,
                "due_at": (start + timedelta(minutes=minutes)).isoformat(),
                "done_at": None,
            }
        )
    if not rows:
        rows.append(
            {"audience": "Model owner", "due_at": (start + timedelta(days=1)).isoformat(), "done_at": None}
        )
    return sorted(rows, key=lambda r: r["due_at"])
