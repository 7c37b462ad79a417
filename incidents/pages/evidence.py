"""Evidence: keep a file or a snapshot of the facts, and hand it out so that it cannot run."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.http import content_disposition_header

from incidents.access import require
from incidents.models import Evidence, Incident
from incidents.pages import forms
from incidents.pages.door import No, me, of_incident, posts_to
from incidents.pages.incident import show

MAX_BYTES = 4 * 1024 * 1024
#: Shown in the browser; everything else is downloaded.
INLINE = {"image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"}
#: An opened SVG has an opaque origin, loads nothing and runs nothing.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


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
    return _keep(
        incident,
        "Snapshot of the facts.json",
        body,
        by=by,
        source="this incident",
        media_type="application/json",
    )


def _keep(incident: Incident, name: str, content: bytes, *, by: Any, **fields: Any) -> Evidence:
    with transaction.atomic():
        kept = Evidence.keep(incident, name, content, by=by, **fields)
        incident.record(
            "evidence.kept",
            text=f"Evidence kept: {kept.name}",
            by=by,
            data={"evidence": [kept.pk], "sha256": kept.sha256},
        )
    return kept


@posts_to("incidents:incident")
@of_incident
def evidence(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Keep an uploaded file."""
    form = forms.EvidenceForm(request.POST, request.FILES)
    if form.is_valid() and form.cleaned_data["file"].size > MAX_BYTES:
        form.add_error(
            "file", "The file is larger than 4 MB. Keep it where it is and write its address in a note."
        )
    if not form.is_valid():
        return show(request, incident, form=form, at="evidence")
    try:
        require(me(request), "incident.edit", incident)
        file = form.cleaned_data["file"]
        media_type = (file.content_type or "application/octet-stream")[:100]
        _keep(
            incident, file.name, file.read(), by=me(request), media_type=media_type, note=form.cleaned_data["note"],
            source=f"uploaded by {me(request)}",
        )  # fmt: skip
    except No as error:
        return show(request, incident, refused=error, form=form, at="evidence")
    messages.success(request, f"Kept: {file.name}")
    return redirect(incident.get_absolute_url() + "#evidence")


@of_incident
def evidence_item(request: HttpRequest, incident: Incident, pk: int) -> HttpResponse:
    """One piece as it was kept."""
    require(me(request), "evidence.see", incident)
    kept = get_object_or_404(incident.evidence.all(), pk=pk)
    inline = kept.media_type in INLINE and "download" not in request.GET
    media_type = (
        kept.media_type if inline or kept.media_type == "application/json" else "application/octet-stream"
    )
    response = HttpResponse(bytes(kept.content), content_type=media_type)
    response["Content-Disposition"] = content_disposition_header(not inline, kept.name) or "attachment"
    response["Content-Security-Policy"] = SANDBOX
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, max-age=3600"
    response["ETag"] = f'"{kept.sha256}"'
    return response
