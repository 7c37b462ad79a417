"""What the first floor shows on the core's pages: questions and runs of an incident, and what waits for me."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string

from incidents.access import can
from incidents.models import Incident
from incidents.pages.door import me
from playbooks.approvals import objection, waiting_for
from playbooks.models import Run
from playbooks.pages.runs import of_user, told
from playbooks.stuck import stuck
from playbooks.triggers import suitable

RUNS = 6
WAITING = 6


def urgent_panel(request: HttpRequest, incident: Incident) -> str:
    """Approvals and forms that wait for an answer on the incident; "" when there are none."""
    user = me(request)
    asked = incident.approvals.filter(decision="pending").select_related(
        "step", "run__started_by", "run__playbook"
    )
    questions = []
    for one in asked[:WAITING]:
        one.incident = incident
        questions.append({"asked": one, "mine": not objection(one, user)})
    if not questions:
        return ""
    return render_to_string("playbooks/parts/questions.html", {"questions": questions}, request)


def incident_panel(request: HttpRequest, incident: Incident) -> str:
    """Runs with where they stand, and playbooks that can be started."""
    user = me(request)
    rows = (
        Run.objects.filter(incident=incident, parent=None)
        .select_related("playbook")
        .prefetch_related("steps")
    )
    runs: list[dict[str, Any]] = []
    for run in rows[:RUNS]:
        steps = list(run.steps.all())
        runs.append({
            "run": run, "done": sum(1 for s in steps if s.state in ("done", "skipped")), "at": steps[-1] if steps else None
        })  # fmt: skip
    running = {one["run"].playbook_id for one in runs if one["run"].is_live}
    startable = (
        [p for p in suitable(incident) if p.pk not in running][:8]
        if incident.is_open and can(user, "run.start", incident)
        else []
    )
    if not runs and not startable:
        return ""
    context = {"incident": incident, "runs": runs, "startable": startable}
    return render_to_string("playbooks/parts/incident_panel.html", context, request)


def now_panel(request: HttpRequest) -> str:
    """Approvals and forms that wait for the viewer, and runs that are stuck; "" when there are none."""
    user = me(request)
    mine = waiting_for(user, WAITING)
    halted = told(user, list(stuck(of_user(user))[:WAITING]))
    if not mine and not halted:
        return ""
    return render_to_string("playbooks/parts/now_panel.html", {"mine": mine, "stuck": halted}, request)
