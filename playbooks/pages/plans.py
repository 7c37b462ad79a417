"""Before a run: what a playbook would do on an incident, and a walk through it on supposed facts."""

from __future__ import annotations

import json
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString, mark_safe

from incidents.access import can
from incidents.lifecycle import Refused
from incidents.models import Incident, User
from incidents.pages.door import No, find, me, number_of, reasons_of, signed_in, status_of
from playbooks import plan as plans
from playbooks.forms import InvalidForm
from playbooks.models import Playbook, PlaybookVersion
from playbooks.pages.flow import KIND_WORDS, draw
from playbooks.pages.showing import pairs
from playbooks.pages.typed import TypedForm
from playbooks.publishing import require_reader
from playbooks.simulate import simulate
from playbooks.supposed import Simulation, Unusable

DOES = {
    "reads": "reads", "changes": "changes", "sends": "sends a message", "asks": "asks a person", "decides": "decides",
    "waits": "waits",
}  # fmt: skip
EXAMPLE = {
    "incident": {"class": "DRIFT", "severity": 2},
    "system": {"slug": "credit-risk", "data": {}, "serving": {}},
    "outputs": {},
    "answers": {},
}


@signed_in
def plan(request: HttpRequest, slug: str) -> HttpResponse:
    """The plan of the published version on an incident. POST looks again with other inputs, or starts exactly this."""
    user = me(request)
    found = get_object_or_404(Playbook, slug=slug)
    incident = find(user, number_of(request.POST.get("incident") or request.GET.get("incident") or ""))
    version = found.published
    if version is None:
        return render(request, "playbooks/plan.html", {"playbook": found, "incident": incident, "refused": [
            "Nothing is published yet, so there is no plan."]}, status=409)  # fmt: skip
    context: dict[str, Any] = {"playbook": found, "version": version, "incident": incident, "refused": []}
    status = 200
    try:
        form = TypedForm(plans.definition_of_any(version).inputs, request.POST or None)
        context["form"] = form
        given = form.given() if form.is_bound and form.is_valid() else {}
        if request.POST.get("then") == "start" and form.is_valid():
            run = plans.start(
                found, incident, by=user, plan_hash=request.POST.get("plan_hash", ""), inputs=given,
                dry_run=bool(request.POST.get("dry_run")),
            )  # fmt: skip
            return redirect(run)
    except InvalidForm as error:
        form.refuse(error)
        given, status = {}, 422
    except No as error:
        context["refused"], status = reasons_of(error), status_of(error)
        given = {}
    try:
        context |= _planned(version, incident, given, user)
    except InvalidForm:
        context["needs_inputs"] = True
    except Refused as error:
        context["refused"], status = [*context["refused"], *error.reasons], 409
    context["dry_run"] = bool(request.POST.get("dry_run"))
    return render(request, "playbooks/plan.html", context, status=status)


@signed_in
def simulation(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Walk one version, also a draft, on a past or an invented incident. POST walks."""
    user = me(request)
    require_reader(user)
    version = get_object_or_404(
        PlaybookVersion.objects.select_related("playbook"), playbook__slug=slug, number=number
    )
    facts = request.POST.get("facts") or json.dumps(EXAMPLE, indent=2)
    key = request.POST.get("incident", request.GET.get("incident", "")).strip()
    context: dict[str, Any] = {
        "version": version, "playbook": version.playbook, "facts": facts, "key": key, "refused": [],
        "diagnose": bool(request.POST.get("diagnose")),
    }  # fmt: skip
    status = 200
    try:
        definition = plans.definition_of_any(version)
        context["drawing"] = draw(definition)
        if request.method == "POST":
            found = simulate(
                version, definition, incident=find(user, number_of(key)) if key else None, given=_typed(facts),
                for_real=context["diagnose"],
            )  # fmt: skip
            context |= _walked(found, context["drawing"])
    except (InvalidForm, Unusable) as error:
        context["refused"], status = [str(error)], 422
    except No as error:
        context["refused"], status = reasons_of(error), status_of(error)
    return render(request, "playbooks/simulation.html", context, status=status)


def _planned(
    version: PlaybookVersion, incident: Incident, given: dict[str, Any], user: User
) -> dict[str, Any]:
    found = plans.plan_of(version, incident, given, by=user)
    every = list(found.every_step())
    return {
        "plan": found,
        "steps": [shown(step) for step in found.steps],
        "effects": [step for step in every if step.changes and step.applies != "no"],
        "asked": [
            step for step in every if step.consent and step.applies != "no" and not step.only_if_failed
        ],
        "reads": sum(1 for step in every if step.does == "reads" and step.applies != "no"),
        "nobody": sorted({role for step in every if step.consent for role in step.consent.missing}),
        "can_start": can(user, "run.start", incident) and incident.is_open,
    }


def shown(step: plans.PlannedStep) -> dict[str, Any]:
    """A planned step for the list: its parameters as texts, and the steps inside it."""
    return {
        "step": step,
        "kind": KIND_WORDS.get(step.kind, step.kind),
        "does": DOES[step.does],
        "parameters": [
            (one.name, text, one.decided_by, one.trouble)
            for one in step.parameters
            for _, text in pairs({one.name: one.value})
        ],
        "inside": [(name, [shown(one) for one in steps]) for name, steps in step.inside],
    }


def _typed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Unusable(f"The facts are not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise Unusable("Write the facts as a JSON object.")
    return found


def _walked(found: Simulation, drawing: SafeString) -> dict[str, Any]:
    return {
        "found": found,
        "walked": [
            {"row": step, "after": (step.at - found.started_at).total_seconds(), "inputs": pairs(step.inputs),
             "outputs": pairs(step.outputs), "answer": pairs(step.asked.answer) if step.asked else []}
            for step in found.steps
        ],
        "took": (found.ended_at - found.started_at).total_seconds(),
        "drawing": _marked(drawing, found.visited),
    }  # fmt: skip


def _marked(drawing: SafeString, visited: dict[str, str]) -> SafeString:
    """The drawing with how each step went as a class of its box."""
    marked = re.sub(
        r'<a href="#step-([\w.-]+)">',
        lambda hit: f'<a class="went {visited.get(hit[1], "unseen")}" href="#step-{hit[1]}">',
        drawing,
    )
    return mark_safe(marked)  # noqa: S308 - our own drawing, with words of ours put in
