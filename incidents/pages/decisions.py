"""The re-score worklist of one incident: bring in, look through, mark as done, take out."""

from __future__ import annotations

import csv
from typing import Any

from django.contrib import messages
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render

from incidents import rescoring
from incidents.access import can, require
from incidents.evidence import MAX_BYTES
from incidents.models import Incident
from incidents.pages import forms
from incidents.pages.door import No, me, of_incident, posts_to, reasons_of, status_of
from incidents.pages.incidents import Echo, inert
from incidents.pages.keyset import page_of

PAGE = "incidents:decisions"
SIZE = 100
#: filter → (title, what it shows)
SHOWN: dict[str, tuple[str, Q]] = {
    "": ("To do", Q(rescored_at=None)),
    "done": ("Done", ~Q(rescored_at=None)),
    "changed": ("Changed", ~Q(rescored_at=None) & ~Q(new_outcome=F("outcome"))),
    "all": ("All", Q()),
}


@of_incident
def decisions(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Show the list (`?format=csv` takes it out); POST brings decisions in."""
    if request.method == "POST":
        return _bring_in(request, incident)
    require(me(request), "evidence.see", incident)
    if request.GET.get("format") == "csv":
        return _file(request, incident)
    return _page(request, incident)


def _bring_in(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = forms.DecisionsForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, incident, form=form)
    try:
        brought, _ = rescoring.list_decisions(incident, rescoring.read_csv(_text(form)), by=me(request))
    except No as error:
        return _page(request, incident, form=form, refused=error)
    messages.success(request, str(brought))
    return redirect(PAGE, incident.pk)


def _text(form: forms.DecisionsForm) -> str:
    """What was uploaded or pasted. Raises ValueError."""
    given = form.cleaned_data["file"]
    if given is None:
        return str(form.cleaned_data["text"])
    if given.size > MAX_BYTES:
        raise ValueError("The file is larger than 4 MB; bring it in by parts.")
    try:
        return str(given.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("The file is not text in UTF-8; save it as CSV UTF-8.") from None


@posts_to(PAGE)
@of_incident
def rescorings(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Mark the ticked decisions as taken again with one outcome; or keep how many are done (`done`)."""
    user, back = me(request), redirect(PAGE, incident.pk)
    try:
        if "done" in request.POST:
            typed = request.POST["done"].strip()
            if not (typed.isascii() and typed.isdigit() and len(typed) < 16):
                raise ValueError("Write how many are done as a number.")
            rescoring.count_rescored(incident, int(typed), by=user)
            messages.success(request, "Kept.")
            return back
        require(user, "incident.edit", incident)
        ticked = [
            pk
            for pk in request.POST.getlist("decision")[:SIZE]
            if pk.isascii() and pk.isdigit() and len(pk) < 19
        ]
        outcome = request.POST.get("new_outcome", "").strip()[:120]
        if not ticked:
            raise ValueError("Tick the decisions first.")
        rows = incident.decisions.filter(pk__in=ticked)
        count, _ = rescoring.rescore(incident, {row.key: outcome or row.outcome for row in rows}, by=user)
    except No as error:
        return _page(request, incident, refused=error)
    messages.success(request, f"{count} marked as re-scored.")
    return back


def _rows(request: HttpRequest, incident: Incident) -> Any:
    wanted = request.GET.get("show", "")
    return incident.decisions.filter(SHOWN.get(wanted, SHOWN[""])[1])


def _file(request: HttpRequest, incident: Incident) -> HttpResponse:
    out = csv.writer(Echo())
    rows = rescoring.written(_rows(request, incident))
    lines = (out.writerow([inert(cell) for cell in row]) for row in rows)
    response: Any = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{incident.key}-decisions.csv"'
    return response


def _page(
    request: HttpRequest,
    incident: Incident,
    *,
    form: forms.DecisionsForm | None = None,
    refused: BaseException | None = None,
) -> HttpResponse:
    user = me(request)
    require(user, "evidence.see", incident)
    show = request.GET.get("show", "")
    page = page_of(
        _rows(request, incident).select_related("rescored_by"), ("id",), request.GET.get("at", ""), SIZE
    )
    context = {
        "incident": incident, "form": form or forms.DecisionsForm(), "page": page,
        "interval": rescoring.interval_of(incident), "progress": rescoring.progress_of(incident),
        "tabs": [(code, title, code == show) for code, (title, _) in SHOWN.items()], "show": show,
        "can_edit": can(user, "incident.edit", incident), "refused": reasons_of(refused) if refused else [],
    }  # fmt: skip
    code = status_of(refused) if refused else 422 if form else 200
    return render(request, "incidents/decisions.html", context, status=code)
