"""The panel "What changed in the 24 h before" on an incident's page."""

from __future__ import annotations

from django.http import HttpRequest
from django.template.loader import render_to_string

from incidents import changes
from incidents.models import Incident

SHOWN = 8


def incident_panel(request: HttpRequest, incident: Incident) -> str:
    """Changes that may have to do with it, the newest first; "" when none is known."""
    found = list(changes.before(incident)[: SHOWN + 1])
    if not found:
        return ""
    onset = incident.onset_at or incident.detected_at
    for change in found:
        change.early = max(0.0, (onset - change.at).total_seconds())  # type: ignore[attr-defined]
        change.link = change.url if change.url.startswith(("http://", "https://")) else ""  # type: ignore[attr-defined]
    context = {"changes": found[:SHOWN], "more": len(found) > SHOWN, "incident": incident}
    return render_to_string("incidents/parts/changes.html", context, request)
