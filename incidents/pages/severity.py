"""The severity matrix of one incident: answer, see the result at once, save."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from incidents.access import can
from incidents.models import Incident, SeverityProfile
from incidents.pages.door import No, me, of_incident, posts_to, reasons_of, status_of
from incidents.pages.severity_form import SeverityForm


@of_incident
def severity(request: HttpRequest, incident: Incident) -> HttpResponse:
    return _page(request, incident, SeverityForm(SeverityProfile.current(), incident))


@posts_to("incidents:severity")
@of_incident
def preview(request: HttpRequest, incident: Incident) -> HttpResponse:
    """The result of the answers as they stand; nothing is kept."""
    form = SeverityForm(SeverityProfile.current(), incident, request.POST)
    form.is_valid()
    if request.headers.get("HX-Request"):
        return render(request, "incidents/parts/matrix.html", _result(request, incident, form))
    return _page(request, incident, form)


@posts_to("incidents:severity")
@of_incident
def assessments(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Keep the answers and take over their severity."""
    form = SeverityForm(SeverityProfile.current(), incident, request.POST)
    if not form.is_valid():
        return _page(request, incident, form, status=422)
    try:
        row = incident.assess(by=me(request), **form.given())
    except No as error:
        return _page(request, incident, form, refused=error)
    messages.success(
        request,
        f"Severity SEV{row.chosen}"
        + (f" (matrix: SEV{row.computed})." if row.chosen != row.computed else "."),
    )
    return redirect(incident)


def _result(request: HttpRequest, incident: Incident, form: SeverityForm) -> dict[str, object]:
    result = form.result()
    titles = {d["code"]: d["title"] for d in (*form.profile["dimensions"], *form.profile["urgency"])}
    rules = {rule["code"]: rule for rule in (*form.profile["floors"], *form.profile["caps"])}
    return {
        "incident": incident, "form": form, "result": result, "rows": form.cells(), "chosen": form.chosen(),
        "because": [titles[code] for code in result.impact_by],
        "estimated": [titles[code] for code in result.estimated],
        "floors": [rules[code] for code in result.floors],
        "caps": [rules[code] for code in result.caps],
        "can_change": can(me(request), "incident.change_severity", incident),
    }  # fmt: skip


def _page(
    request: HttpRequest,
    incident: Incident,
    form: SeverityForm,
    refused: BaseException | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        **_result(request, incident, form),
        "refused": reasons_of(refused) if refused else [],
        "history": incident.assessments.select_related("by", "profile")[:10],
        "sent": form.is_bound,
    }
    return render(
        request, "incidents/severity.html", context, status=status_of(refused) if refused else status
    )
