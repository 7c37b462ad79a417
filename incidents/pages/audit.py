"""The audit log: who did what to the house, newest first; the chain checked; the export for auditors."""

from __future__ import annotations

from typing import cast

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from incidents import audit
from incidents.access import require
from incidents.models import AuditEntry, User
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of
from incidents.visibility import seen_incidents

SIZE = 50
#: what a filter of the page shows: title and the kinds' beginning
KINDS = [
    ("session.", "Sign-ins"),
    ("right.", "Rights"),
    ("config.", "Console"),
    ("connection.", "Connections"),
    ("token.", "Tokens"),
    ("evidence.", "Evidence read"),
    ("export", "Exports"),
]
TYPES = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}


def narrowed(user: User, kind: str = "", by: str = "") -> QuerySet[AuditEntry]:
    """Entries of these kinds, by this person. A filter also leaves out entries about incidents that the reader may
    not see, which would be told by being found."""
    rows = AuditEntry.objects.select_related("by", "incident")
    if kind or by:
        rows = rows.filter(Q(incident=None) | Q(incident__in=seen_incidents(user)))
    if kind:
        rows = rows.filter(kind__startswith=kind)
    if by:
        rows = rows.filter(Q(by__username=by) | Q(actor=by))
    return rows


def readable(user: User, rows: list[AuditEntry]) -> set[int]:
    """Ids of the entries that the reader may read."""
    about = {row.incident_id for row in rows if row.incident_id}
    seen = set(seen_incidents(user).filter(pk__in=about).values_list("pk", flat=True)) if about else set()
    return {row.pk for row in rows if row.incident_id is None or row.incident_id in seen}


@signed_in
def entries(request: HttpRequest) -> HttpResponse:
    user = me(request)
    require(user, "audit.see")
    kind, by = request.GET.get("kind", "")[:60], request.GET.get("by", "").strip()[:150]
    page = page_of(narrowed(user, kind, by), ["-id"], request.GET.get("at", ""), SIZE)
    may_read = readable(user, page.rows)
    context = {
        "page": page, "kind": kind, "by": by, "kinds": KINDS, "filtered": bool(kind or by),
        "rows": [(row, row.pk in may_read) for row in page.rows],
        "verdict": audit.verify() if request.GET.get("check") else None,
        "head": AuditEntry.objects.exclude(seq=None).order_by("-seq").first(),
    }  # fmt: skip
    return render(request, "incidents/audit.html", context)


@signed_in
def export(request: HttpRequest) -> HttpResponse:
    user = me(request)
    require(user, "audit.see")
    form = "csv" if request.GET.get("format") == "csv" else "jsonl"
    return cast(HttpResponse, export_of(user, form))


def export_of(user: User, form: str, after: int = 0) -> StreamingHttpResponse:
    """The chain from its beginning, or from behind place `after`, as a file; that it was taken is an entry."""
    audit.exported("the audit log", by=user, format=form, after=after)
    rows = AuditEntry.objects.filter(seq__gt=after).order_by("seq")
    answer = StreamingHttpResponse(
        audit.lines(audit.visible_entries(user, rows), form), content_type=TYPES[form]
    )
    answer["Content-Disposition"] = f'attachment; filename="holdfast-audit.{form}"'
    return answer
