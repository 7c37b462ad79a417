"""New incidents out of promoted alerts: rows, first severity, due times, tasks, in a few statements."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Max, Q

from incidents import lifecycle, severity, targets
from incidents.models import (
    AISystem,
    Deployment,
    Incident,
    ResponseDue,
    ResponseTarget,
    SeverityAssessment,
    SeverityProfile,
    Task,
)

from .case import Case, Entry

_PLACE = re.compile(r"\{(title|system|family|metric|dataset|feature|env)\}")
#: Ended in a way that a new firing can be a recurrence of.
_CAN_RECUR = (lifecycle.MITIGATED, lifecycle.POST_MORTEM, lifecycle.CLOSED)


def open_incidents(cases: Sequence[Case], now: datetime) -> None:
    """Write the incidents of the cases, sorted by key, and set `id` and `severity` on each.

    Their counters start at nothing; the statement that adds to counters fills them for new and old alike.
    """
    cases = sorted(cases, key=lambda c: c.key)
    ids = {c.lead.item.system.id for c in cases if c.lead.item.system}
    systems = AISystem.objects.in_bulk(ids) if ids else {}
    detected = [case.earliest("first_seen") or now for case in cases]
    served = _serving(ids, min(detected), now) if ids else {}
    earlier = dict(
        Incident.objects.filter(grouping_key__in=[c.key for c in cases], state__in=_CAN_RECUR)
        .values_list("grouping_key")
        .annotate(Max("id"))
    )
    profile = SeverityProfile.current()
    incidents, guesses = [], []
    for case, detected_at in zip(cases, detected, strict=True):
        lead = case.lead
        system = systems.get(lead.item.system.id) if lead.item.system else None
        answers, result = first_severity(profile.data, system, case.worst)
        onset = case.earliest("starts_at")
        incidents.append(
            Incident(
                title=title_of(lead),
                incident_class=lead.item.family,
                severity=result.computed,
                computed_severity=result.computed,
                system=system,
                serving=_serving_at(served.get(system.pk, []), detected_at) if system else [],
                detection_source=lead.item.report.signal.source[:60],
                grouping_key=case.key,
                open_key=case.key,
                rule_id=lead.item.rule.id or None,
                storm_id=case.storm_id,
                reopen_seconds=lead.item.rule.reopen_seconds,
                recurrence_of_id=earlier.get(case.key),
                onset_at=onset,
                onset_confidence="low" if onset else "",
                detected_at=detected_at,
                opened_at=now,
                updated_at=now,
            )
        )
        guesses.append((answers, result))
    # The grouping keys are locked, so the clause is the last resort that keeps the promise, not the plan.
    Incident.objects.bulk_create(
        incidents, update_conflicts=True, unique_fields=["open_key"], update_fields=["updated_at"]
    )
    for case, incident, (_, result) in zip(cases, incidents, guesses, strict=True):
        case.id, case.severity = incident.pk, result.computed
    SeverityAssessment.objects.bulk_create(
        SeverityAssessment(
            incident=incident, profile=profile, answers=answers, result=result.as_json(),
            computed=result.computed, chosen=result.computed, at=now,
        )
        for incident, (answers, result) in zip(incidents, guesses, strict=True)
    )  # fmt: skip
    _schedule(incidents)
    Task.objects.bulk_create(
        Task(incident=incident, kind="link_system", title=link_title(case.lead), created_at=now)
        for case, incident in zip(cases, incidents, strict=True)
        if lacks_system(case.lead)
    )


def first_severity(
    profile: dict[str, Any], system: AISystem | None, level: str
) -> tuple[dict[str, Any], severity.Assessment]:
    """(answers, result) before a person has looked: the system's baseline, else the profile's guess for
    the level, put on operational disruption. A baseline that does not fit the profile is passed over."""
    baseline = system.baseline_assessment if system else None
    if baseline:
        answers = {name: baseline.get(name) or {} for name in ("impact", "urgency", "facts")}
        try:
            result = severity.assess(profile, answers["impact"], answers["urgency"], answers["facts"])
            return {**answers, "by": "baseline"}, result
        except (AttributeError, TypeError, ValueError) as error:
            passed_over = f"The system's baseline assessment was passed over: {error}"
    else:
        passed_over = ""
    guess = profile["first_guess"][level]
    codes = [d["code"] for d in profile["dimensions"]]
    answers = {
        "impact": {"OP" if "OP" in codes else codes[0]: guess["impact"]},
        "urgency": guess["urgency"],
        "facts": {},
    }
    result = severity.assess(profile, answers["impact"], answers["urgency"])
    return {**answers, "by": f"level {level}", "note": passed_over}, result


def title_of(entry: Entry) -> str:
    """The rule's title with {title}, {system}, {family}, {metric}, {dataset}, … filled in, or the alert's."""
    item, signal = entry.item, entry.item.report.signal
    said = {
        "title": signal.title,
        "system": item.system.name if item.system else item.found.name or "unknown system",
        "family": item.family,
        "metric": signal.metric or "metric",
        "dataset": signal.dataset or (item.system.name if item.system else "unknown data set"),
        "feature": signal.feature or "feature",
        "env": item.env,
    }
    return _PLACE.sub(lambda hit: said[hit[1]], item.rule.title or "{title}")[:300] or "Incident"


def lacks_system(entry: Entry) -> bool:
    """It should belong to a system and none is known; an alert about a data set need not."""
    return entry.item.system is None and ("system" in entry.item.parts or bool(entry.item.found.name))


def link_title(entry: Entry) -> str:
    name = entry.item.found.name
    if name:
        return f"Link the AI system: “{name[:200]}” is not in the inventory"
    return "Link the AI system: the alert names none"


def _schedule(incidents: Sequence[Incident]) -> None:
    """The due times that run from detection; nothing was met yet, so this is `targets.schedule` for many."""
    rows = defaultdict(list)
    for target in ResponseTarget.objects.filter(anchor="detected_at"):
        rows[target.severity].append(target)
    closed = targets.holidays()
    ResponseDue.objects.bulk_create(
        ResponseDue(
            incident=incident, kind=row.kind, severity=incident.severity,
            due_at=targets.due(incident.detected_at, row.amount, row.unit, closed),
        )
        for incident in incidents
        for row in rows[incident.severity]
    )  # fmt: skip


def _serving(systems: set[int], since: datetime, now: datetime) -> dict[int, list[Deployment]]:
    """Deployments with traffic at any time from `since` to `now`, by system, the largest share first."""
    found = defaultdict(list)
    rows = Deployment.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=since), system__in=systems, traffic__gt=0, started_at__lte=now
    )
    for row in rows.select_related("version").order_by("-traffic", "-started_at"):
        found[row.system_id].append(row)
    return found


def _serving_at(rows: Sequence[Deployment], moment: datetime) -> list[dict[str, Any]]:
    return [
        {
            "version": d.version.version,
            "endpoint": d.endpoint,
            "traffic": float(d.traffic),
            "platform": d.platform,
        }
        for d in rows
        if d.started_at <= moment and (d.ended_at is None or d.ended_at > moment)
    ]


def reopen(cases: Sequence[Case], now: datetime) -> None:
    """Make the move `reopen` of the lifecycle table for the incidents of the cases (locked by the caller)."""
    move = lifecycle.MOVES["reopen"]
    incidents = Incident.objects.filter(state__in=move.sources).in_bulk([c.id for c in cases])
    for incident in incidents.values():
        incident._reopen()
        setattr(incident, move.stamp, now)
        incident.recovered_at, incident.updated_at = None, now
        incident.save(
            update_fields=[
                "state",
                move.stamp,
                "reopened_count",
                "mitigated_at",
                "recovered_at",
                "updated_at",
            ]
        )
        targets.on_move(incident, move.name, now)
