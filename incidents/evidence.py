"""Evidence: keeping a file or the facts as they are now, and opening what was kept, with personal data covered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from incidents import audit, personal
from incidents.access import require
from incidents.lifecycle import Refused
from incidents.models import Evidence, Incident

MAX_BYTES = 4 * 1024 * 1024


def keep(incident: Incident, name: str, content: bytes, *, by: Any, **fields: Any) -> Evidence:
    """Keep `content` as it is, with its SHA-256. Raises NotAllowed, ValueError (too large)."""
    require(by, "incident.edit", incident)
    if len(content) > MAX_BYTES:
        raise ValueError("The file is larger than 4 MB. Keep it where it is and write its address in a note.")
    with transaction.atomic():
        kept = Evidence.keep(incident, name, content, by=by, **fields)
        incident.record(
            "evidence.kept",
            text=f"Evidence kept: {kept.name}",
            by=by,
            data={"evidence": [kept.pk], "sha256": kept.sha256},
        )
    return kept


def keep_snapshot(incident: Incident, *, by: Any) -> Evidence:
    """Keep alerts, serving versions and severity as they are now. Raises NotAllowed."""
    require(by, "incident.edit", incident)
    alerts = incident.alerts.order_by("id").values(
        "id", "origin", "fingerprint", "status", "title", "level", "labels", "metric", "value", "threshold",
        "first_seen", "last_seen", "count",
    )  # fmt: skip
    newest = incident.assessments.first()
    content = {
        "incident": incident.key, "title": incident.title, "state": incident.state, "severity": incident.severity,
        "at": timezone.now(), "class": incident.incident_class, "system": incident.system and incident.system.slug,
        "serving_at_detection": incident.serving,
        "serving_now": [
            {"version": d.version.version, "endpoint": d.endpoint, "traffic": d.traffic}
            for d in (incident.system.serving_at(timezone.now()) if incident.system else [])
        ],
        "assessment": newest and {"answers": newest.answers, "result": newest.result},
        "alerts": list(alerts),
    }  # fmt: skip
    body = json.dumps(content, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1).encode()
    return keep(
        incident,
        "Snapshot of the facts.json",
        body,
        by=by,
        source="this incident",
        media_type="application/json",
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """The content, and how often personal data is covered in it."""

    content: bytes
    covered: int


def opened(kept: Evidence, *, by: Any) -> Opened:
    """What was kept, personal data covered. Reading it on a restricted incident is on the record. Raises NotAllowed."""
    require(by, "evidence.see", kept.incident)
    if kept.incident.restricted:
        audit.note(
            "evidence.read", f"{by} read “{kept.name}” of {kept.incident.key}.", by=by, incident=kept.incident,
            evidence=kept.pk, sha256=kept.sha256,
        )  # fmt: skip
    return Opened(*personal.masked(bytes(kept.content), kept.media_type))


def revealed(kept: Evidence, *, by: Any, reason: str) -> bytes:
    """What was kept as it is, for a reason that goes on the record. Raises NotAllowed, Refused (no reason)."""
    require(by, "evidence.see", kept.incident)
    require(by, "evidence.reveal", kept.incident)
    if not reason.strip():
        raise Refused("reveal", ["Write why the personal data has to be seen; it goes on the record."])
    audit.note(
        "evidence.revealed", f"{by} revealed “{kept.name}” of {kept.incident.key}: {reason.strip()}", by=by,
        incident=kept.incident, evidence=kept.pk, sha256=kept.sha256, reason=reason.strip(),
    )  # fmt: skip
    return bytes(kept.content)
