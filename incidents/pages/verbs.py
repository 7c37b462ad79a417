"""What people do on an incident's page; each address is a noun that takes POST."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from incidents import handover, lifecycle
from incidents.evidence import keep_snapshot
from incidents.models import Incident, Task
from incidents.pages import forms
from incidents.pages.door import No, find, me, of_incident, posts_to
from incidents.pages.incident import show

PAGE = "incidents:incident"


def _back(request: HttpRequest, incident: Incident, said: str, place: str = "") -> HttpResponse:
    messages.success(request, said)
    return redirect(incident.get_absolute_url() + (f"#{place}" if place else ""))


@posts_to(PAGE)
@of_incident
def acknowledgement(request: HttpRequest, incident: Incident) -> HttpResponse:
    try:
        event = incident.acknowledge(by=me(request))
    except No as error:
        return show(request, incident, refused=error, at="acknowledgement")
    said = "Acknowledged." if event else f"It was already acknowledged; {incident.owner} has it."
    return _back(request, incident, said)


@posts_to(PAGE)
@of_incident
def owner(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Take over (`me=1`) or hand over to somebody."""
    data = {"owner": me(request).pk} if request.POST.get("me") else request.POST
    form = forms.OwnerForm(data)
    if not form.is_valid():
        return show(request, incident, form=form, at="owner")
    try:
        incident.assign(form.cleaned_data["owner"], by=me(request), note=form.cleaned_data["note"])
    except No as error:
        return show(request, incident, refused=error, form=form, at="owner")
    return _back(request, incident, f"{incident.owner} has command.")


@posts_to(PAGE)
@of_incident
def handover_read(request: HttpRequest, incident: Incident) -> HttpResponse:
    """The new commander has read what was handed over."""
    try:
        handover.read(incident, by=me(request))
    except No as error:
        return show(request, incident, refused=error, at="owner")
    return _back(request, incident, "The timeline says that you have it.")


@posts_to(PAGE)
@of_incident
def transitions(request: HttpRequest, incident: Incident) -> HttpResponse:
    """One lifecycle move with what its guards ask for; `then=save` keeps the answers without moving."""
    move = lifecycle.MOVES.get(request.POST.get("move", ""))
    if move is None:
        raise Http404("There is no such move.")
    form = forms.MoveForm(incident, move, lifecycle.unmet(incident, move), me(request), request.POST)
    saving = request.POST.get("then") == "save"
    if not form.is_valid():
        return show(request, incident, form=form, at=move.name)
    try:
        with transaction.atomic():
            _prepare(form, incident, me(request))
            if saving:
                incident.fill(by=me(request), **form.given())
            else:
                more: dict[str, Any] = {}
                if (other := form.into()) is not None:
                    more["into"] = _other(request, incident, other)
                incident.move(
                    move.target, by=me(request), note=form.cleaned_data["note"], **form.given(), **more
                )
    except No as error:
        return show(request, incident, refused=error, form=form, at=move.name)
    return _back(
        request,
        incident,
        "Saved." if saving else f"{incident.key} is now {incident.get_state_display().lower()}.",
    )


def _prepare(form: forms.MoveForm, incident: Incident, user: Any) -> None:
    """What a guard asks for that is a row of its own: snapshot, plan, remediation task."""
    given = form.cleaned_data
    if given.get("snapshot"):
        keep_snapshot(incident, by=user)
    if given.get("plan_comms"):
        incident.plan_communications(by=user)
    if given.get("remediation_task"):
        Task.give(incident, by=user, title=given["remediation_task"], kind="remediation")


def _other(request: HttpRequest, incident: Incident, number: int) -> Incident:
    if number == incident.pk:
        raise ValueError("An incident is not a duplicate of itself; name the other one.")
    try:
        return find(me(request), number)
    except Http404:
        raise ValueError(f"There is no INC-{number} that you may see.") from None


@posts_to(PAGE)
@of_incident
def facts(request: HttpRequest, incident: Incident) -> HttpResponse:
    with transaction.atomic():
        locked = Incident.objects.select_for_update().get(pk=incident.pk)
        form = forms.FactsForm(me(request), request.POST, instance=locked)
        if not form.is_valid():
            return show(request, incident, form=form, at="facts")
        if both := form.conflicts():
            return show(request, incident, form=form.rebased(), at="facts", meanwhile=both)
        try:
            incident.fill(by=me(request), **{name: form.cleaned_data[name] for name in form.changed_data})
        except No as error:
            return show(request, incident, refused=error, form=form, at="facts")
    return _back(request, incident, "Saved." if form.changed_data else "Nothing was different.")


@posts_to(PAGE)
@of_incident
def notes(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = forms.NoteForm(request.POST)
    if not form.is_valid():
        return show(request, incident, form=form, at="note")
    wanted = form.cleaned_data["corrects"]
    corrects = get_object_or_404(incident.events.all(), pk=wanted) if wanted else None
    try:
        incident.note(form.cleaned_data["text"], by=me(request), corrects=corrects)
    except No as error:
        return show(request, incident, refused=error, form=form, at="note")
    return _back(request, incident, "Correction added." if corrects else "Note added.", "timeline")


@posts_to(PAGE)
@of_incident
def pins(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Show an entry of the timeline on top (`pinned=1`), or no longer (`pinned=0`)."""
    wanted = request.POST.get("event", "")
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 19):
        raise Http404("There is no such entry.")
    event = get_object_or_404(incident.events.all(), pk=wanted)
    try:
        incident.pin(event, by=me(request), pinned=request.POST.get("pinned") != "0")
    except No as error:
        return show(request, incident, refused=error, at="note")
    return redirect(incident.get_absolute_url() + "#timeline")


@posts_to(PAGE)
@of_incident
def tasks(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = forms.TaskForm(request.POST)
    if not form.is_valid():
        return show(request, incident, form=form, at="task")
    try:
        Task.give(incident, by=me(request), **form.cleaned_data)
    except No as error:
        return show(request, incident, refused=error, form=form, at="task")
    return _back(request, incident, "Task added.", "tasks")


@posts_to(PAGE)
@of_incident
def task_done(request: HttpRequest, incident: Incident, pk: int) -> HttpResponse:
    task = get_object_or_404(incident.tasks.filter(done_at=None), pk=pk)
    try:
        task.complete(by=me(request))
    except No as error:
        return show(request, incident, refused=error, at="task")
    return _back(request, incident, f"Done: {task.title}", "tasks")


@posts_to(PAGE)
@of_incident
def attestations(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = forms.AttestationForm(request.POST)
    if not form.is_valid():
        return show(request, incident, form=form, at="attestation")
    try:
        incident.attest(by=me(request), **form.cleaned_data)
    except No as error:
        return show(request, incident, refused=error, form=form, at="attestation")
    return _back(request, incident, "Attested.")


@posts_to(PAGE)
@of_incident
def told(request: HttpRequest, incident: Incident, index: int) -> HttpResponse:
    """An audience of the communications plan was told."""
    try:
        incident.tell_audience(index, by=me(request), text=request.POST.get("text", "")[:8000])
    except IndexError:
        raise Http404("The plan has no such audience.") from None
    except No as error:
        return show(request, incident, refused=error, at="comms")
    return _back(request, incident, f"Noted that {incident.comms_plan[index]['audience']} was told.", "comms")


@posts_to(PAGE)
@of_incident
def plan(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Make (or make again) the communications plan."""
    try:
        incident.plan_communications(by=me(request))
    except No as error:
        return show(request, incident, refused=error, at="comms")
    return _back(request, incident, "The plan follows class and severity.", "comms")


@posts_to(PAGE)
@of_incident
def restriction(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = forms.RestrictionForm(request.POST)
    if not form.is_valid():
        return show(request, incident, form=form, at="restriction")
    try:
        incident.restrict(by=me(request), reason=form.cleaned_data["reason"])
    except No as error:
        return show(request, incident, refused=error, form=form, at="restriction")
    return _back(request, incident, "Restricted: only named people and security see it now.")


@posts_to(PAGE)
@of_incident
def settlement(request: HttpRequest, incident: Incident, pk: int) -> HttpResponse:
    clock = get_object_or_404(incident.clocks.filter(settled_at=None), pk=pk)
    form = forms.SettlementForm(request.POST)
    if not form.is_valid():
        return show(request, incident, form=form, at="clocks")
    try:
        clock.settle(by=me(request), **form.cleaned_data)
    except No as error:
        return show(request, incident, refused=error, at="clocks")
    return _back(request, incident, f"{clock}: {clock.get_state_display().lower()}.", "clocks")
