"""Evidence: keep a file, and hand it out so that it cannot run."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import content_disposition_header

from incidents.access import require
from incidents.evidence import keep, opened, revealed
from incidents.models import Evidence, Incident
from incidents.pages import forms
from incidents.pages.door import No, me, of_incident, posts_to
from incidents.pages.incident import show

#: Shown in the browser; everything else is downloaded.
INLINE = {"image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"}
#: An opened SVG has an opaque origin, loads nothing and runs nothing.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@posts_to("incidents:incident")
@of_incident
def evidence(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Keep an uploaded file."""
    form = forms.EvidenceForm(request.POST, request.FILES)
    if not form.is_valid():
        return show(request, incident, form=form, at="evidence")
    try:
        file = form.cleaned_data["file"]
        media_type = (file.content_type or "application/octet-stream")[:100]
        keep(
            incident, file.name, file.read(), by=me(request), media_type=media_type, note=form.cleaned_data["note"],
            source=f"uploaded by {me(request)}",
        )  # fmt: skip
    except No as error:
        return show(request, incident, refused=error, form=form, at="evidence")
    messages.success(request, f"Kept: {file.name}")
    return redirect(incident.get_absolute_url() + "#evidence")


@of_incident
def evidence_item(request: HttpRequest, incident: Incident, pk: int) -> HttpResponse:
    """One piece with personal data covered; POST with a reason shows it as it was kept."""
    require(me(request), "evidence.see", incident)
    kept = get_object_or_404(incident.evidence.select_related("incident"), pk=pk)
    if request.method == "POST":
        try:
            content = revealed(kept, by=me(request), reason=request.POST.get("reason", "")[:2000])
        except No as error:
            return show(request, incident, refused=error, at="evidence")
        return _file(request, kept, content, "no-store")
    found = opened(kept, by=me(request))
    response = _file(
        request, kept, found.content, "no-store" if incident.restricted else "private, max-age=3600"
    )
    if not found.covered:
        response["ETag"] = f'"{kept.sha256}"'
    return response


def _file(request: HttpRequest, kept: Evidence, content: bytes, cache: str) -> HttpResponse:
    inline = kept.media_type in INLINE and "download" not in request.GET
    media_type = (
        kept.media_type if inline or kept.media_type == "application/json" else "application/octet-stream"
    )
    response = HttpResponse(content, content_type=media_type)
    response["Content-Disposition"] = content_disposition_header(not inline, kept.name) or "attachment"
    response["Content-Security-Policy"] = SANDBOX
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = cache
    return response
