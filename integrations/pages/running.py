"""Acts on a running connection: hold and resume sending, read the last message again, silence, people."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from incidents.access import require
from incidents.models import Event
from incidents.pages.door import me, signed_in
from integrations import connecting
from integrations.inbox.drain import replay_last
from integrations.models import Connection, PersonLink
from integrations.outbox.deliver import redeliver_all, resume
from integrations.pages.connections import light
from integrations.pages.forms import ExpectForm, HoldForm, PersonForm


def _edited(request: HttpRequest, pk: int) -> Connection:
    require(me(request), "config.edit")
    found: Connection = get_object_or_404(light(), pk=pk)
    return found


@require_POST
@signed_in
def sending(request: HttpRequest, pk: int) -> HttpResponse:
    """Hold what is to be sent, with a reason; or send again, dead letters too with `then=all`."""
    row = _edited(request, pk)
    if not row.sending_paused:
        form = HoldForm(request.POST, prefix="hold")
        if form.is_valid():
            connecting.hold(row, form.cleaned_data["reason"], by=me(request))
            messages.success(request, f"Nothing is sent to {row} for now; what is to be sent waits.")
        else:
            messages.error(request, "Say why nothing is to be sent, then pause it.")
    elif request.POST.get("then") == "all":
        count = redeliver_all(row, by=me(request))
        messages.success(request, f"{row} is sent to again, {count} dead letters with it.")
    else:
        resume(row, by=me(request))
        messages.success(request, f"{row} is sent to again.")
    return redirect("integrations:connection", pk)


@require_POST
@signed_in
def last(request: HttpRequest, pk: int) -> HttpResponse:
    """Read the newest message once more."""
    row = _edited(request, pk)
    found = replay_last(row, by=me(request))
    if found is None:
        messages.error(request, f"Nothing was received from {row} yet.")
        return redirect("integrations:connection", pk)
    messages.success(request, "The last message is read once more.")
    return redirect("integrations:message", found.pk)


@require_POST
@signed_in
def expectation(request: HttpRequest, pk: int) -> HttpResponse:
    """How long the source may be silent."""
    row = _edited(request, pk)
    form = ExpectForm(request.POST)
    if form.is_valid():
        connecting.expect(row, form.seconds(), by=me(request))
        messages.success(request, "Saved.")
    else:
        messages.error(request, "Give minutes, one to a month, or leave it empty.")
    return redirect("integrations:connection", pk)


@require_POST
@signed_in
def people(request: HttpRequest, pk: int) -> HttpResponse:
    """Say who somebody at the tool is here; or forget it with `remove`."""
    row = _edited(request, pk)
    number = request.POST.get("remove", "")
    if number.isdecimal() and len(number) < 16:
        found = get_object_or_404(row.people.select_related("user"), pk=int(number))
        text = f"{found.remote_id} at {row} is nobody known here any more."
        found.delete()
    else:
        form = PersonForm(request.POST, instance=PersonLink(connection=row))
        if not form.is_valid():
            messages.error(request, "Give the id at the tool, one that is not linked yet, and a person.")
            return redirect("integrations:connection", pk)
        text = f"{form.save()} at {row}."
    Event.objects.create(kind="connection.people", by=me(request), text=text, data={"connection": row.pk})
    messages.success(request, text)
    return redirect("integrations:connection", pk)
