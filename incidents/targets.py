"""Response targets: due times that follow from severity, kept in step with the incident."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from django.apps import apps

if TYPE_CHECKING:
    from incidents.models import Incident

#: severity → kind → (anchor, amount, unit); DOMAIN 2.5. Installed as rows an administrator edits.
DEFAULTS: dict[int, dict[str, tuple[str, int, str]]] = {
    1: {
        "ack": ("detected_at", 5, "minutes"), "triage": ("detected_at", 30, "minutes"),
        "contain": ("detected_at", 1, "hours"), "mitigate": ("detected_at", 24, "hours"),
        "update": ("triaged_at", 30, "minutes"), "executive": ("triaged_at", 30, "minutes"),
        "external": ("triaged_at", 60, "minutes"), "review": ("mitigated_at", 3, "days"),
        "report": ("mitigated_at", 10, "business_days"),
    },
    2: {
        "ack": ("detected_at", 15, "minutes"), "triage": ("detected_at", 1, "hours"),
        "contain": ("detected_at", 4, "hours"), "mitigate": ("detected_at", 48, "hours"),
        "update": ("triaged_at", 60, "minutes"), "executive": ("triaged_at", 2, "hours"),
        "external": ("triaged_at", 4, "hours"), "review": ("mitigated_at", 5, "business_days"),
        "report": ("mitigated_at", 15, "business_days"),
    },
    3: {
        "ack": ("detected_at", 60, "minutes"), "triage": ("detected_at", 4, "hours"),
        "contain": ("detected_at", 1, "business_days"), "mitigate": ("detected_at", 5, "business_days"),
        "update": ("triaged_at", 1, "days"), "review": ("mitigated_at", 10, "business_days"),
        "report": ("mitigated_at", 20, "business_days"),
    },
    4: {
        "ack": ("detected_at", 1, "business_days"), "triage": ("detected_at", 3, "business_days"),
        "mitigate": ("detected_at", 20, "business_days"), "update": ("triaged_at", 7, "days"),
    },
    5: {"ack": ("detected_at", 5, "business_days"), "triage": ("detected_at", 10, "business_days")},
}  # fmt: skip

#: what is owed only while the incident is being worked on
UNTIL_MITIGATED = frozenset({"update", "executive", "external", "contain", "mitigate"})
#: which due time a move fulfils
MET_BY_MOVE = {"triage": ("triage",), "mitigate": ("mitigate", "contain"), "close": ("report",)}


def due(anchor: datetime, amount: int, unit: str, holidays: Collection[date] = ()) -> datetime:
    """`anchor` plus a period. A business day ends at the same time of day on a later weekday (UTC) that is no
    holiday."""
    match unit:
        case "minutes":
            return anchor + timedelta(minutes=amount)
        case "hours":
            return anchor + timedelta(hours=amount)
        case "days":
            return anchor + timedelta(days=amount)
        case "business_days":
            moment = anchor
            while amount > 0:
                moment += timedelta(days=1)
                if moment.weekday() < 5 and moment.date() not in holidays:
                    amount -= 1
            return moment
        case _:
            raise ValueError(f"Unknown unit {unit!r}: use minutes, hours, days or business_days.")


def holidays() -> frozenset[date]:
    """Days that are no business days, as administrators keep them; one light statement."""
    return frozenset(apps.get_model("incidents", "Holiday").objects.values_list("day", flat=True))


def schedule(incident: Incident) -> None:
    """Write the due times that the incident's severity and time stamps give now; met ones stay."""
    target_model = apps.get_model("incidents", "ResponseTarget")
    due_model = apps.get_model("incidents", "ResponseDue")
    rows = list(target_model.objects.filter(severity=incident.severity))
    met = set(due_model.objects.filter(incident=incident).exclude(met_at=None).values_list("kind", flat=True))
    due_model.objects.filter(incident=incident, met_at=None).delete()
    closed = holidays() if any(row.unit == "business_days" for row in rows) else frozenset()
    told = _last_update(incident) if any(row.kind == "update" for row in rows) else None
    due_model.objects.bulk_create(
        due_model(
            incident=incident,
            kind=row.kind,
            severity=incident.severity,
            due_at=due(
                max(getattr(incident, row.anchor), told)
                if told and row.kind == "update"
                else getattr(incident, row.anchor),
                row.amount,
                row.unit,
                closed,
            ),
        )
        for row in rows
        if getattr(incident, row.anchor) is not None
        and row.kind not in met
        and not (incident.mitigated_at and row.kind in UNTIL_MITIGATED)
    )


def met(incident: Incident, kind: str, at: datetime) -> None:
    """The thing that was due happened."""
    apps.get_model("incidents", "ResponseDue").objects.filter(
        incident=incident, kind=kind, met_at=None
    ).update(met_at=at)


def updated(incident: Incident, kind: str, at: datetime) -> None:
    """An audience heard: what was due once is met, the internal update is due again after its period."""
    if kind != "update":
        met(incident, kind, at)
        return
    target = apps.get_model("incidents", "ResponseTarget").objects.filter(
        severity=incident.severity, kind="update"
    )
    for row in target:
        apps.get_model("incidents", "ResponseDue").objects.filter(
            incident=incident, kind="update", met_at=None
        ).update(due_at=due(at, row.amount, row.unit, holidays()))


def _last_update(incident: Incident) -> datetime | None:
    told = incident.events.filter(kind="comms.told", data__meets="update").order_by("-at").first()
    return told.at if told else None


def on_move(incident: Incident, move: str, at: datetime) -> None:
    """Fulfil what the move fulfils and start what its time stamp starts."""
    due_model = apps.get_model("incidents", "ResponseDue")
    if move == "reopen":
        due_model.objects.filter(incident=incident, kind__in=("mitigate", "review", "report")).delete()
    for kind in MET_BY_MOVE.get(move, ()):
        met(incident, kind, at)
    if move in ("mark_false_positive", "mark_duplicate", "merge_into", "close"):
        due_model.objects.filter(incident=incident, met_at=None).delete()
    else:
        schedule(incident)
