"""A route tried on paper: what the vendor would get, and what would have gone there of late. Nothing is sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from incidents.models import Event, Incident
from integrations import http, shelf
from integrations.contract import Announcement, Response, SendError
from integrations.models import Delivery, Route
from integrations.outbox.announce import (
    ENDINGS,
    KINDS,
    announcement_of,
    kind_of,
    labels_of,
    leads,
    link_of,
    routed,
)

#: Requests of one conversation that are shown; events of the past that are looked at.
MOST_REQUESTS, MOST_EVENTS = 6, 5000
#: What every request is answered on paper: a yes in the words that vendors have for it, without content.
_YES = {"ok": True, "status": "success", "id": "1", "key": "PAPER-1", "ts": "1.1", "channel": "paper"}


@dataclass(frozen=True, slots=True)
class OnPaper:
    """What would be sent: the words, and each request with secrets masked. `note` says why they end early, `fits`
    whether the route carries it at all."""

    announcement: Announcement
    requests: list[dict[str, Any]]
    fits: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class WouldHave:
    """One event that the route would have carried."""

    event: Event
    kind: str
    incident: Incident | None


@dataclass(frozen=True, slots=True)
class Past:
    """What a route would have carried: all of it counted by kind, the newest named."""

    total: int
    by_kind: dict[str, int]
    newest: list[WouldHave]
    looked: int
    capped: bool


def on_paper(route: Route, incident: Incident, kind: str) -> OnPaper:
    """What the vendor would get by this route, saved or not, of a real incident's news of that kind.

    Each request is answered with a bare yes; where a vendor's real answer decides what follows, the rest is left
    out and `note` says so.
    """
    connection = route.connection
    provider = shelf.provider(connection.provider)
    values = connection.settings
    event = _event_of(incident, kind)
    what = routed(announcement_of(event, kind), route, incident)
    fits = leads(route, kind, labels_of(incident))
    shown: list[dict[str, Any]] = []
    conversation = provider.compose(what, values, link_of(connection, incident))
    try:
        request = next(conversation)
        while len(shown) < MOST_REQUESTS:
            shown.append(http.kept_request(request, provider.secrets(values)))
            request = conversation.send(Response(200, {}, "", dict(_YES)))
    except StopIteration:
        return OnPaper(what, shown, fits)
    except (SendError, LookupError, TypeError, ValueError, AttributeError) as error:
        if not shown:
            return OnPaper(what, [], fits, f"It cannot be composed: {error}")
    finally:
        conversation.close()
    return OnPaper(what, shown, fits, f"What follows depends on what {provider.title} answers.")


def last_days(route: Route, days: int = 30, newest: int = 50) -> Past:
    """What this route, as it is now, would have carried in the last days; incidents are taken as they are today."""
    kinds = [*KINDS, "incident.severity_changed"]
    since = timezone.now() - timedelta(days=days)
    events = list(
        Event.objects.filter(at__gte=since, kind__in=kinds)
        .select_related("incident__system__team")
        .order_by("-at", "-id")[:MOST_EVENTS]
    )
    told: set[int | None] = set(
        Delivery.objects.filter(connection=route.connection).values_list("incident", flat=True)
    )
    carried: list[WouldHave] = []
    for event in reversed(events):
        kind = kind_of(event)
        if kind is None or event.data.get("origin") == route.connection.origin:
            continue
        if kind in ENDINGS and event.incident_id not in told:
            continue
        if leads(route, kind, labels_of(event.incident)):
            carried.append(WouldHave(event, kind, event.incident))
            told.add(event.incident_id)
    return Past(
        total=len(carried),
        by_kind=dict(Counter(one.kind for one in carried).most_common()),
        newest=carried[::-1][:newest],
        looked=len(events),
        capped=len(events) == MOST_EVENTS,
    )


def _event_of(incident: Incident, kind: str) -> Event:
    """The newest event of the incident that is told as this kind, else one made up and not kept."""
    for event in incident.events.order_by("-at", "-id")[:200]:
        if kind_of(event) == kind:
            return event
    text = incident.summary or f"{incident.key}: {incident.title}"
    return Event(incident=incident, kind=f"incident.{kind}", text=text, at=timezone.now())
