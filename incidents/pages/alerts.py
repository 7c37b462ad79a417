"""Alerts as sources report them, and why each is where it is."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from incidents import explaining
from incidents.access import can
from incidents.models import Alert
from incidents.models.alerts import LEVELS
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of
from incidents.visibility import visible_alerts

SIZE = 40
#: Alerts looked through for one page of a search; the next page goes on from there.
LOOK = 10_000
VIEWS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("Firing", {"status": "firing"}),
    "watching": ("Watched", {"status": "firing", "disposition": "watching", "incident": None}),
    "suppressed": ("Suppressed", {"disposition": "suppressed"}),
    "silenced": ("Silenced", {"status": "firing", "silence__isnull": False}),
    "all": ("All", {}),
}


@signed_in
def alerts(request: HttpRequest) -> HttpResponse:
    asked = request.GET
    view = asked.get("view", "") if asked.get("view", "") in VIEWS else ""
    rows = (
        visible_alerts(me(request)).filter(**VIEWS[view][1]).select_related("system", "incident", "silence")
    )
    if asked.get("level") in dict(LEVELS):
        rows = rows.filter(level=asked["level"])
    if asked.get("source"):
        rows = rows.filter(source=asked["source"][:60])
    if words := asked.get("q", "").strip()[:200]:
        rows = rows.filter(
            Q(title__icontains=words)
            | Q(system_name__icontains=words)
            | Q(metric__icontains=words)
            | Q(fingerprint=words)
        )
    filtered = any(asked.get(name) for name in ("q", "level", "source"))
    # what fires is few and has its index; of all others an index knows only their order
    look = LOOK if view == "suppressed" or (view == "all" and filtered) else 0
    context = {
        "page": page_of(rows, ("-last_seen", "-id"), asked.get("at", ""), SIZE, look=look),
        "views": [(name, title, name == view) for name, (title, _) in VIEWS.items()],
        "view": view,
        "levels": [(code, title, asked.get("level") == code) for code, title in LEVELS],
        "search": asked.get("q", ""),
        "source": asked.get("source", ""),
        "sees_silences": can(me(request), "incident.see"),
        "sees_connections": can(me(request), "config.see"),
        "filtered": filtered,
    }
    return render(request, "incidents/alerts.html", context)


@signed_in
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(
        visible_alerts(me(request)).select_related("system", "incident", "rule", "silence", "storm"), pk=pk
    )
    context = {
        "alert": found,
        "why": explaining.sentences(found),
        "why_else": explaining.others(found),
        "links": safe_links(found),
        "labels": sorted(found.labels.items()),
    }
    return render(request, "incidents/alert.html", context)


def safe_links(alert: Alert) -> list[dict[str, str]]:
    """Links of the source that lead to the web; anything else (javascript:, data:) is left out."""
    found = []
    for link in alert.links if isinstance(alert.links, list) else []:
        url = str(link.get("url", link.get("href", ""))) if isinstance(link, dict) else str(link)
        if url.lower().startswith(("http://", "https://")):
            title = str(link.get("title") or link.get("text") or url) if isinstance(link, dict) else url
            found.append({"url": url, "title": title[:120]})
    return found
