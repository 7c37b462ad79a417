"""The inbox: messages received, above all those set aside, which can be read again."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from incidents.access import can, require
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of
from integrations.inbox.drain import replay
from integrations.masking import mask
from integrations.models import Connection, InboxMessage
from integrations.pages.connections import kind_of, light

PAGE = 40
MOST = 500
SHOWN = 20_000


@signed_in
def inbox(request: HttpRequest) -> HttpResponse:
    """Messages set aside, or those of another status."""
    require(me(request), "config.see")
    status = request.GET.get("status", "set_aside")
    at = request.GET.get("connection", "")
    rows = InboxMessage.objects.select_related("connection").defer("connection__settings", "body", "headers")
    if status in dict(InboxMessage.STATUSES):
        rows = rows.filter(status=status)
    if at.isdecimal() and len(at) < 16:
        rows = rows.filter(connection=int(at))
    context = {
        "page": page_of(rows, ["-id"], request.GET.get("after", ""), PAGE),
        "status": status, "connection": at, "statuses": InboxMessage.STATUSES,
        "connections": Connection.objects.only("id", "name"), "can_edit": can(me(request), "config.edit"),
    }  # fmt: skip
    return render(request, "integrations/inbox.html", context)


@signed_in
def message(request: HttpRequest, pk: int) -> HttpResponse:
    """One message as it came: the body as inert text, credentials masked. POST reads it again."""
    user = me(request)
    require(user, "config.see")
    rows = InboxMessage.objects.select_related("connection").defer("connection__settings")
    found = get_object_or_404(rows, pk=pk)
    if request.method == "POST":
        require(user, "config.edit")
        if replay([pk], by=user):
            messages.success(request, "Back in line; it is read again now.")
        else:
            messages.error(request, "Only messages that were set aside can be read again.")
        return redirect("integrations:message", pk)
    body = str(mask(found.body))
    context = {
        "message_row": found,
        "kind": kind_of(found.connection.provider),
        "headers": sorted(mask(found.headers).items()),
        "body": body[:SHOWN],
        "cut": len(body) > SHOWN,
        "can_edit": can(user, "config.edit"),
    }
    return render(request, "integrations/message.html", context)


@require_POST
@signed_in
def replay_many(request: HttpRequest) -> HttpResponse:
    """Read again: the chosen ones, or all that are set aside (of one connection)."""
    user = me(request)
    require(user, "config.edit")
    rows = InboxMessage.objects.filter(status="set_aside").order_by("id")
    chosen = [int(one) for one in request.POST.getlist("message") if one.isdecimal() and len(one) < 16]
    at = request.POST.get("connection", "")
    if chosen:
        rows = rows.filter(pk__in=chosen)
    if at.isdecimal() and len(at) < 16:
        rows = rows.filter(connection=get_object_or_404(light(), pk=int(at)))
    done = replay(rows.values_list("pk", flat=True)[:MOST], by=user)
    messages.success(request, f"{done} put back in line, the oldest first.")
    return redirect("integrations:inbox")
