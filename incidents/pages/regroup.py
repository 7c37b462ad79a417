"""What people do about grouping on an incident's page: move alerts, split them off, take it back."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from incidents import regrouping
from incidents.models import Incident
from incidents.pages.door import No, find, me, number_of, of_incident, posts_to
from incidents.pages.incident import show

PAGE = "incidents:incident"


class ChosenForm(forms.Form):
    """The ticked alerts, with where they go or what the new incident is called."""

    note = forms.CharField(max_length=2000, required=False)
    title = forms.CharField(max_length=300, required=False)
    into = forms.CharField(max_length=20, required=False)

    def alerts(self) -> list[int]:
        """Ids of the ticked alerts. Raises ValueError when none is."""
        ticked = self.data.getlist("alert")  # type: ignore[attr-defined]
        found = [int(pk) for pk in ticked if pk.isascii() and pk.isdigit() and len(pk) < 19]
        if not found:
            raise ValueError("Choose at least one alert: tick the box in its line.")
        return found


def other_of(request: HttpRequest, text: str) -> Incident:
    """The incident that somebody typed. Raises ValueError when there is none that they may see."""
    try:
        return find(me(request), number_of(text))
    except Http404:
        raise ValueError(
            f"There is no {text.strip().upper() or 'such incident'} that you may see; write it like INC-7."
        ) from None


@posts_to(PAGE)
@of_incident
def alert_moves(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = ChosenForm(request.POST)
    try:
        if not form.is_valid():
            raise ValueError("The note or the id of the other incident is too long.")
        into = other_of(request, form.cleaned_data["into"])
        event = regrouping.move_alerts(
            incident, form.alerts(), into=into, by=me(request), note=form.cleaned_data["note"]
        )
    except No as error:
        return show(request, incident, refused=error, at="alerts")
    messages.success(request, f"{event.text} It can be undone in the timeline.")
    return redirect(incident.get_absolute_url() + "#alerts")


@posts_to(PAGE)
@of_incident
def splits(request: HttpRequest, incident: Incident) -> HttpResponse:
    form = ChosenForm(request.POST)
    try:
        if not form.is_valid():
            raise ValueError("The note or the title is too long.")
        given = form.cleaned_data
        new = regrouping.split(
            incident, form.alerts(), title=given["title"], by=me(request), note=given["note"]
        )
    except No as error:
        return show(request, incident, refused=error, at="alerts")
    messages.success(request, f"{new.key} is open; the timeline of {incident.key} tells it and can undo it.")
    return redirect(new)


@posts_to(PAGE)
@of_incident
def undoings(request: HttpRequest, incident: Incident) -> HttpResponse:
    wanted = request.POST.get("event", "")
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 19):
        raise Http404("There is no such entry.")
    event = get_object_or_404(incident.events.all(), pk=wanted)
    try:
        done = regrouping.undo(incident, event, by=me(request))
    except No as error:
        return show(request, incident, refused=error, at="timeline")
    messages.success(request, done.text)
    return redirect(incident.get_absolute_url() + "#timeline")
