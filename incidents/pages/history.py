"""What happened to one system, side by side on one axis: versions, traffic, incidents, monitors, changes, upstream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from incidents.access import visible
from incidents.models import AISystem, Alert, Deployment, Incident
from incidents.pages.axis import Group, Lane, Mark
from incidents.visibility import visible_alerts

#: days that the axis can span; the first is what it spans unasked
SPANS = (30, 7, 120)
LANES = 8
MOST_ALERTS = 400


def groups_of(
    user: Any, system: AISystem, deployments: Sequence[Deployment], start: datetime, end: datetime
) -> list[Group]:
    """Groups of lanes between `start` and `end`, only of what the reader may see."""
    return [
        Group("Traffic", _traffic(deployments, start)),
        Group("Incidents", _incidents(user, system, start)),
        Group("Monitors firing", _monitors(user, system, start)),
        Group("Versions and baselines", _versions(user, system, start, end)),
        Group("Changes", _changes(system, start, end)),
        Group("Upstream data", _upstream(user, system, start)),
    ]


def _traffic(deployments: Sequence[Deployment], start: datetime) -> list[Lane]:
    lanes: dict[str, list[Mark]] = defaultdict(list)
    for d in deployments:
        if d.ended_at and d.ended_at < start:
            continue
        said = (
            f"{d.version.version} on {d.endpoint}: {float(d.traffic):g} % {_span(d.started_at, d.ended_at)}"
        )
        colour = "var(--chart-muted)" if d.ended_at else "var(--chart-1)"
        short = f"{d.version.version} · {d.endpoint.rpartition('://')[2]}"
        lanes[short].append(Mark(d.started_at, d.ended_at, said, colour, 4 + float(d.traffic) / 100 * 12))
    return _lanes(lanes)


def _incidents(user: Any, system: AISystem, start: datetime) -> list[Lane]:
    rows = visible(user, Incident.objects.filter(system=system)).filter(_still(start))
    return [_incident_lane(i) for i in rows.order_by("-detected_at")[:LANES]]


def _incident_lane(incident: Incident) -> Lane:
    begin = min(incident.onset_at or incident.detected_at, incident.detected_at)
    end = incident.mitigated_at or incident.closed_at
    said = f"{incident.key} SEV{incident.severity} {incident.title}: {_span(begin, end)}"
    mark = Mark(begin, end, said, f"var(--sev{incident.severity})", 10, incident.get_absolute_url())
    return Lane(f"{incident.key} · SEV{incident.severity}", [mark])


def _still(start: datetime) -> Q:
    return Q(mitigated_at__gte=start) | Q(mitigated_at=None) & (Q(closed_at=None) | Q(closed_at__gte=start))


def _monitors(user: Any, system: AISystem, start: datetime) -> list[Lane]:
    rows = visible_alerts(user).filter(system=system, last_seen__gte=start).order_by("-last_seen", "-id")
    lanes: dict[str, list[Mark]] = defaultdict(list)
    for alert in rows[:MOST_ALERTS]:
        name = f"{alert.source} · {alert.metric or alert.family or 'no metric'}"
        lanes[name].append(_firing(alert))
    return _lanes(lanes)


def _firing(alert: Alert) -> Mark:
    firing = alert.status == "firing"
    end = None if firing else alert.ends_at or alert.last_seen
    begin = min(alert.starts_at or alert.first_seen, alert.first_seen)
    colour = "var(--bad)" if firing else "var(--chart-2)"
    said = f"{alert.title}: {_span(begin, end)}" + (f", baseline {alert.baseline}" if alert.baseline else "")
    return Mark(begin, end, said, colour, 8, reverse("incidents:alert", args=[alert.pk]))


def _versions(user: Any, system: AISystem, start: datetime, end: datetime) -> list[Lane]:
    rows = system.versions.filter(trained_at__gte=start, trained_at__lte=end)[:50]
    trained = []
    for v, moment in ((v, v.trained_at) for v in rows if v.trained_at):
        on = f" on {v.training_data}" if v.training_data else ""
        said = f"{v.version} trained {_at(moment)}{on}"
        trained.append(Mark(moment, moment, said, "var(--chart-3)", tick=True))
    recorded = [
        Mark(v.created_at, v.created_at, f"{v.version} recorded {_at(v.created_at)}", "var(--chart-1)", tick=True)
        for v in system.versions.filter(created_at__gte=start, created_at__lte=end)[:50]
    ]  # fmt: skip
    compared: dict[str, list[Mark]] = defaultdict(list)
    alerts = visible_alerts(user).filter(system=system, last_seen__gte=start).exclude(baseline="")
    for name, first, last in alerts.values_list("baseline", "first_seen", "last_seen")[:MOST_ALERTS]:
        compared[name].append(
            Mark(first, last, f"Compared with {name} {_span(first, last)}", "var(--chart-muted)")
        )
    lanes = [Lane("trained", trained), Lane("recorded", recorded)]
    lanes += [Lane(f"baseline {name}", marks) for name, marks in list(compared.items())[:4]]
    return [lane for lane in lanes if lane.marks]


def _changes(system: AISystem, start: datetime, end: datetime) -> list[Lane]:
    lanes: dict[str, list[Mark]] = defaultdict(list)
    for change in system.changes.filter(at__gte=start, at__lte=end).order_by("-at")[:MOST_ALERTS]:
        lanes[change.get_kind_display()].append(
            Mark(change.at, change.at, f"{change.title} {_at(change.at)}", "var(--warn)", tick=True)
        )
    return _lanes(lanes)


def _upstream(user: Any, system: AISystem, start: datetime) -> list[Lane]:
    """Incidents of data quality whose alerts name a data set that this system consumes."""
    names = list(system.upstream.values_list("name", flat=True))
    if not names:
        return []
    faulty = Alert.objects.filter(dataset__in=names, last_seen__gte=start).exclude(incident=None)
    rows = visible(user, Incident.objects.filter(incident_class="DATAQ", pk__in=faulty.values("incident")))
    return [
        _incident_lane(i)
        for i in rows.exclude(system=system).filter(_still(start)).order_by("-detected_at")[:4]
    ]


def _lanes(lanes: dict[str, list[Mark]]) -> list[Lane]:
    return [Lane(name, marks) for name, marks in list(lanes.items())[:LANES]]


def _at(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def _span(start: datetime, end: datetime | None) -> str:
    return f"from {_at(start)} until {_at(end) if end else 'now'}"
