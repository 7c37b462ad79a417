"""What comes next in a run: a pure function of the definition, the steps so far and the last outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from playbooks.definition import END, Definition, StepDef
from playbooks.expressions import Conditions, ExpressionError, both_spellings

#: Steps that one run may go through, repetitions included: a run that circles ends here.
MOST_VISITS = 300
#: How often an approval is asked before the step fails.
ASKS = 3
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. `steps` maps step id → what conditions see of its newest attempt."""

    at: str  #: the step it stands at, or END
    facts: Mapping[str, Any] = field(default_factory=dict)  #: incident, system, inputs, run
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    visits: int = 0
    once: bool = False  #: a walk-through: it ends where it would go round
    effects: Sequence[str] = ()  #: names of steps whose effects are in place and may be undone, oldest first
    around: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  #: steps of the runs around this one

    def scope(self, definition: Definition) -> dict[str, Any]:
        """What conditions and parameters see; a step that was not reached offers nothing."""
        known = {step.id: self.steps.get(step.id, {"state": ""}) for step in definition.steps}
        return {**self.facts, "steps": both_spellings({**self.around, **known})}


# --- outcomes: what happened to the step the run stands at ---------------------------------------
@dataclass(frozen=True, slots=True)
class Succeeded:
    """The step is done; its outputs are in `Progress.steps` already."""


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet; look again at `until`."""

    until: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A person has been asked and may answer until then."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class Failed:
    """One try failed. `cause` decides with the step's retry rule whether there is another one."""

    message: str
    cause: Literal["permanent", "retryable", "unverified", "timeout"] = "permanent"
    tries: int = 1
    after: float | None = None  #: seconds the other side asked to wait
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """Nobody answered in time; this was the `asks`-th time of asking."""

    asks: int = 1


@dataclass(frozen=True, slots=True)
class Outdated:
    """What was approved is no longer what would be done: ask again."""

    why: str


Outcome = Succeeded | Later | Asked | Failed | Expired | Outdated


# --- decisions -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Passed:
    """A step that the run went past without running it."""

    id: str
    state: Literal["skipped", "failed"]
    why: str


@dataclass(frozen=True, slots=True)
class RunStep:
    id: str
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitUntil:
    at: datetime
    why: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class AskPerson:
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Finish:
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class Fail:
    reason: str
    at: str = ""
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class Compensate:
    """Undo these steps in this order (newest effect first), then fail."""

    steps: tuple[str, ...]
    reason: str
    at: str = ""
    passed: tuple[Passed, ...] = ()


Decision = RunStep | WaitUntil | AskPerson | Finish | Fail | Compensate


def decide(
    definition: Definition, progress: Progress, outcome: Outcome | None, now: datetime
) -> tuple[Decision, str]:
    """What comes next, and what is wrong with the step itself ("" when nothing is).

    Without an outcome the run arrives at `progress.at`. The second value is not empty when the step
    failed, also when that shows only here: done, but where it leads cannot be evaluated.
    """
    if outcome is None:
        return _arrive(definition, progress, progress.at), ""
    step = definition.step(progress.at)
    match outcome:
        case Succeeded():
            try:
                return _arrive(definition, progress, route(definition, step, progress)), ""
            except ExpressionError as error:
                wrong = f"Where the step leads cannot be said: {error}"
                return _failed(definition, progress, step, wrong), wrong
        case Later(until, note):
            return WaitUntil(until, note), ""
        case Asked(until):
            return AskPerson(until), ""
        case Outdated():
            return _arrive(definition, progress, step.id), ""
        case Expired(asks):
            return _expired(definition, progress, step, asks)
        case Failed() as failure:
            pause = _pause(step, failure)
            if pause is not None and not (failure.deadline and now + pause > failure.deadline):
                return WaitUntil(now + pause, failure.message, retry=True), ""
            return _failed(definition, progress, step, failure.message), failure.message


def _arrive(
    definition: Definition, progress: Progress, target: str, passed: tuple[Passed, ...] = ()
) -> Decision:
    conditions: Conditions | None = None
    while target != END:
        if progress.visits + len(passed) >= MOST_VISITS:
            return Fail(
                f"The run went through {MOST_VISITS} steps and was stopped. Look for a circle in the playbook.",
                target, passed,
            )  # fmt: skip
        if progress.once and progress.steps.get(target, {}).get("state") == "done":
            return Finish(passed)
        step = definition.step(target)
        if not step.when:
            return RunStep(step.id, passed)
        conditions = conditions or Conditions(progress.scope(definition))
        try:
            if conditions.test(step.when):
                return RunStep(step.id, passed)
        except ExpressionError as error:
            why = f"Whether the step applies cannot be said: {error}"
            return _failed(definition, progress, step, why, (*passed, Passed(step.id, "failed", why)))
        passed = (*passed, Passed(step.id, "skipped", f"Not needed: {step.when} does not hold."))
        target = definition.after(step)
    return Finish(passed)


def route(definition: Definition, step: StepDef, progress: Progress) -> str:
    """Where a step that is done leads: a step id or END. Raises ExpressionError."""
    conditions: Conditions | None = None
    for branch in step.branches:
        if branch.when:
            conditions = conditions or Conditions(progress.scope(definition))
        if not branch.when or (conditions and conditions.test(branch.when)):
            return branch.goto
    return definition.after(step)


def _failed(
    definition: Definition, progress: Progress, step: StepDef, message: str, passed: tuple[Passed, ...] = ()
) -> Decision:
    match step.on_error.how:
        case "continue":
            return _arrive(definition, progress, definition.after(step), passed)
        case "goto":
            return _arrive(definition, progress, step.on_error.goto, passed)
        case "compensate" if progress.effects:
            return Compensate(
                tuple(reversed(progress.effects)), f"{step.id} {step.title}: {message}", step.id, passed
            )
    return Fail(f"{step.id} {step.title}: {message}", step.id, passed)


def _expired(definition: Definition, progress: Progress, step: StepDef, asks: int) -> tuple[Decision, str]:
    rule = step.approve
    how = rule.on_timeout if rule else "fail"
    wrong = "Nobody answered in time."
    if how == "goto" and rule:
        return _arrive(definition, progress, rule.goto), wrong
    if how == "escalate" and asks < ASKS:
        return _arrive(definition, progress, step.id), wrong
    return _failed(definition, progress, step, wrong), wrong


def _pause(step: StepDef, failure: Failed) -> timedelta | None:
    """How long to wait before the next try, or None when there is none."""
    rule = step.retry
    if failure.tries > rule.count or not {"any", failure.cause} & set(rule.on):
        return None
    pause = timedelta(seconds=rule.backoff * 2 ** min(failure.tries - 1, 20))
    return max(min(pause, LONGEST_PAUSE), timedelta(seconds=failure.after or 0))
