"""Hand-overs: what the one before says, until the one after has read it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, F, OuterRef, QuerySet

from incidents import lifecycle
from incidents.lifecycle import Refused
from incidents.models import Event, Incident

if TYPE_CHECKING:
    from incidents.models import User

KIND, READ = "incident.assigned", "incident.handover_read"


def waiting_for(user: User) -> list[Event]:
    """Hand-overs to this person that they have not read yet, of open incidents they still command; newest first."""
    return list(_unread().filter(incident__owner=user, data__to=user.pk).order_by("-at", "-id")[:20])


def of(incident: Incident) -> Event | None:
    """The hand-over that the incident's commander has not read yet."""
    if incident.owner_id is None or not incident.is_open:
        return None
    newest = incident.events.filter(kind=KIND).order_by("-id").first()
    if newest is None or newest.data.get("to") != incident.owner_id or not _from_another(newest):
        return None
    read = incident.events.filter(kind=READ, pk__gt=newest.pk).exists()
    return None if read else newest


def read(incident: Incident, *, by: Any, at: datetime | None = None) -> Event:
    """The new commander has read what was handed over; it is on the record. Raises Refused."""
    pending = of(incident)
    if pending is None:
        raise Refused("handover", ["No hand-over waits to be read here."])
    if incident.owner_id != by.pk:
        raise Refused(
            "handover", [f"It was handed over to {incident.owner}; only they can say that they have it."]
        )
    return incident.record(
        READ, text=f"{by} has read the hand-over and has command.", by=by, at=at, data={"event": pending.pk}
    )


def _from_another(event: Event) -> bool:
    """Given by somebody else: who takes over knows it."""
    return event.by_id is not None and event.by_id != event.data.get("to")


def _unread() -> QuerySet[Event]:
    later = Event.objects.filter(incident=OuterRef("incident"), kind__in=(KIND, READ), pk__gt=OuterRef("pk"))
    return (
        Event.objects.filter(kind=KIND, incident__state__in=lifecycle.OPEN)
        .exclude(by=None)
        .exclude(by=F("incident__owner"))
        .filter(~Exists(later))
        .select_related("incident", "by")
    )
