"""What a playbook says, as values that never change; `freeze` and `thaw` carry them through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: Version of the frozen form. A reader that meets a newer one refuses instead of guessing.
FORMAT = 1
#: Target of `next` and `goto` that ends the run.
END = "end"
KINDS = ("auto", "decide", "human", "approve", "notify", "gate", "wait")
#: Reserved: refused with a message of their own until they exist.
LATER_KINDS = ("parallel", "for_each", "playbook")
RISKS = ("R0", "R1", "R2", "R3", "R4")
#: How long an approval may wait, by risk class, in seconds.
EXPIRES = {"R0": 72 * 3600.0, "R1": 24 * 3600.0, "R2": 4 * 3600.0, "R3": 72 * 3600.0, "R4": 72 * 3600.0}


@dataclass(frozen=True, slots=True)
class Field:
    """One typed value that a person gives: an input of the playbook or a field of a form."""

    name: str
    kind: str = "text"  #: text, long_text, number, bool, choice, date
    title: str = ""
    help: str = ""
    required: bool = True
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failed try is repeated, and after which failures."""

    count: int = 3
    backoff: float = 10.0  #: seconds before the first repetition; doubles each time
    on: tuple[str, ...] = ("retryable", "unverified")  #: or "timeout", "any"


@dataclass(frozen=True, slots=True)
class Branch:
    """Where to go when the condition holds; without a condition, otherwise."""

    goto: str
    when: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a gate, with the words that people read."""

    when: str
    title: str


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What a failure of the step means for the run."""

    how: str = "fail"  #: fail, continue, goto, compensate
    goto: str = ""


@dataclass(frozen=True, slots=True)
class ApproveRule:
    """Who must say yes, how many of them, until when, and what happens when nobody does."""

    roles: tuple[str, ...] = ()
    quorum: int = 1
    expires: float | None = None  #: seconds; None: by risk class (EXPIRES)
    on_timeout: str = "escalate"  #: escalate, fail, goto
    goto: str = ""


@dataclass(frozen=True, slots=True)
class StepDef:
    """One step on paper. Which fields mean something depends on the kind (docs/playbooks.md)."""

    id: str
    kind: str
    title: str
    action: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    when: str = ""
    next: str = ""  #: step id or END; empty: the following step
    branches: tuple[Branch, ...] = ()
    checks: tuple[Check, ...] = ()
    timeout: float | None = None  #: seconds; None: the action's own
    deadline: float | None = None  #: seconds after which a step that still waits has failed
    retry: Retry = Retry()
    on_error: ErrorRule = ErrorRule()
    verify: str = ""
    undo: bool = True
    risk: str = ""  #: raises the action's own class
    approve: ApproveRule | None = None
    form: tuple[Field, ...] = ()
    roles: tuple[str, ...] = ()
    until: str = ""
    duration: float | None = None  #: seconds (`for` in YAML)
    every: float = 300.0  #: seconds between two looks at `until`
    needs_evidence: bool = False
    mark: str = ""  #: contained, verified
    text: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which events start the playbook, by itself or as a suggestion."""

    on: tuple[str, ...] = ()
    mode: str = "suggest"  #: auto, suggest, manual
    when: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """A playbook. `position` of a step is its place in `steps`."""

    slug: str
    title: str
    summary: str = ""
    classes: tuple[str, ...] = ()
    matchers: str = ""
    trigger: Trigger = Trigger()
    inputs: tuple[Field, ...] = ()
    steps: tuple[StepDef, ...] = ()
    _places: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", {step.id: at for at, step in enumerate(self.steps)})

    def step(self, id: str) -> StepDef:
        """The step of that id. Raises KeyError."""
        return self.steps[self._places[id]]

    def knows(self, id: str) -> bool:
        return id in self._places

    def after(self, step: StepDef) -> str:
        """Where `step` leads when nothing branches off: a step id or END."""
        if step.next:
            return step.next
        at = self._places[step.id] + 1
        return self.steps[at].id if at < len(self.steps) else END


def freeze(definition: Definition) -> dict[str, Any]:
    """The definition as JSON values."""
    frozen = asdict(definition)
    del frozen["_places"]
    return {"format": FORMAT, **frozen}


def thaw(frozen: Mapping[str, Any]) -> Definition:
    """The definition again. Raises ValueError for a form that this release does not know."""
    data = dict(frozen)
    if data.pop("format", None) != FORMAT:
        raise ValueError(
            f"This playbook was published by a newer release (format {frozen.get('format')!r}, known: {FORMAT}). "
            "Upgrade, or publish it again here."
        )
    data["classes"] = tuple(data["classes"])
    data["trigger"] = Trigger(**{**data["trigger"], "on": tuple(data["trigger"]["on"])})
    data["inputs"] = tuple(_field(item) for item in data["inputs"])
    data["steps"] = tuple(_step(item) for item in data["steps"])
    return Definition(**data)


def _field(data: Mapping[str, Any]) -> Field:
    return Field(**{**data, "choices": tuple(data["choices"])})


def _step(data: Mapping[str, Any]) -> StepDef:
    rule = data["approve"]
    return StepDef(
        **{
            **data,
            "branches": tuple(Branch(**item) for item in data["branches"]),
            "checks": tuple(Check(**item) for item in data["checks"]),
            "retry": Retry(**{**data["retry"], "on": tuple(data["retry"]["on"])}),
            "on_error": ErrorRule(**data["on_error"]),
            "approve": ApproveRule(**{**rule, "roles": tuple(rule["roles"])}) if rule else None,
            "form": tuple(_field(item) for item in data["form"]),
            "roles": tuple(data["roles"]),
        }
    )
