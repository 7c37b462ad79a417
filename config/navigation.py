"""The main menu, and the viewer's time zone: what every page has around it."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from incidents import notices
from incidents.access import can, can_somewhere
from incidents.visibility import about_seen
from playbooks.models import Approval

#: Pages that show each person only the rows that they may see; a role on one system opens them.
NARROWED = "incident.see"
#: title, address, right needed to see it ("" for everybody who signed in)
ENTRIES = (
    ("Now", "/", ""),
    ("Incidents", "/incidents/", ""),
    ("Alerts", "/alerts/", NARROWED),
    ("Systems", "/systems/", NARROWED),
    ("Playbooks", "/playbooks/", NARROWED),
    ("Runs", "/runs/", NARROWED),
    ("Approvals", "/approvals/", NARROWED),
    ("Insights", "/insights/", NARROWED),
    ("Connections", "/connections/", "config.see"),
    ("Deliveries", "/deliveries/", "config.see"),
    ("Audit", "/audit/", "audit.see"),
)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the entries that this person may open, the current one marked."""
    user = request.user
    if not user.is_authenticated:
        return {"navigation": [], "unread_notices": 0}
    unread = SimpleLazyObject(lambda: notices.unread(user))
    return {"navigation": SimpleLazyObject(lambda: _entries(request)), "unread_notices": unread}


def _entries(request: HttpRequest) -> list[dict[str, Any]]:
    """Only the base page shows them: parts of pages and panels do not pay for the count."""
    entries = []
    for title, url, _ in entries_of(request.user):
        current = request.path == url if url == "/" else request.path.startswith(url)
        entries.append({"title": title, "url": url, "current": current, "count": _count(title, request.user)})
    return entries


def entries_of(user: Any) -> list[tuple[str, str, str]]:
    """The entries (title, address, right) that this person may open."""
    return [
        (title, url, right)
        for title, url, right in ENTRIES
        if not right or (can_somewhere if right == NARROWED else can)(user, right)
    ]


def _count(title: str, user: Any) -> int:
    if title != "Approvals":
        return 0
    return about_seen(Approval.objects.filter(decision="pending"), user).count()


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


class ViewersTimeZone:
    """Middleware: times are shown in the zone of the person's settings, else in that of the browser (which the
    page's script tells by the cookie `tz`), else in UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "") or request.COOKIES.get("tz", "")
        if name not in _zones():
            name = "UTC"
        zone = zoneinfo.ZoneInfo(name)
        request.time_zone_name = name  # type: ignore[attr-defined]
        with timezone.override(zone):
            return self.get_response(request)
