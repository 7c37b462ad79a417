"""What a playbook would do on an incident, told before it does: steps, parameters, effects, who must agree.

Nothing runs here. What is known now is looked up; what a step will find out is named by that step's id. The
plan's hash covers the version, the run's inputs and every step that may change the world with its parameters:
a run that is started with the hash of the plan that somebody read starts only while that is still the plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import transaction

from incidents.lifecycle import Refused
from incidents.models import Incident
from playbooks import facts, forms, shelf, triggers
from playbooks.contract import Action
from playbooks.definition import END, Definition, DefinitionError, StepDef, parse
from playbooks.definition.consent import alternatives, in_words, whose_yes
from playbooks.definition.model import EXPIRES
from playbooks.definition.rules import effective_risk
from playbooks.electorate import asks_first, electorate
from playbooks.expressions import (
    Conditions,
    ExpressionError,
    both_spellings,
    references,
    substitute,
    template_references,
)
from playbooks.known import Known, definition_of_version
from playbooks.models import Approval, Playbook, PlaybookVersion, Run, Step

#: People named for one approval.
NAMED = 8


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a step. While `decided_by` names steps, `value` is the text of the playbook."""

    name: str
    value: Any
    decided_by: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Lead:
    """Where a step may lead: `holds` says what is known of the condition now ("yes", "no", "open")."""

    goto: str
    when: str
    holds: str
    decided_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consent:
    """Who has to agree before the step acts."""

    roles: tuple[str, ...]
    all_of: tuple[str, ...]
    quorum: int
    hours: float  #: until the question expires
    people: tuple[str, ...]  #: who may say yes as things stand
    not_these: tuple[tuple[str, str], ...]  #: (name, why) of those who hold a role and may not
    missing: tuple[str, ...]  #: roles that nobody who may answer holds

    @property
    def each(self) -> list[str]:
        """`all_of` in words."""
        return [in_words(needed) for needed in self.all_of]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step that could run."""

    id: str
    kind: str
    title: str
    text: str
    applies: str  #: yes, no, open
    because: str  #: the condition, when there is one
    decided_by: tuple[str, ...]
    only_if_failed: bool  #: reached only when another step fails or expires
    action: str = ""
    action_title: str = ""
    does: str = ""  #: reads, changes, sends, asks, decides, waits
    where: str = ""  #: the platform or connection that it reads or changes
    risk: str = ""
    parameters: tuple[Parameter, ...] = ()
    verification: str = ""
    undo: str = ""
    consent: Consent | None = None
    leads: tuple[Lead, ...] = ()
    inside: tuple[tuple[str, tuple[PlannedStep, ...]], ...] = ()  #: (branch, its steps)

    @property
    def changes(self) -> bool:
        return self.does == "changes"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of it. `hash` changes when an effect, its parameters or who must agree changes."""

    playbook: str
    version: int
    inputs: Mapping[str, Any]
    steps: tuple[PlannedStep, ...] = ()
    hash: str = field(default="")

    def every_step(self) -> Iterator[PlannedStep]:
        return _flat(self.steps)

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return found


def plan_of(
    version: PlaybookVersion, incident: Incident, inputs: Mapping[str, Any] | None = None, *, by: Any = None
) -> Plan:
    """The plan of a run that `by` would start now. Raises InvalidForm (inputs), Refused (a draft with problems)."""
    definition = definition_of_any(version)
    values = forms.fill(definition.inputs, inputs or {})
    run = Run(
        version=version, playbook=version.playbook, incident=incident, inputs=values,
        started_by=by if getattr(by, "is_authenticated", False) else None,
    )  # fmt: skip
    scope = {
        "incident": facts.of_incident(incident), "system": facts.of_system(incident.system), "inputs": values,
        "run": facts.of_run(run),
    }  # fmt: skip
    return _plan(run, definition, scope, {}, definition.steps[0].id)


def definition_of_any(version: PlaybookVersion) -> Definition:
    """The definition of a version, also of a draft. Raises Refused when it cannot be read."""
    try:
        return parse(version.source) if version.status == "draft" else definition_of_version(version)
    except DefinitionError as error:
        said = [f"Line {one.line}: {one.message}" for one in error.problems[:5]]
        raise Refused("plan", [f"{version} cannot run yet.", *said]) from error
    except ValueError as error:
        raise Refused("plan", [str(error)]) from error


def plan_ahead(run: Run) -> Plan:
    """What a run that is under way has still before it, with what its steps have found out so far. Raises Refused
    when this release cannot read its version."""
    known = Known(run, None)
    try:
        definition, progress = known.definition, known.progress()
    except ValueError as error:
        raise Refused("plan", [str(error)]) from error
    return _plan(run, definition, dict(progress.facts), progress.steps, known.at)


def start(playbook: Playbook, incident: Incident, *, by: Any, plan_hash: str = "", **more: Any) -> Run:
    """Start the playbook as `triggers.start` does; with the hash of a plan, only while that is the plan.

    Raises what `triggers.start` raises, and Refused when the plan is another one now.
    """
    with transaction.atomic():
        if plan_hash:
            Incident.objects.select_for_update().filter(pk=incident.pk).values_list("pk").get()
            fresh = Incident.objects.select_related("system", "owner").get(pk=incident.pk)
            version = playbook.published
            if version is not None and plan_of(version, fresh, more.get("inputs"), by=by).hash != plan_hash:
                raise Refused(
                    "start",
                    [
                        "The plan is no longer the one you were shown. Look at it again, then start with its new hash."
                    ],
                )
        return triggers.start(playbook, incident, by=by, **more)


# --- putting it together ---------------------------------------------------------------------------
class _Planner:
    def __init__(
        self, run: Run, definition: Definition, values: Mapping[str, Any], steps: Mapping[str, Any]
    ) -> None:
        self.run, self.definition, self.values = run, definition, values
        self.done = {id for id, seen in steps.items() if seen.get("state")}
        known = {step.id: steps.get(step.id, {"state": ""}) for step in definition.steps}
        self.scope = {**values, "steps": both_spellings({**steps, **known})}
        self.conditions = Conditions(self.scope)
        self.ids = {spelt: id for id in known for spelt in (id, id.replace("-", "_"))}

    def ordered(self, start: str) -> tuple[PlannedStep, ...]:
        """The steps that can be reached from `start`, in the playbook's order."""
        usual = self._reach(start, failing=False)
        every = self._reach(start, failing=True)
        return tuple(
            self.step(step, step.id not in usual) for step in self.definition.steps if step.id in every
        )

    def _reach(self, start: str, *, failing: bool) -> set[str]:
        found: set[str] = set()
        ahead = [start]
        while ahead:
            id = ahead.pop()
            if id == END or id in found or not self.definition.knows(id):
                continue
            found.add(id)
            step = self.definition.step(id)
            if self.applies(step)[0] == "no":
                ahead.append(self.definition.after(step))
                continue
            ahead += [lead.goto for lead in self.leads(step) if lead.holds != "no"]
            if self.applies(step)[0] == "open":
                ahead.append(self.definition.after(step))
            if failing:
                ahead += self._after_failure(step)
        return found

    def _after_failure(self, step: StepDef) -> list[str]:
        found = [step.on_error.goto] if step.on_error.how == "goto" else []
        if step.approve and step.approve.goto:
            found.append(step.approve.goto)
        return found

    def applies(self, step: StepDef) -> tuple[str, tuple[str, ...]]:
        return self._holds(step.when) if step.when else ("yes", ())

    def leads(self, step: StepDef) -> tuple[Lead, ...]:
        """In the order in which they are tried, up to the first that holds for sure."""
        found = []
        for branch in step.branches:
            holds, decided_by = self._holds(branch.when) if branch.when else ("yes", ())
            found.append(Lead(branch.goto, branch.when, holds, decided_by))
            if holds == "yes":
                return tuple(found)
        return (*found, Lead(self.definition.after(step), "", "yes"))

    def _holds(self, condition: str) -> tuple[str, tuple[str, ...]]:
        decided_by = self._open(references(condition))
        if decided_by:
            return "open", decided_by
        try:
            return ("yes" if self.conditions.test(condition) else "no"), ()
        except ExpressionError:
            return "open", ()

    def _open(self, found: Sequence[Any]) -> tuple[str, ...]:
        """Steps whose results are needed and not known yet, in the playbook's order."""
        named = {
            self.ids.get(one.path[0], one.path[0]) if one.root == "steps" and one.path else one.root
            for one in found
            if one.root in ("steps", "item", "index")
        }
        return tuple(sorted(named - self.done, key=lambda id: self._place(id)))

    def _place(self, id: str) -> tuple[int, str]:
        ids = [step.id for step in self.definition.steps]
        return (ids.index(id) if id in ids else len(ids), id)

    def step(self, step: StepDef, only_if_failed: bool) -> PlannedStep:
        applies, decided_by = self.applies(step)
        action = shelf.actions().get(step.action) if step.action else None
        parameters = tuple(self._parameters(step))
        acts = action is not None or step.kind == "approve"
        does = _does(step, action)
        risk = ""
        if acts:
            risk = effective_risk(step, action) if action else max(step.risk, "R1")
        return PlannedStep(
            step.id, step.kind, step.title, step.text, applies, step.when, decided_by, only_if_failed, step.action,
            action.title if action else "", does, self._where(action, parameters), risk, parameters,
            _verification(step, action) if does == "changes" else "", _undo(step, action) if does == "changes" else "",
            self._consent(step, action, risk, parameters),
            () if len(leads := self.leads(step)) == 1 and not step.branches else leads, tuple(self._inside(step)),
        )  # fmt: skip

    def _parameters(self, step: StepDef) -> Iterator[Parameter]:
        given = self.run.again.get(step.id, {}).get("inputs")
        for name, value in (step.params if given is None else given).items():
            if given is not None:
                yield Parameter(name, value)
            elif decided_by := self._open(template_references(value)):
                yield Parameter(name, value, decided_by)
            else:
                try:
                    yield Parameter(name, substitute(value, self.scope))
                except ExpressionError as error:
                    yield Parameter(name, value, trouble=str(error))

    def _where(self, action: Action | None, parameters: Sequence[Parameter]) -> str:
        if action is None:
            return ""
        if type(action).__module__.startswith("playbooks."):
            return "Holdfast"
        named = {one.name: one.value for one in parameters if not one.decided_by}
        serving = self.run.incident.system.serving if self.run.incident.system else {}
        names = ("connection", "platform", "gateway_url")
        found = next((named[name] for name in names if named.get(name)), None)
        return str(found or next((serving[name] for name in names if serving.get(name)), "outside"))

    def _consent(
        self, step: StepDef, action: Action | None, risk: str, parameters: Sequence[Parameter]
    ) -> Consent | None:
        rule = step.approve
        if step.kind == "human":
            asked = Approval(kind="form", risk="R0", roles=list(step.roles))
        elif not risk or not asks_first(step, action, risk, self.run.incident, self.run.started_by):
            return None
        else:
            whose = whose_yes(rule, risk, self.run.incident.incident_class)
            asked = Approval(
                kind="approve", risk=risk, roles=list(whose.roles), all_of=list(whose.all_of), quorum=whose.quorum
            )  # fmt: skip
        asked.run, asked.incident = self.run, self.run.incident
        inputs = {one.name: one.value for one in parameters if not one.decided_by}
        asked.step = Step(run=self.run, key=step.id, title=step.title, inputs=inputs)
        who = electorate(asked)
        offered = {role for _, held in who.may for role in held}
        seconds = rule.expires if rule and rule.expires is not None else EXPIRES[asked.risk]
        if step.kind == "human":
            seconds = step.deadline or 0
        return Consent(
            tuple(asked.roles), tuple(asked.all_of), max(asked.quorum, len(asked.all_of)), round(seconds / 3600, 2),
            tuple(str(user) for user, _ in who.may[:NAMED]), tuple((str(user), why) for user, why in who.may_not[:NAMED]),
            tuple(in_words(one) for one in sorted(asked.all_of) if not alternatives(one) & offered) if asked.all_of
            else () if who.may else tuple(sorted(asked.roles)),
        )  # fmt: skip

    def _inside(self, step: StepDef) -> Iterator[tuple[str, tuple[PlannedStep, ...]]]:
        if step.kind in ("parallel", "for_each"):
            for name, steps in step.parts().items():
                part = self.definition.part(f"{step.id}/{name}")
                inner = _Planner(self.run, part, self.values, {})
                inner.scope = {
                    **self.scope,
                    "steps": both_spellings({**self.scope["steps"], **inner.scope["steps"]}),
                }
                inner.ids, inner.done = {**self.ids, **inner.ids}, self.done
                inner.conditions = Conditions(inner.scope)
                yield name, inner.ordered(steps[0].id)
        elif step.kind == "playbook":
            called = PlaybookVersion.objects.filter(playbook__slug=step.playbook, published_key=True).first()
            if called is not None:
                definition = definition_of_version(called)
                yield (
                    str(called),
                    _Planner(self.run, definition, self.values, {}).ordered(definition.steps[0].id),
                )


def _plan(
    run: Run, definition: Definition, values: Mapping[str, Any], steps: Mapping[str, Any], at: str
) -> Plan:
    planned = _Planner(run, definition, values, steps).ordered(at)
    effects = [
        [one.id, one.action, one.applies, one.risk, _plain(one.parameters), _rule(one.consent)]
        for one in _flat(planned)
        if one.does == "changes"
    ]
    told = {
        "version": [run.version.sha256, run.version.source],
        "inputs": dict(run.inputs),
        "effects": effects,
    }
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, default=str)
    return Plan(
        run.version.playbook.slug, run.version.number, run.inputs, planned, hashlib.sha256(text.encode()).hexdigest()
    )  # fmt: skip


def _flat(steps: Sequence[PlannedStep]) -> Iterator[PlannedStep]:
    for step in steps:
        yield step
        for _, inside in step.inside:
            yield from _flat(inside)


def _plain(parameters: Sequence[Parameter]) -> list[Any]:
    return [[one.name, one.value] for one in parameters]


def _rule(consent: Consent | None) -> list[Any] | None:
    """Who must agree by rule; who holds the roles today is no part of what was planned."""
    return [consent.roles, consent.all_of, consent.quorum] if consent else None


def _does(step: StepDef, action: Action | None) -> str:
    if action is not None and step.kind != "notify":
        return "changes" if action.changes_world else "reads"
    return {"notify": "sends", "human": "asks", "approve": "asks", "wait": "waits"}.get(step.kind, "decides")


def _verification(step: StepDef, action: Action | None) -> str:
    reads = action is not None and type(action).verify is not Action.verify
    told = "The effect is read back" if reads else "The action reads nothing back"
    return f"{told}; {step.verify} has to hold." if step.verify else f"{told}."


def _undo(step: StepDef, action: Action | None) -> str:
    if action is None or type(action).undo is Action.undo:
        return "The action cannot be taken back."
    if not step.undo:
        return "Stays in place: the playbook says that it is not taken back."
    return "Taken back when a later step fails and the playbook compensates."
