"""Search over everything a person may open: the page behind the command palette (Ctrl-K)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from config.navigation import entries_of
from incidents import search
from incidents.access import can, can_somewhere, visible
from incidents.models import Incident
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of
from incidents.visibility import visible_alerts, visible_systems
from integrations.models import Connection
from playbooks.models import Playbook

EACH = 6
#: Alerts are looked through from the newest; older ones are found on their own page.
NEWEST_ALERTS = 5_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A place to go to."""

    title: str
    url: str
    note: str = ""
    severity: int = 0


@signed_in
def everything(request: HttpRequest) -> HttpResponse:
    """The page of results; with `part=1` only the results, for the palette."""
    words = request.GET.get("q", "").replace("\0", "").strip()[:100]
    context = {"words": words, "groups": found(me(request), words)}
    template = "parts/search_results.html" if request.GET.get("part") else "search.html"
    return render(request, template, context)


def found(user: Any, words: str) -> list[tuple[str, list[Hit]]]:
    """Groups of what the words lead to; places first. Without words only the places."""
    groups = [("Go to", _places(user, words))]
    if words:
        groups += [
            ("Incidents", _incidents(user, words)),
            ("Systems", _systems(user, words)),
            ("Playbooks", _playbooks(user, words)),
            ("Alerts", _alerts(user, words)),
            ("Connections", _connections(user, words)),
        ]
    return [(title, hits) for title, hits in groups if hits]


def _places(user: Any, words: str) -> list[Hit]:
    places = [Hit(title, url) for title, url, _ in entries_of(user)]
    if can(user, "incident.create"):
        places.append(Hit("Declare an incident", reverse("incidents:declare")))
    places.append(Hit("My settings", reverse("incidents:settings")))
    if not words:
        return places
    return [hit for hit in places if words.lower() in hit.title.lower()]


def _incidents(user: Any, words: str) -> list[Hit]:
    rows = search.found(visible(user, Incident.objects.all()), words, notes=False)
    return [
        Hit(i.title, i.get_absolute_url(), f"{i.key} · {i.get_state_display().lower()}", i.severity)
        for i in rows.order_by("-detected_at", "-id")[:EACH]
    ]


def _systems(user: Any, words: str) -> list[Hit]:
    rows = visible_systems(user).filter(
        Q(name__icontains=words) | Q(slug__icontains=words) | Q(purpose__icontains=words)
    )
    return [Hit(s.name, s.get_absolute_url(), s.slug) for s in rows.order_by("retired_at", "name")[:EACH]]


def _playbooks(user: Any, words: str) -> list[Hit]:
    if not can_somewhere(user, "incident.see"):
        return []
    rows = Playbook.objects.filter(Q(title__icontains=words) | Q(slug__icontains=words)).order_by("title")
    return [Hit(p.title, p.get_absolute_url(), p.slug) for p in rows[:EACH]]


def _alerts(user: Any, words: str) -> list[Hit]:
    rows = visible_alerts(user).filter(
        Q(title__icontains=words) | Q(fingerprint=words) | Q(metric__iexact=words)
    )
    hits = page_of(rows, ("-last_seen", "-id"), size=EACH, look=NEWEST_ALERTS).rows
    return [
        Hit(
            a.title, reverse("incidents:alert", args=[a.pk]), f"{a.get_status_display().lower()} · {a.source}"
        )
        for a in hits
    ]


def _connections(user: Any, words: str) -> list[Hit]:
    if not can(user, "config.see"):
        return []
    rows = Connection.objects.filter(Q(name__icontains=words) | Q(provider__icontains=words)).order_by("name")
    return [Hit(c.name, reverse("integrations:connection", args=[c.pk]), c.provider) for c in rows[:EACH]]
