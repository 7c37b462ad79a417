"""Runs: which are stuck and why, one run step by step while it goes on, and what a person can do with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from incidents.access import can
from incidents.models import Evidence, User
from incidents.pages import live
from incidents.pages.door import No, me, reasons_of, signed_in, status_of
from incidents.pages.keyset import page_of
from incidents.visibility import about_seen
from playbooks import control
from playbooks.definition import END, Definition, StepDef
from playbooks.models import Approval, Run, Step
from playbooks.pages.flow import KIND_WORDS
from playbooks.pages.showing import pairs
from playbooks.session import definition_of
from playbooks.stuck import explain_all, stuck

PAGE = 40
#: Stuck runs shown above the others, and when only they are asked for.
STUCK, ALL_STUCK = 20, 200


def of_user(user: User) -> QuerySet[Run]:
    """Runs on incidents that the user sees, without the playbooks' texts."""
    rows = about_seen(Run.objects.all(), user).select_related(
        "playbook", "incident", "started_by", "version__playbook"
    )
    # who is named on an incident decides what may be done with its runs
    return rows.defer("version__source", "version__frozen").prefetch_related("incident__roles")


@signed_in
def runs(request: HttpRequest) -> HttpResponse:
    """Stuck ones first with the reason, then the newest; filtered by state."""
    user = me(request)
    rows = of_user(user).filter(parent=None)
    state = "stuck" if request.GET.get("stuck") else request.GET.get("state", "")
    top: list[Any] = []
    more = 0
    if not request.GET.get("after") and state in ("", "live", "stuck"):
        halted, most = stuck(rows), ALL_STUCK if state == "stuck" else STUCK
        top = told(user, list(halted[:most]))
        more = halted.count() - most if len(top) == most else 0
    if state == "live":
        rows = rows.filter(state__in=Run.LIVE)
    elif state in dict(Run.STATES):
        rows = rows.filter(state=state)
    elif state == "stuck":
        rows = rows.none()
    else:
        rows = rows.exclude(pk__in=[one["run"].pk for one in top])
    context = {
        "stuck": top, "more": max(more, 0), "page": page_of(rows, ["-id"], request.GET.get("after", ""), PAGE), "state": state,
        "states": [("stuck", "Stuck"), ("live", "Live"), *Run.STATES],
    }  # fmt: skip
    return render(request, "playbooks/runs.html", context)


@signed_in
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """One run. POST: pause, resume, cancel, or skip and retry a step."""
    found = get_object_or_404(of_user(me(request)), pk=pk)
    refused: list[str] = []
    status = 200
    if request.method == "POST":
        try:
            said = _control(request, found)
            messages.success(request, said)
            back = request.POST.get("back", "")
            ours = url_has_allowed_host_and_scheme(back, allowed_hosts=None) and back.startswith("/")
            return redirect(back) if ours else redirect("playbooks:run", pk)
        except No as error:
            refused, status = reasons_of(error), status_of(error)
            found = get_object_or_404(of_user(me(request)), pk=pk)
    context = {
        **_one(request, found),
        "refused": refused,
        "reason": request.POST.get("reason", ""),
        **_doable(found),
    }
    context["part"] = live.part(request, "playbooks/parts/run.html", context)
    return render(request, "playbooks/run.html", context, status=status)


@signed_in
def run_part(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(of_user(me(request)), pk=pk)
    return live.answer(request, "playbooks/parts/run.html", _one(request, found))


def told(user: User, halted: Sequence[Run]) -> list[dict[str, Any]]:
    """Why the runs are stuck and what helps, for lists."""
    return [
        {"run": one.run, "why": one.why, "step": one.step, "verbs": one.verbs,
         "can_control": can(user, control.RIGHT, one.run.incident)}
        for one in explain_all(halted)
    ]  # fmt: skip


def _control(request: HttpRequest, run: Run) -> str:
    verb, reason, user = request.POST.get("then", ""), request.POST.get("reason", "").strip(), me(request)
    if verb == "pause":
        control.pause(run, by=user, reason=reason)
        return "Paused. The step in hand is finished first."
    if verb == "resume":
        control.resume(run, by=user)
        return "The run goes on."
    if verb == "cancel":
        control.cancel(run, by=user, reason=reason)
        return "Cancelled. Effects that are in place stay in place."
    if verb == "rerun":
        key = request.POST.get("from", "")
        control.rerun(
            run, key, user, reason, inputs=_edited(request), stored=request.POST.get("with") == "stored"
        )
        return f"The run goes on from {key}."
    step = run.steps.filter(key=request.POST.get("step", "")).order_by("-attempt").first()
    if step is None:
        raise ValueError("The run has no such step now. Look at it again.")
    step.run = run
    if verb == "skip":
        control.skip(step, by=user, reason=reason)
        return f"{step.key} is skipped."
    if verb == "retry":
        control.retry(step, by=user)
        return f"{step.key} is tried again."
    raise ValueError("Choose to pause, resume, cancel, skip, retry, or go on from a step.")


def _edited(request: HttpRequest) -> dict[str, Any] | None:
    """The parameters that were typed, when they are to be used. Raises ValueError."""
    if request.POST.get("with") != "edited":
        return None
    try:
        typed = json.loads(request.POST.get("inputs", "") or "{}")
    except ValueError as error:
        raise ValueError(f"The parameters are not JSON: {error}.") from error
    if not isinstance(typed, dict):
        raise ValueError("Write the parameters as a JSON object.")
    return typed


def _doable(run: Run) -> dict[str, Any]:
    """Which verbs make sense now; the verbs themselves decide."""
    here = run.steps.filter(key=run.cursor.get("next", "")).order_by("-attempt").first()
    at = here.state if here else ""
    undoing = "undo" in run.cursor
    return {
        "here": here,
        "can_pause": run.state in ("queued", "running", "waiting", "asking"),
        "can_resume": run.state == "paused",
        "can_cancel": run.is_live,
        "can_skip": not undoing and run.state != "queued" and at in ("running", "waiting", "asking", "failed")
        and (run.is_live or run.state == "failed"),
        "can_retry": not undoing and run.state in ("failed", "paused", "waiting") and at in ("failed", "waiting"),
        "again": [] if undoing or run.state in ("queued", "running") else _again(run),
    }  # fmt: skip


def _again(run: Run) -> list[dict[str, Any]]:
    """Steps from which the run may go on, each with the parameters of its last attempt."""
    definition = _definition(run)
    newest = {row.key: row for row in run.steps.order_by("position", "attempt")}
    return [
        {
            "step": step,
            "inputs": json.dumps(newest[step.id].inputs, ensure_ascii=False) if step.id in newest else "",
        }
        for step in (definition.steps if definition else ())
    ]


def _one(request: HttpRequest, run: Run) -> dict[str, Any]:
    user = me(request)
    rows = list(run.steps.select_related("actor").order_by("position", "attempt"))
    questions = {one.step_id: one for one in run.approvals.select_related("decided_by", "step")}
    kept = _evidence(run, rows) if can(user, "evidence.see", run.incident) else {}
    definition = _definition(run)
    below: dict[int, list[Run]] = {}
    for child in run.children.order_by("pk").prefetch_related("steps"):
        below.setdefault(child.parent_step_id or 0, []).append(child)
    return {
        "run": run,
        "can_control": can(user, control.RIGHT, run.incident),
        "steps": [
            {**_shown(row, questions.get(row.pk), kept), "below": below.get(row.pk, [])} for row in rows
        ],
        "ahead": _ahead(definition, rows, run),
        "inputs": pairs(run.inputs),
        "questions": [
            *(one for one in questions.values() if one.decision == "pending"),
            *Approval.objects.filter(run__parent=run, decision="pending").select_related("step"),
        ],
        "undoing": run.cursor.get("undo") if run.is_live else None,
    }


def _shown(row: Step, asked: Approval | None, kept: dict[int, Evidence]) -> dict[str, Any]:
    items = [kept[number] for number in row.evidence if number in kept]
    return {
        "row": row,
        "kind": KIND_WORDS.get(row.kind, row.kind),
        "asked": asked,
        "inputs": pairs(row.inputs),
        "outputs": pairs(row.outputs),
        "verified": pairs(row.verified),
        "plots": [one for one in items if one.media_type == "image/svg+xml"],
        "evidence": [one for one in items if one.media_type != "image/svg+xml"],
        "retries": row.state == "waiting" and bool(row.error),
        "over": row.ended_at is not None,
    }


def _evidence(run: Run, rows: Iterable[Step]) -> dict[int, Evidence]:
    wanted = {number for row in rows for number in row.evidence}
    if not wanted:
        return {}
    return run.incident.evidence.defer("content").in_bulk(wanted)


def _definition(run: Run) -> Definition | None:
    try:
        return definition_of(run)
    except ValueError:  # published by a newer release: what happened can be shown all the same
        return None


def _ahead(definition: Definition | None, rows: list[Step], run: Run) -> list[StepDef]:
    """The steps that follow when nothing branches off, for a run that is still going."""
    if definition is None or not run.is_live:
        return []
    at = run.cursor.get("next") or definition.steps[0].id
    reached = {row.key for row in rows}
    found: list[StepDef] = []
    while at != END and definition.knows(at) and len(found) < len(definition.steps):
        step = definition.step(at)
        if step in found:
            break
        if step.id not in reached:
            found.append(step)
        elif found:
            break
        at = definition.after(step)
    return found
