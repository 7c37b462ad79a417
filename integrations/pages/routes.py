"""Routes of a connection: which news of which incidents it is told."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from incidents.access import can, require, visible
from incidents.models import Event, Incident
from incidents.pages.door import find, me, number_of, signed_in
from integrations.models import Connection, Route
from integrations.outbox import rehearsal
from integrations.pages.connections import kind_of, light
from integrations.pages.forms import PreviewForm, RouteForm
from playbooks.pages.showing import pretty


@signed_in
def routes(request: HttpRequest, pk: int) -> HttpResponse:
    """The routes, and a form for one more."""
    require(me(request), "config.see" if request.method != "POST" else "config.edit")
    row = get_object_or_404(light(), pk=pk)
    return _edit(request, row, Route(connection=row))


@signed_in
def route(request: HttpRequest, pk: int, route: int) -> HttpResponse:
    """One route: change or remove it."""
    require(me(request), "config.edit")
    row = get_object_or_404(light(), pk=pk)
    found = get_object_or_404(row.routes.all(), pk=route)
    if request.method == "POST" and request.POST.get("then") == "remove":
        name = found.name
        found.delete()
        _tell(request, row, f'Route "{name}" to {row} removed.')
        messages.success(request, f"Removed: {name}")
        return redirect("integrations:routes", pk)
    return _edit(request, row, found)


def _edit(request: HttpRequest, row: Connection, route: Route) -> HttpResponse:
    kind = kind_of(row.provider)
    if kind is None or not kind.outbound:
        messages.error(request, f"{row} does not send, so no route can lead to it.")
        return redirect("integrations:connection", row.pk)
    new, then = route.pk is None, request.POST.get("then", "")
    form = RouteForm(row.provider, request.POST or None, instance=route)
    tried = PreviewForm(row.provider, request.POST if then == "preview" else None, initial=_newest(request))
    shown: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        if then not in ("preview", "past"):
            form.save()
            _tell(request, row, f'Route "{route.name}" to {row} {"added" if new else "changed"}.')
            messages.success(request, f"Saved: {route.name}")
            return redirect("integrations:routes", row.pk)
        shown = _rehearsed(request, form.instance, tried if then == "preview" else None)
    context = {
        "connection": row,
        "routes": list(row.routes.all()),
        "route": route,
        "form": form,
        "preview_form": tried,
        "kind": kind,
        "can_edit": can(me(request), "config.edit"),
        **shown,
    }
    return render(request, "integrations/routes.html", context, status=422 if form.errors else 200)


def _rehearsed(request: HttpRequest, route: Route, tried: PreviewForm | None) -> dict[str, Any]:
    """What the route as it stands in the form, saved or not, would send now or would have sent."""
    if tried is None:
        past = rehearsal.last_days(route)
        about = {one.incident.pk for one in past.newest if one.incident}
        seen = set(visible(me(request), Incident.objects.filter(pk__in=about)).values_list("pk", flat=True))
        return {"past": past, "seen": seen}
    if not tried.is_valid():
        return {}
    try:
        about_it = find(me(request), number_of(tried.cleaned_data["incident"]))
    except Http404:
        tried.add_error("incident", "There is no such incident, or you may not see it.")
        return {}
    paper = rehearsal.on_paper(route, about_it, tried.cleaned_data["kind"])
    requests = [
        {"line": f"{one['method']} {one['url']}", "body": pretty(one["body"])} for one in paper.requests
    ]
    return {"paper": paper, "requests": requests, "about": about_it}


def _newest(request: HttpRequest) -> dict[str, str]:
    found = visible(me(request), Incident.objects.all()).order_by("-pk").first()
    return {"incident": found.key} if found else {}


def _tell(request: HttpRequest, row: Connection, text: str) -> None:
    Event.objects.create(kind="route.changed", by=me(request), text=text, data={"connection": row.pk})
