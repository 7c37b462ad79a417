"""Walks a playbook without doing anything: no rows, no sockets, a clock that jumps over waits.

What steps would find out comes from the given outputs, what people would say from the given answers. Diagnosis
that only reads (R0, on this floor) may really run on the incident's data when that is asked for; what it writes
on the way is rolled back. Effects and messages are listed, never sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from incidents.models import Incident
from playbooks import facts, forms, shelf
from playbooks.conductor import (
    Compensate,
    Decision,
    Expired,
    Fail,
    Failed,
    Finish,
    Outcome,
    Passed,
    Progress,
    RunStep,
    Succeeded,
    WaitUntil,
    decide,
    route,
)
from playbooks.contract import Action, ActionError, Done, StepContext, Wait
from playbooks.definition import Definition, StepDef
from playbooks.definition.consent import in_words, whose_yes
from playbooks.definition.model import DEEPEST, EXPIRES
from playbooks.definition.reading import duration
from playbooks.definition.rules import effective_risk
from playbooks.electorate import asks_first
from playbooks.expressions import Conditions, ExpressionError, listed, substitute
from playbooks.known import definition_of_version
from playbooks.models import PlaybookVersion, Run, Step
from playbooks.supposed import SAID, Said, SimulatedStep, Simulation, Unusable, checked, invented

#: Looks at steps in all; a walk that circles ends here.
MOST_LOOKS = 2_000
CAUSES = ("permanent", "retryable", "unverified", "timeout")


def simulate(
    version: PlaybookVersion,
    definition: Definition,
    *,
    incident: Incident | None = None,
    given: Mapping[str, Any] | None = None,
    for_real: bool = False,
    now: datetime | None = None,
) -> Simulation:
    """Walk `definition` (of a version, also a draft's) on the incident, or on an invented one.

    `given` may hold `incident` and `system` (facts, laid over those of the incident), `inputs` of the run, `outputs`
    (step id → what it finds out, or a list, one per try; "state": "failed" with "error" and "cause" lets it fail,
    "wait": seconds lets it take time) and `answers` (step id → form fields, or {"approved": false, "reason": …}, or
    {"expired": true}). Raises Unusable, InvalidForm (inputs).
    """
    told = checked(given or {}, definition)
    subject = copy(incident) if incident is not None else invented(told)
    subject.severity = told["incident"].get("severity", subject.severity)
    values = forms.fill(definition.inputs, told["inputs"])
    run = Run(version=version, playbook=version.playbook, incident=subject, inputs=values, started_by=None)
    known = {
        "incident": {**facts.of_incident(subject), **told["incident"]},
        "system": {**facts.of_system(subject.system), **told["system"]},
        "inputs": values,
        "run": {**facts.of_run(run), "id": run.pk or 0},
    }
    if incident is None:
        known["incident"] = {"key": "INC-0", **known["incident"], "id": 0}
    start = now or timezone.now()
    found = Simulation(version.playbook.slug, version.number, started_at=start, ended_at=start)
    walk = _Walk(found, run, definition, known, told, for_real)
    found.state, found.reason = walk.go(start)
    found.ended_at = walk.now
    return found


class _Walk:
    """One run of the simulation; branches, items and called playbooks are walks below it."""

    def __init__(
        self, found: Simulation, run: Run, definition: Definition, known: Mapping[str, Any],
        told: Mapping[str, Mapping[str, Any]], for_real: bool, above: _Walk | None = None, name: str = "",
    ) -> None:  # fmt: skip
        self.found, self.run, self.definition, self.known = found, run, definition, dict(known)
        self.told, self.for_real, self.above = told, for_real, above
        self.inside: str = " / ".join(filter(None, (above.inside if above else "", name)))
        self.depth: int = above.depth + 1 if above else 0
        self.around: dict[str, Any] = {}
        self.steps: dict[str, dict[str, Any]] = {}
        self.effects: list[str] = []
        self.used: dict[str, int] = above.used if above else {}
        self.visits = 0
        self.now = timezone.now()

    # --- going -------------------------------------------------------------------------------
    def go(self, start: datetime) -> tuple[str, str]:
        """Walk from the first step to the end: the state and the reason."""
        self.now = start
        at, asks = self.definition.steps[0].id, 0
        decision, _ = decide(self.definition, self._progress(at), None, self.now)
        tries = 0
        for _look in range(MOST_LOOKS):
            self._passed(getattr(decision, "passed", ()))
            match decision:
                case RunStep(id):
                    asks, tries = (asks if id == at else 0), 0
                    at = id
                case WaitUntil(until):
                    self.now = max(self.now, until)
                case Finish():
                    return "succeeded", ""
                case Fail(reason):
                    return "failed", reason
                case Compensate(steps, reason):
                    self.found.undone += steps
                    return "failed", f"{reason} Undone: {', '.join(steps)}."
            tries += 1
            step = self.definition.step(at)
            self.visits += 1
            row, outcome = self._look(step, asks + 1, tries)
            asks += isinstance(outcome, Expired)
            decision = self._decided(step, row, outcome)
        return (
            "failed",
            f"The simulation looked at steps {MOST_LOOKS} times and was stopped. Look for a circle.",
        )

    def _decided(self, step: StepDef, row: SimulatedStep, outcome: Outcome) -> Decision:
        self._keep(step, row, outcome)
        decision, wrong = decide(self.definition, self._progress(step.id), outcome, self.now)
        if wrong:
            row.state, row.error = "failed", wrong
            self.steps[step.id]["state"] = "failed"
        row.goto = (
            decision.id if isinstance(decision, RunStep) else "end" if isinstance(decision, Finish) else ""
        )
        if isinstance(outcome, Succeeded) and not wrong:
            row.why = self._led(step)
            if step.kind == "decide":
                row.outputs = {"goto": route(self.definition, step, self._progress(step.id))}
                self.steps[step.id] |= row.outputs
        return decision

    def _keep(self, step: StepDef, row: SimulatedStep, outcome: Outcome) -> None:
        row.state = "done" if isinstance(outcome, Succeeded) else "failed"
        if isinstance(outcome, Failed):
            row.error = outcome.message
        row.until = self.now
        row.inside = self.inside
        self.found.steps.append(row)
        self.steps[step.id] = {
            **row.outputs,
            "state": row.state,
            "verdict": row.verdict,
            "summary": row.summary,
        }
        action = shelf.actions().get(step.action) if step.action else None
        if row.state == "done" and action is not None and action.changes_world and step.undo:
            self.effects = [*(one for one in self.effects if one != step.id), step.id]

    def _progress(self, at: str) -> Progress:
        return Progress(at, self.known, self.steps, self.visits, False, tuple(self.effects), self.around)

    def _scope(self) -> dict[str, Any]:
        return self._progress("").scope(self.definition)

    def _passed(self, passed: Sequence[Passed]) -> None:
        for one in passed:
            step = self.definition.step(one.id)
            row = SimulatedStep(
                step.id, step.kind, step.title, step.action, self.now, self.inside, one.state, summary=one.why
            )
            self.found.steps.append(row)
            self.steps[step.id] = {"state": one.state, "verdict": "", "summary": one.why}

    def _led(self, step: StepDef) -> str:
        conditions = Conditions(self._scope())
        for branch in step.branches:
            if not branch.when or conditions.test(branch.when):
                return branch.when or "otherwise"
        return ""

    # --- one step ----------------------------------------------------------------------------
    def _look(self, step: StepDef, asks: int, tries: int) -> tuple[SimulatedStep, Outcome]:
        row = SimulatedStep(step.id, step.kind, step.title, step.action, self.now)
        try:
            if step.kind != "for_each":
                row.inputs = substitute(dict(step.params), self._scope()) if step.params else {}
            match step.kind:
                case "decide":
                    return row, Succeeded()
                case "gate":
                    return row, self._gate(step, row)
                case "wait":
                    return row, self._wait(step, row)
                case "human":
                    return row, self._human(step, row, asks)
                case "parallel" | "for_each" | "playbook":
                    return row, self._below(step, row)
                case _:
                    return row, self._act(step, row, asks, tries)
        except ExpressionError as error:
            return row, Failed(str(error))

    def _gate(self, step: StepDef, row: SimulatedStep) -> Outcome:
        conditions = Conditions(self._scope())
        wrong = [check.title for check in step.checks if not conditions.test(check.when)]
        row.outputs = {"passed": not wrong, "failed": wrong}
        row.summary = f"All {len(step.checks)} checks hold."
        return Failed(f"Not met: {'; '.join(wrong)}.") if wrong else Succeeded()

    def _wait(self, step: StepDef, row: SimulatedStep) -> Outcome:
        said = self._given(step)
        seconds = step.duration or 0.0
        if step.duration_from:
            written = str(substitute(step.duration_from, self._scope()))
            if (read := duration(written)) is None:
                return Failed(f"“{written}” is no duration; write one like 30m or 24h.")
            seconds = read
        if said is not None and "wait" in said:
            seconds = float(said["wait"])
        elif not seconds:
            seconds = step.every if step.until and not Conditions(self._scope()).test(step.until) else 0.0
        self.now += timedelta(seconds=seconds)
        row.outputs = {"waited_seconds": round(seconds), **_outputs(said)}
        if said is not None and said.get("state") == "failed":
            return _failure(said, 1)
        condition = step.until or step.until_time or ("its event" if step.until_event else "")
        if condition:
            row.summary, row.source = f"Taken as having come: {condition}.", "given" if said else "default"
        return Succeeded()

    def _human(self, step: StepDef, row: SimulatedStep, asks: int) -> Outcome:
        answer = self.told["answers"].get(step.id)
        default = forms.blank(step.form)
        row.asked = Said(
            "form", step.text or step.title, step.roles, "", dict(answer or default), answer is not None
        )
        if answer and answer.get("expired"):
            self.now += timedelta(seconds=step.deadline or 0)
            return Expired(asks)
        try:
            row.outputs = forms.fill(step.form, answer) if answer is not None else default
        except forms.InvalidForm as error:
            raise Unusable(f"The answer to {step.id} cannot be used: {error}") from error
        row.summary = (
            "Answered as given." if answer is not None else "Nobody said: the first choice of each field."
        )
        return Succeeded()

    def _act(self, step: StepDef, row: SimulatedStep, asks: int, tries: int) -> Outcome:
        action = shelf.actions().get(step.action) if step.action else None
        row.risk = (
            effective_risk(step, action) if action else max(step.risk, "R1") if step.kind == "approve" else ""
        )
        must_ask = (
            bool(row.risk) and tries == 1 and asks_first(step, action, row.risk, self.run.incident, None)
        )
        if must_ask and (reply := self._approval(step, row, asks)) is not None:
            return reply
        if step.kind == "notify":
            row.does = f"message: {substitute(step.text, self._scope())}" if step.text else "message"
        if action is None:
            return Succeeded()
        said = self._given(step)
        if said is not None:
            row.source = "given"
            self.now += timedelta(seconds=float(said.get("wait", 0)))
            row.outputs |= _outputs(said)
            row.verdict, row.summary = str(said.get("verdict", "")), str(said.get("summary", ""))
            if said.get("state") == "failed":
                return _failure(said, tries)
        elif self._may_run(step, action):
            return self._for_real(action, step, row)
        else:
            row.source = "default"
            if step.kind != "notify":
                self._note(
                    f"{step.id} was taken as done without outputs; give “outputs” for it to say what it finds."
                )
        if action.changes_world:
            told = json.dumps(row.inputs, ensure_ascii=False, default=str)
            row.does = f"{action.title} with {told[:500]}"
            row.summary = row.summary or "Not sent: this is a simulation."
        return Succeeded()

    def _approval(self, step: StepDef, row: SimulatedStep, asks: int) -> Outcome | None:
        answer = self.told["answers"].get(step.id)
        rule = step.approve
        whose = whose_yes(rule, row.risk, self.known["incident"]["class"])
        roles = (*whose.roles, *map(in_words, whose.all_of))
        said = dict(answer if answer is not None else {"approved": True})
        row.asked = Said("approve", step.text or f"{step.title}?", roles, row.risk, said, answer is not None)
        if said.get("expired"):
            seconds = rule.expires if rule and rule.expires is not None else EXPIRES[row.risk]
            self.now += timedelta(seconds=seconds)
            return Expired(asks)
        row.outputs = {"approved": bool(said.get("approved", True)), "by": str(said.get("by", "somebody")),
                       "reason": str(said.get("reason", ""))}  # fmt: skip
        if not row.outputs["approved"]:
            return Failed(f"Rejected by {row.outputs['by']}: {row.outputs['reason'] or 'no reason given'}.")
        if step.kind != "approve":
            row.outputs = {}
        row.summary = "Approved." if step.kind == "approve" else ""
        return None

    def _given(self, step: StepDef) -> Mapping[str, Any] | None:
        """What the step finds out this time; of a list one after another, the last again and again."""
        found = self.told["outputs"].get(step.id)
        if isinstance(found, list):
            at = self.used.get(step.id, 0)
            self.used[step.id] = at + 1
            found = found[min(at, len(found) - 1)] if found else None
        if found is None:
            return None
        if not isinstance(found, Mapping):
            raise Unusable(f"The outputs of {step.id} must be an object, or a list of objects.")
        return found

    def _note(self, text: str) -> None:
        if text not in self.found.notes:
            self.found.notes.append(text)

    # --- for real ----------------------------------------------------------------------------
    def _may_run(self, step: StepDef, action: Action) -> bool:
        own = type(action).__module__.startswith("playbooks.")
        return (
            self.for_real and own and step.kind == "auto" and action.risk == "R0" and not action.changes_world
        )

    def _for_real(self, action: Action, step: StepDef, row: SimulatedStep) -> Outcome:
        defaults = {p.name: p.default for p in action.params if p.default is not None or not p.required}
        params = {**defaults, **{name: value for name, value in row.inputs.items() if value is not None}}
        stand_in = Step(
            run=self.run, key=step.id, title=step.title, kind=step.kind, action=step.action, inputs=row.inputs
        )
        known = {id: seen for id, seen in self._scope()["steps"].items() if seen.get("state")}
        ctx = StepContext(
            params=params, idempotency_key="simulation", now=self.now, incident=self.run.incident,
            system=self.run.incident.system, run=self.run, step=stand_in, outputs=known, dry_run=True,
        )  # fmt: skip
        row.source = "for real"
        try:
            with transaction.atomic():
                action.precheck(ctx)
                outcome = action.run(ctx)
                transaction.set_rollback(True)
        except ActionError as error:
            row.outputs |= error.outputs
            return Failed(str(error))
        except Exception as error:  # an invented incident has no rows, which actions may need
            return Failed(f"{action.title} could not run here ({type(error).__name__}: {str(error)[:200]}).")
        match outcome:
            case Done():
                row.outputs |= json.loads(json.dumps(dict(outcome.outputs), default=str))
                row.verdict, row.summary = outcome.verdict or "", outcome.summary
                return Succeeded()
            case Wait(until, note):
                self.now = max(self.now, until)
                row.summary = f"{note} Taken as having come."
                return Succeeded()
        return Failed("The action asks a person, which a simulation cannot go on with. Give its outputs.")

    # --- below -------------------------------------------------------------------------------
    def _below(self, step: StepDef, row: SimulatedStep) -> Outcome:
        if self.depth >= DEEPEST:
            return Failed(f"Runs stand {DEEPEST} deep below one another already. Make the playbook flatter.")
        start, ends, results = self.now, [], []
        lanes: list[datetime] = []
        for name, walk, item in self._parts(step, row):
            # a loop with a limit starts the next item when one has ended
            begins = start if len(lanes) < step.limit or step.kind != "for_each" else min(lanes)
            if len(lanes) >= step.limit and step.kind == "for_each":
                lanes.remove(begins)
            state, reason = walk.go(begins)
            lanes.append(walk.now)
            ends.append((walk.now, state))
            results.append(
                {"branch": name, "state": state, "reason": reason, "run": None, "steps": walk.steps, **item}
            )
            self.effects += [f"{one}@{name}" for one in walk.effects]
        done = sorted(end for end, state in ends if state == "succeeded")
        needed = step.needed(len(results))
        enough = len(done) >= needed
        early = step.join != "all" and enough and needed > 0
        self.now = done[needed - 1] if early else max([start, *(end for end, _ in ends)])
        names = {s: [one["branch"] for one in results if one["state"] == s] for s in ("succeeded", "failed")}
        row.outputs = {"results": results, **names}
        if step.kind == "parallel":
            row.outputs["branches"] = {one["branch"]: one for one in results}
        row.summary = f"{len(done)} of {len(results)} went through."
        return Succeeded() if enough else Failed(
            " ".join([row.summary, *(f"{one['branch']}: {one['reason']}" for one in results if one["reason"])])
        )  # fmt: skip

    def _parts(self, step: StepDef, row: SimulatedStep) -> Iterator[tuple[str, _Walk, dict[str, Any]]]:
        if step.kind == "playbook":
            called = PlaybookVersion.objects.filter(playbook__slug=step.playbook, published_key=True).first()
            if called is None:
                raise ExpressionError(f"There is no published playbook “{step.playbook}”.")
            definition = definition_of_version(called)
            known = {**self.known, "inputs": forms.fill(definition.inputs, row.inputs)}
            yield step.playbook, self._child(definition, known, step.playbook), {}
            return
        parts: list[tuple[str, dict[str, Any]]] = [(lane.name, {}) for lane in step.lanes]
        if step.kind == "for_each":
            items = listed(step.items, self._scope())
            if len(items) > step.most:
                raise ExpressionError(
                    f"There are {len(items)} items, more than the {step.most} that “most” allows."
                )
            parts = [(str(at), {"item": item}) for at, item in enumerate(items)]
        for name, item in parts:
            known = dict(self.known)
            if item:
                known |= {**item, "items": {**known.get("items", {}), step.name: item["item"]}}
            definition = self.definition.part(f"{step.id}/{'' if step.kind == 'for_each' else name}")
            yield name, self._child(definition, known, f"{step.id} {name}", around=True), item

    def _child(
        self, definition: Definition, known: Mapping[str, Any], name: str, *, around: bool = False
    ) -> _Walk:
        walk = _Walk(self.found, self.run, definition, known, self.told, self.for_real, self, name)
        if around:
            every = {one.id: {"state": ""} for one in self.definition.every_step()}
            walk.around = {**every, **self.around, **self.steps}
        return walk


def _outputs(said: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (said or {}).items() if name not in SAID}


def _failure(said: Mapping[str, Any], tries: int) -> Failed:
    cause = said.get("cause", "permanent")
    if cause not in CAUSES:
        raise Unusable(f"A step fails with the cause {', '.join(CAUSES)}, not {cause!r}.")
    return Failed(str(said.get("error") or "It fails in this simulation."), cause, tries)
