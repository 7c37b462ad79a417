"""Escalation: nobody acknowledges in time, so the next in line is told; and who is in line on a system now.

A rung is reached when its multiple of the target for the acknowledgement has gone by: with the shipped targets
(DOMAIN 2.5) a SEV1 goes to another commander after 5 minutes, to the model owner after 10, to the executive
sponsor after 20; a SEV2 after 15, 30 and 60 minutes; a SEV3 after two hours and after a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from incidents import lifecycle
from incidents.access import can
from incidents.models import AISystem, Event, ResponseDue, User
from incidents.models.people import ROLES
from incidents.report.document import duration
from incidents.wake import wake

KIND = "incident.escalated"
#: Roles in line, the first rung first.
LINE = ("IC", "MO", "EXE")
#: severity → after how many times the target each rung is told; the others wake nobody
AFTER: dict[int, tuple[int, ...]] = {1: (1, 2, 4), 2: (1, 2, 4), 3: (2, 24)}
#: Told per call; the next call takes the rest.
LIMIT = 200


@dataclass(frozen=True, slots=True)
class InLine:
    """One rung of a system's line: the role, and who holds it there, those of this system first."""

    role: str
    title: str
    people: tuple[User, ...]


def line_of(system: AISystem | None) -> list[InLine]:
    """Who is responsible for the system's incidents now, in the order in which they are told."""
    return [InLine(role, ROLES[role], tuple(_holders(role, system))) for role in LINE]


def escalate(now: datetime | None = None) -> int:
    """Tell the next in line about each incident that nobody acknowledged in time; how many were told.

    One rung per call and incident, also after a standstill, so that nobody is passed over. The timeline says
    who was told, and is what counts the rungs. Safe with many workers: a due time is locked while it is told.
    """
    moment = now or timezone.now()
    told = 0
    for due in _late(moment):
        if told == LIMIT:
            break
        told += _reached(due, due.told, moment) and _tell(due.pk, moment)  # type: ignore[attr-defined]
    return told


def _late(moment: datetime) -> QuerySet[ResponseDue]:
    """Missed acknowledgements with rungs left, each with how many were `told`."""
    events = Event.objects.filter(incident=OuterRef("incident"), kind=KIND).order_by().values("incident")
    unfinished = Q(pk=None)
    for severity, rungs in AFTER.items():
        unfinished |= Q(severity=severity, told__lt=len(rungs))
    return (
        ResponseDue.objects.filter(kind="ack", met_at=None, due_at__lte=moment)
        .filter(incident__acked_at=None, incident__state=lifecycle.DETECTED)
        .annotate(told=Coalesce(Subquery(events.annotate(n=Count("pk")).values("n")), 0))
        .filter(unfinished)
        .select_related("incident")
        .order_by("due_at", "pk")
    )


def _reached(due: ResponseDue, told: int, moment: datetime) -> bool:
    began = due.incident.detected_at
    return moment >= began + (due.due_at - began) * AFTER[due.severity][told]


def _tell(pk: int, moment: datetime) -> bool:
    """Tell the next rung; False when somebody else did, or acknowledged meanwhile."""
    with transaction.atomic():
        due = (
            ResponseDue.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("incident__system")
            .filter(pk=pk, met_at=None)
            .first()
        )
        if due is None:
            return False
        incident = due.incident
        before = list(incident.events.filter(kind=KIND).values_list("data", flat=True))
        rung = len(before)
        if rung >= len(AFTER[due.severity]) or not _reached(due, rung, moment):
            return False
        told_already = {pk for data in before for pk in data.get("to", ())} | {incident.owner_id}
        role = LINE[rung]
        people = [
            user
            for user in _holders(role, incident.system)
            if user.pk not in told_already and can(user, "incident.see", incident)
        ]
        waited = duration(moment - incident.detected_at)
        incident.record(
            KIND,
            text=f"Nobody acknowledged for {waited}. {_names(people, role)}",
            at=moment,
            actor="sweeper",
            data={"rung": rung + 1, "role": role, "to": [user.pk for user in people], "waited": waited},
        )
        wake("outbox")
    return True


def _names(people: list[User], role: str) -> str:
    title = ROLES[role].lower()
    if not people:
        return f"Nobody else in line holds the role {title} ({role}) here; an administrator grants it."
    return f"Next in line as {title}: {', '.join(map(str, people))}."


def _holders(role: str, system: AISystem | None) -> list[User]:
    """Active people with the role on the system, then those who hold it everywhere; its owner leads as model owner."""
    here = Q(grants__role=role, grants__system=system) if system else Q(pk=None)
    everywhere = Q(grants__role=role, grants__system=None)
    active = User.objects.filter(is_active=True, is_service=False)
    first = list(active.filter(here).distinct().order_by("username"))
    if role == "MO" and system is not None and system.owner is not None and system.owner.is_active:
        first.insert(0, system.owner)
    found = [*first, *active.filter(everywhere).distinct().order_by("username")]
    return list(dict.fromkeys(found))
