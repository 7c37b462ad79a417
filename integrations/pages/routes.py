"""Routes of a connection: which news of which incidents it is told."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from incidents.access import can, require
from incidents.models import Event
from incidents.pages.door import me, signed_in
from integrations.models import Connection, Route
from integrations.pages.connections import kind_of, light
from integrations.pages.forms import RouteForm


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
    new = route.pk is None
    form = RouteForm(row.provider, request.POST or None, instance=route)
    if request.method == "POST" and form.is_valid():
        form.save()
        _tell(request, row, f'Route "{route.name}" to {row} {"added" if new else "changed"}.')
        messages.success(request, f"Saved: {route.name}")
        return redirect("integrations:routes", row.pk)
    context = {
        "connection": row,
        "routes": list(row.routes.all()),
        "route": route,
        "form": form,
        "kind": kind,
        "can_edit": can(me(request), "config.edit"),
    }
    return render(request, "integrations/routes.html", context, status=422 if form.errors else 200)


def _tell(request: HttpRequest, row: Connection, text: str) -> None:
    Event.objects.create(kind="route.changed", by=me(request), text=text, data={"connection": row.pk})
