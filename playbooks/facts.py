"""What a playbook can know about an incident: the values behind `incident`, `system` and `run`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

#: names that a condition or parameter may use; `system.data` and `system.serving` are free maps
NAMES: dict[str, frozenset[str]] = {
    "incident": frozenset({
        "id", "key", "title", "summary", "state", "class", "subtype", "severity", "computed_severity", "realisation",
        "intent", "system", "system_name", "tier", "decision_type", "environment", "source", "restricted", "is_drill",
        "evidence_hold", "escalated_external", "harm_stopped", "contained", "verified", "alert_count", "firing_count",
        "report_count", "reopened_count", "serious_incident", "personal_data", "affected_people",
        "exposed_population", "serving", "owner", "detected_at", "onset_at", "recovered_at",
    }),
    "system": frozenset({
        "known", "slug", "name", "environment", "tier", "decision_type", "purpose", "data", "serving",
    }),
    "run": frozenset({"id", "ref", "dry_run", "playbook", "version"}),
}  # fmt: skip


def of_incident(incident: Any) -> dict[str, Any]:
    """The incident as JSON values; times are ISO texts in UTC, empty when not known."""
    system = incident.system
    return {
        "id": incident.pk,
        "key": incident.key,
        "title": incident.title,
        "summary": incident.summary,
        "state": incident.state,
        "class": incident.incident_class,
        "subtype": incident.subtype,
        "severity": incident.severity,
        "computed_severity": incident.computed_severity,
        "realisation": incident.realisation,
        "intent": incident.intent,
        "system": system.slug if system else "",
        "system_name": system.name if system else "",
        "tier": system.risk_tier if system else "unknown",
        "decision_type": system.decision_type if system else "unknown",
        "environment": system.environment if system else "",
        "source": incident.detection_source,
        "restricted": incident.restricted,
        "is_drill": incident.is_drill,
        "evidence_hold": incident.evidence_hold,
        "escalated_external": incident.escalated_external,
        "harm_stopped": incident.harm_stopped,
        "contained": incident.contained_at is not None,
        "verified": bool(incident.verification.get("passed")),
        "alert_count": incident.alert_count,
        "firing_count": incident.firing_count,
        "report_count": incident.report_count,
        "reopened_count": incident.reopened_count,
        "serious_incident": incident.serious_incident,
        "personal_data": incident.personal_data,
        "affected_people": incident.affected_people or 0,
        "exposed_population": incident.exposed_population or 0,
        "serving": incident.serving,
        "owner": incident.owner.username if incident.owner_id else "",
        "detected_at": _iso(incident.detected_at),
        "onset_at": _iso(incident.onset_at),
        "recovered_at": _iso(incident.recovered_at),
    }


def of_system(system: Any | None) -> dict[str, Any]:
    """The AI system; `known` is false when the incident names none."""
    return {
        "known": system is not None,
        "slug": system.slug if system else "",
        "name": system.name if system else "",
        "environment": system.environment if system else "",
        "tier": system.risk_tier if system else "unknown",
        "decision_type": system.decision_type if system else "unknown",
        "purpose": system.purpose if system else "",
        "data": system.data if system else {},
        "serving": system.serving if system else {},
    }


def of_run(run: Any) -> dict[str, Any]:
    return {
        "id": run.pk,
        "ref": run.ref,
        "dry_run": run.dry_run,
        "playbook": run.version.playbook.slug,
        "version": run.version.number,
    }


def labels(incident: Any) -> dict[str, str]:
    """What `applies_to.matchers` of a playbook see."""
    known = of_incident(incident)
    names = (
        "severity",
        "class",
        "subtype",
        "state",
        "system",
        "environment",
        "tier",
        "decision_type",
        "source",
    )
    return {name: str(known[name]) for name in names} | {"restricted": str(incident.restricted).lower()}


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
