"""Deliveries: what is on its way out, what arrived, and the dead letters, which can be sent again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from incidents.access import can, require, visible
from incidents.models import Incident, User
from incidents.pages import live
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of
from integrations.masking import mask
from integrations.models import Connection, Delivery
from integrations.outbox.deliver import MAX_ATTEMPTS, redeliver
from integrations.pages.connections import kind_of
from integrations.visibility import visible_deliveries
from playbooks.pages.showing import pretty

PAGE = 40
#: Dead letters sent again with one press; the rest by pressing again.
MOST = 500


def of_user(user: User) -> QuerySet[Delivery]:
    """Deliveries that the user may know of: none about restricted incidents that they may not see."""
    return visible_deliveries(user).select_related("connection", "incident").defer("connection__settings")


def may_read(user: User, rows: Iterable[Delivery]) -> set[int]:
    """Ids of those whose content the user may read: what is told about an incident is part of it."""
    rows = list(rows)
    wanted = {row.incident_id for row in rows if row.incident_id}
    seen = set(visible(user, Incident.objects.filter(pk__in=wanted)).order_by().values_list("pk", flat=True))
    return {row.pk for row in rows if row.incident_id is None or row.incident_id in seen}


@signed_in
def deliveries(request: HttpRequest) -> HttpResponse:
    """Dead letters on top, then the newest, filtered by state and connection."""
    user = me(request)
    require(user, "config.see")
    state, at = request.GET.get("state", ""), request.GET.get("connection", "")
    rows = of_user(user).defer("connection__settings", "transcript")
    if at.isdecimal() and len(at) < 16:
        rows = rows.filter(connection=int(at))
    dead = rows.filter(state="dead")
    dead_count = dead.count()
    top = list(dead[:10]) if not state and not request.GET.get("after") else []
    shown = rows.filter(state=state) if state in dict(Delivery.STATES) else rows.exclude(state="dead")
    page = page_of(shown, ["-id"], request.GET.get("after", ""), PAGE)
    context = {
        "dead": top, "dead_count": dead_count, "page": page, "state": state, "connection": at,
        "states": Delivery.STATES, "connections": Connection.objects.only("id", "name"),
        "readable": may_read(user, [*top, *page.rows]), "can_edit": can(user, "config.edit"),
    }  # fmt: skip
    return render(request, "integrations/deliveries.html", context)


@signed_in
def delivery(request: HttpRequest, pk: int) -> HttpResponse:
    """One delivery: where it stands, what was said and answered, and what to do."""
    context = _one(request, pk)
    context["part"] = live.part(request, "integrations/parts/delivery.html", context)
    return render(request, "integrations/delivery.html", context)


@signed_in
def delivery_part(request: HttpRequest, pk: int) -> HttpResponse:
    return live.answer(request, "integrations/parts/delivery.html", _one(request, pk))


def _one(request: HttpRequest, pk: int) -> dict[str, Any]:
    user = me(request)
    require(user, "config.see")
    row = get_object_or_404(of_user(user).select_related("event"), pk=pk)
    readable = row.pk in may_read(user, [row])
    return {
        "delivery": row,
        "kind": kind_of(row.connection.provider),
        "readable": readable,
        "facts": [(k, v) for k, v in mask(row.announcement).items() if v not in ("", [], None)] if readable else [],
        "exchanges": [
            {"request": pretty(one.get("request")), "response": pretty(one.get("response")),
             "status": (one.get("response") or {}).get("status"),
             "line": f"{one['request'].get('method', '')} {one['request'].get('url', '')}" if one.get("request") else ""}
            for one in row.transcript
        ] if readable else [],
        "most": MAX_ATTEMPTS,
        "moving": row.state in ("queued", "sending"),
        "can_edit": can(user, "config.edit"),
    }  # fmt: skip


@require_POST
@signed_in
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Send one again, with the same idempotency key."""
    user = me(request)
    require(user, "config.edit")
    row = get_object_or_404(of_user(user), pk=pk)
    if row.state == "delivered":
        messages.error(request, "It was delivered; there is nothing to repeat.")
    else:
        redeliver(row, by=user)
        messages.success(request, "Back in line; it is tried now.")
    return redirect("integrations:delivery", pk)


@require_POST
@signed_in
def again_all(request: HttpRequest) -> HttpResponse:
    """Send all dead letters again, or those of one connection."""
    user = me(request)
    require(user, "config.edit")
    rows = of_user(user).filter(state="dead").order_by("id")
    at = request.POST.get("connection", "")
    if at.isdecimal() and len(at) < 16:
        rows = rows.filter(connection=int(at))
    taken = list(rows[:MOST])
    for row in taken:
        redeliver(row, by=user)
    messages.success(request, f"{len(taken)} put back in line, the oldest first.")
    return redirect("integrations:deliveries")
