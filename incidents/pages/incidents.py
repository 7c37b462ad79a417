"""The list of incidents, and declaring one by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from incidents import lifecycle
from incidents.access import can, require, visible
from incidents.models import Incident, ResponseDue, User
from incidents.models.incident import CLASS_TITLES
from incidents.pages import forms
from incidents.pages.door import No, me, reasons_of, signed_in, status_of
from incidents.pages.keyset import page_of
from incidents.pages.now import with_next_due
from incidents.visibility import visible_systems

SIZE = 30
#: name → (title, order); the keys of the sort menu
SORTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("Newest first", ("-detected_at", "-id")),
    "severity": ("Worst first", ("severity", "-detected_at", "-id")),
    "updated": ("Last changed first", ("-updated_at", "-id")),
    "oldest": ("Oldest first", ("detected_at", "id")),
}


def _late(rows: QuerySet[Incident], _: User) -> QuerySet[Incident]:
    due = ResponseDue.objects.filter(incident=OuterRef("pk"), met_at=None, due_at__lt=timezone.now())
    return rows.filter(Exists(due), state__in=lifecycle.OPEN)


#: name → (title, what it shows); the tabs above the list
VIEWS: dict[str, tuple[str, Callable[[QuerySet[Incident], User], QuerySet[Incident]]]] = {
    "": ("Open", lambda rows, _: rows.filter(state__in=lifecycle.OPEN)),
    "mine": ("Mine", lambda rows, user: rows.filter(Q(owner=user) | Q(roles__user=user), state__in=lifecycle.OPEN).distinct()),
    "new": ("Not acknowledged", lambda rows, _: rows.filter(acked_at=None, state__in=lifecycle.OPEN)),
    "late": ("Late", _late),
    "reported": ("Reported by me", lambda rows, user: rows.filter(reported_by=user)),
    "done": ("Closed", lambda rows, _: rows.exclude(state__in=lifecycle.OPEN)),
    "all": ("All", lambda rows, _: rows),
}  # fmt: skip


@signed_in
def incidents(request: HttpRequest) -> HttpResponse:
    """Filters are in the address, so that a view can be bookmarked and sent to somebody."""
    user, asked = me(request), request.GET
    view = asked.get("view", "") if asked.get("view", "") in VIEWS else ""
    sort = asked.get("sort", "") if asked.get("sort", "") in SORTS else ""
    rows = VIEWS[view][1](visible(user, Incident.objects.all()), user)
    rows = _filtered(rows, asked)
    rows = with_next_due(rows.select_related("system", "owner"))
    context = {
        "page": page_of(rows, SORTS[sort][1], asked.get("at", ""), SIZE),
        "views": [(name, title, name == view) for name, (title, _) in VIEWS.items()],
        "view": view,
        "sorts": [(name, title, name == sort) for name, (title, _) in SORTS.items()],
        "severities": [(str(n), f"SEV{n}", asked.get("severity") == str(n)) for n in range(1, 6)],
        "classes": [(code, title, asked.get("class") == code) for code, title in sorted(CLASS_TITLES.items(), key=lambda p: p[1])],
        "systems": [(s.slug, s.name, asked.get("system") == s.slug) for s in visible_systems(user)[:200]],
        "search": asked.get("q", ""),
        "can_declare": can(user, "incident.create"),
        "filtered": any(asked.get(name) for name in ("q", "severity", "class", "system")),
    }  # fmt: skip
    return render(request, "incidents/list.html", context)


def _filtered(rows: QuerySet[Incident], asked: Any) -> QuerySet[Incident]:
    if (severity := asked.get("severity", "")) in ("1", "2", "3", "4", "5"):
        rows = rows.filter(severity=severity)
    if asked.get("class"):
        rows = rows.filter(incident_class=asked["class"])
    if asked.get("system"):
        rows = rows.filter(system__slug=asked["system"])
    if words := asked.get("q", "").strip()[:200]:
        found = Q(title__icontains=words) | Q(summary__icontains=words)
        number = words.upper().removeprefix("INC-")
        if number.isascii() and number.isdigit() and len(number) < 16:
            found |= Q(pk=int(number))
        rows = rows.filter(found)
    return rows


@signed_in
def declare(request: HttpRequest) -> HttpResponse:
    user = me(request)
    require(user, "incident.create")
    form = forms.DeclareForm(user, request.POST or None, initial={"system": request.GET.get("system")})
    refused: list[str] = []
    code = 200
    if request.method == "POST":
        code = 422
        if form.is_valid():
            try:
                incident = Incident.declare(by=user, **form.cleaned_data)
            except No as error:
                refused, code = reasons_of(error), status_of(error)
            else:
                messages.success(request, f"{incident.key} is open.")
                return redirect(incident)
    return render(request, "incidents/declare.html", {"form": form, "refused": refused}, status=code)
