"""The list of incidents with what can be done to many, saved views, CSV; and declaring one by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from incidents import audit, bulk
from incidents.access import can, require, visible
from incidents.models import Incident, SavedView, User
from incidents.pages import forms
from incidents.pages.door import No, me, reasons_of, signed_in, status_of
from incidents.pages.keyset import page_of
from incidents.pages.listing import COLUMNS, SORTS, VIEWS, Asked, facets
from incidents.pages.now import with_next_due

SIZE = 30
#: Rows of a CSV; more are asked for through the API, page by page.
MOST_ROWS = 50_000


@signed_in
def incidents(request: HttpRequest) -> HttpResponse:
    """Filters are in the address, so that a view can be bookmarked and sent to somebody."""
    user, asked = me(request), Asked.of(request.GET)
    rows = with_next_due(asked.rows(user).select_related("system", "owner"))
    context = {
        "page": page_of(rows, asked.order, request.GET.get("at", ""), SIZE),
        "views": [(name, title, name == asked.view) for name, (title, _) in VIEWS.items()],
        "view": asked.view,
        "sorts": [(name, title, name == asked.sort) for name, (title, _) in SORTS.items()],
        "facets": facets(asked, user),
        "search": asked.words,
        "columns": asked.columns,
        "column_choices": [(name, title, name in asked.columns) for name, title in COLUMNS.items()],
        "saved": SavedView.objects.filter(Q(owner=user) | Q(shared=True)).select_related("owner"),
        "address": _kept(request.GET),
        "can_declare": can(user, "incident.create"),
        "can_act": can(user, "incident.acknowledge"),
        "verbs": bulk.VERBS.items(),
        "people": forms.people(),
        "filtered": bool(asked.words or any(asked.chosen.values())),
    }
    return render(request, "incidents/list.html", context)


def _kept(given: QueryDict, limit: int = 1000) -> str:
    """The query of a view, without the place in its pages."""
    kept = given.copy()
    for name in ("at", "csrfmiddlewaretoken"):
        kept.pop(name, None)
    return kept.urlencode()[:limit]


@signed_in
@require_POST
def batch(request: HttpRequest) -> HttpResponse:
    """One verb on the ticked incidents; each that could not be done says why."""
    user, given = me(request), request.POST
    keys = [
        int(k) for k in given.getlist("incident")[: bulk.MOST] if k.isascii() and k.isdigit() and len(k) < 19
    ]
    chosen = list(visible(user, Incident.objects.filter(pk__in=keys)).order_by("pk"))
    back = redirect(f"{reverse('incidents:incidents')}?{_kept(QueryDict(given.get('back', '')))}")
    if not chosen:
        messages.warning(request, "Tick the incidents first, then choose what to do.")
        return back
    owner = forms.people().filter(pk=given["owner"]).first() if given.get("owner", "").isdecimal() else None
    try:
        answers = bulk.apply(
            chosen, given.get("verb", ""), by=user, owner=owner, note=given.get("note", "")[:2000]
        )
    except ValueError as error:
        messages.warning(request, str(error))
        return back
    done = [a.incident.key for a in answers if a.done]
    if done:
        messages.success(request, f"{bulk.VERBS[given['verb']]}: done for {', '.join(done)}.")
    for answer in answers:
        if not answer.done:
            messages.error(request, f"{answer.incident.key}: {' '.join(answer.reasons)}")
    return back


@signed_in
def table(request: HttpRequest) -> HttpResponse:
    """What the list shows with these filters, all pages, as CSV (times in UTC)."""
    asked = Asked.of(request.GET)
    rows = with_next_due(asked.rows(me(request)).select_related("system", "owner")).order_by(*asked.order)
    audit.exported("a table of incidents", by=me(request), query=request.GET.urlencode()[:1000])
    response: Any = StreamingHttpResponse(
        _lines(rows[:MOST_ROWS], asked.columns), content_type="text/csv; charset=utf-8"
    )
    name = f"incidents-{timezone.now():%Y-%m-%d}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class Echo:
    """A file that gives back what is written, for `csv`."""

    def write(self, line: str) -> str:
        return line


def _lines(rows: Any, columns: tuple[str, ...]) -> Iterator[str]:
    out = csv.writer(Echo())
    yield out.writerow(["Id", "Severity", "Title", "State", *(COLUMNS[c] for c in columns)])
    for row in rows.iterator(chunk_size=1000):
        cells = [
            row.key,
            f"SEV{row.severity}",
            row.title,
            row.get_state_display(),
            *(_cell(row, c) for c in columns),
        ]
        yield out.writerow([inert(str(cell)) for cell in cells])


def _cell(row: Any, column: str) -> str:
    value = {
        "class": row.class_title, "system": row.system, "owner": row.owner, "detected": row.detected_at,
        "due": row.next_due if row.is_open else None, "updated": row.updated_at, "firing": row.firing_count,
        "people": row.affected_people, "source": row.detection_source,
    }[column]  # fmt: skip
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return "" if value is None else str(value)


def inert(cell: str) -> str:
    """A spreadsheet takes what begins like a formula for one: the apostrophe makes it text."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


@signed_in
@require_POST
def saved_views(request: HttpRequest) -> HttpResponse:
    """Keep filters, order and columns under a name; the same name of the same person is written anew."""
    name, query = (
        request.POST.get("name", "").strip()[:80],
        _kept(QueryDict(request.POST.get("query", "")[:2000])),
    )
    back = redirect(f"{reverse('incidents:incidents')}?{query}")
    if not name:
        messages.warning(request, "Give the view a name.")
        return back
    keep_view(me(request), name, query, shared=bool(request.POST.get("shared")))
    messages.success(request, f"The view “{name}” is saved.")
    return back


def keep_view(owner: User, name: str, query: str, *, shared: bool) -> SavedView:
    """Save or overwrite the person's view of that name."""
    fields = {"query": query, "shared": shared}
    try:
        with transaction.atomic():
            return SavedView.objects.update_or_create(owner=owner, name=name, defaults=fields)[0]
    except IntegrityError:  # saved twice at the same moment: the later words count
        SavedView.objects.filter(owner=owner, name=name).update(**fields)
        return SavedView.objects.get(owner=owner, name=name)


@signed_in
@require_POST
def saved_view_removal(request: HttpRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView, pk=pk, owner=me(request))
    view.delete()
    messages.success(request, f"The view “{view.name}” is removed.")
    return redirect("incidents:incidents")


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
