"""Lists what changed around the onset, from our own records: the first suspect is our own change."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from incidents import changes as told
from incidents.models import Deployment, Event, Incident, ModelVersion
from playbooks.contract import Action, Done, Exhibit, Param, StepContext

#: facts that are no change of the system in question
CONFIGURATION = ("connection.", "playbook.", "rule.", "silence.", "system.")
LISTED = 200


class ChangeCorrelation(Action):
    title = "Correlate with changes"
    summary = "Deployments, new model versions, configuration changes and incidents of linked systems around the onset."
    params = (Param("hours", "number", required=False, default=72, help="How far to look on either side."),)
    outputs = ("own_change", "changes", "count", "nearest", "serving", "since")

    def run(self, ctx: StepContext) -> Done:
        """Look `hours` back from the onset (else from detection), and forward until now at most.

        The verdict is `likely` when this system itself was deployed or changed its traffic in the hours
        before the onset: a coincidence in time, not yet a cause.
        """
        onset = ctx.incident.onset_at or ctx.incident.detected_at
        span = timedelta(hours=float(ctx.params.get("hours", 72)))
        since, until = onset - span, min(onset + span, ctx.now)
        found = [
            *_deployments(ctx.system, since, until),
            *_versions(ctx.system, since, until),
            *_configuration(ctx.incident, since, until),
            *_neighbours(ctx, since, until),
            *_told(ctx, onset - since, until),
        ]
        found.sort(key=lambda change: abs((change["moment"] - onset).total_seconds()))
        changes = [_shown(change, onset) for change in found[:LISTED]]
        own = [c for c in changes if c["own"] and c["hours_before_onset"] >= 0]
        serving = [
            {"version": d.version.version, "endpoint": d.endpoint, "traffic": float(d.traffic)}
            for d in (ctx.system.serving_at(onset) if ctx.system else [])
        ]
        kept = {
            "onset": onset.isoformat(),
            "from": since.isoformat(),
            "until": until.isoformat(),
            "serving_at_onset": serving,
            "changes": changes,
        }
        nearest = own[0]["text"] if own else ""
        summary = (
            f"{len(changes)} changes between {since:%Y-%m-%d %H:%M} and {until:%Y-%m-%d %H:%M} UTC; "
            + (f"nearest own change before the onset: {nearest}." if own else "none of this system's own before the onset.")
        )  # fmt: skip
        exhibit = Exhibit(
            "changes.json", json.dumps(kept, indent=1).encode(), source="own records", note="Changes around the onset"
        )  # fmt: skip
        outputs = {
            "own_change": bool(own),
            "changes": changes[:20],
            "count": len(changes),
            "nearest": nearest,
            "serving": serving,
            "since": since.isoformat(),
        }
        return Done(outputs, [exhibit], "likely" if own else "refuted", summary)


def _told(ctx: StepContext, span: timedelta, until: datetime) -> list[dict[str, Any]]:
    """What deploy tools, registries and people told of: of this system, of linked ones, of none that is known."""
    rows = told.before(ctx.incident, span).filter(at__lte=until)[:LISTED]
    return [
        _change(row.kind, row.at, f"{row.title}{f' by {row.by}' if row.by else ''}",
                own=ctx.system is not None and row.system_id == ctx.system.pk)
        for row in rows
    ]  # fmt: skip


def _change(kind: str, moment: datetime, text: str, *, own: bool) -> dict[str, Any]:
    return {"kind": kind, "moment": moment, "text": text, "own": own}


def _shown(change: dict[str, Any], onset: datetime) -> dict[str, Any]:
    moment = change.pop("moment")
    hours = (onset - moment).total_seconds() / 3600
    return {**change, "at": moment.isoformat(), "hours_before_onset": round(hours, 2)}


def _deployments(system: Any, since: datetime, until: datetime) -> list[dict[str, Any]]:
    if system is None:
        return []
    rows = Deployment.objects.select_related("version__system").filter(
        Q(started_at__range=(since, until)) | Q(ended_at__range=(since, until)), system=system
    )
    found = []
    for row in rows:
        if since <= row.started_at <= until:
            found.append(_change("deployment", row.started_at, f"{row} started", own=True))
        if row.ended_at and since <= row.ended_at <= until:
            found.append(_change("deployment", row.ended_at, f"{row} ended", own=True))
    return found


def _versions(system: Any, since: datetime, until: datetime) -> list[dict[str, Any]]:
    if system is None:
        return []
    rows = ModelVersion.objects.select_related("system").filter(system=system)
    # a new version changes nothing until it is deployed
    return [
        _change("version", row.created_at, f"{row} registered", own=False)
        for row in rows.filter(created_at__range=(since, until))
    ]


def _configuration(incident: Incident, since: datetime, until: datetime) -> list[dict[str, Any]]:
    about = Q()
    for prefix in CONFIGURATION:
        about |= Q(kind__startswith=prefix)
    rows = Event.objects.filter(about, incident=None, at__range=(since, until)).order_by("-at")[:LISTED]
    return [_change(row.kind, row.at, row.text or row.kind, own=False) for row in rows]


def _neighbours(ctx: StepContext, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Incidents of this system, and of systems that share an upstream data set with it."""
    if ctx.system is None:
        return []
    linked = Q(system=ctx.system) | Q(system__upstream__in=ctx.system.upstream.all())
    rows = (
        Incident.objects.filter(linked, detected_at__range=(since, until), restricted=False)
        .exclude(pk=ctx.incident.pk)
        .distinct()
    )
    return [_change("incident", row.detected_at, str(row), own=False) for row in rows[:LISTED]]
