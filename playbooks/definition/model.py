"""What a playbook says, as values that never change; `freeze` and `thaw` carry them through JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

T = TypeVar("T")

#: Version of the frozen form. A reader that meets a newer one refuses instead of guessing.
FORMAT = 1
#: Target of `next` and `goto` that ends the run.
END = "end"
KINDS = ("auto", "decide", "human", "approve", "notify", "gate", "wait", "parallel", "for_each", "playbook")
#: Kinds whose step waits for runs of its own: branches, items, a called playbook.
FAMILY = ("parallel", "for_each", "playbook")
#: How deep runs may stand below one another.
DEEPEST = 5
#: How many items one `for_each` works at, at a time and in all, when it does not say.
AT_ONCE, MOST_ITEMS = 10, 100
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
    all_of: tuple[str, ...] = ()  #: one yes of each of these roles; then `quorum` says nothing
    quorum: int = 1
    expires: float | None = None  #: seconds; None: by risk class (EXPIRES)
    on_timeout: str = "escalate"  #: escalate, fail, goto
    goto: str = ""


@dataclass(frozen=True, slots=True)
class Concurrency:
    """One run at a time holds the key; what a second one does meanwhile."""

    key: str  #: a text with `{{ path }}`
    on_conflict: str = "queue"  #: queue, cancel_new


@dataclass(frozen=True, slots=True)
class UntilEvent:
    """What a `wait` looks out for on the incident: one of kinds, windows and ticket."""

    kinds: tuple[str, ...] = ()  #: event kinds; "ticket." means all that begin so
    when: str = ""  #: CEL over `event` (kind, actor, text, data), in addition to the kind
    windows: int = 0  #: so many windows in a row without a firing alert
    window: float = 900.0  #: seconds
    samples: int = 0  #: and so many samples reported in each of them
    monitor: str = ""  #: label matchers: which alerts count; empty: all of the incident
    ticket: str = ""  #: "closed"
    provider: str = ""  #: whose ticket; empty: any


@dataclass(frozen=True, slots=True)
class Lane:
    """One branch of a `parallel` step."""

    name: str
    steps: tuple[StepDef, ...] = ()


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
    until_time: str = ""  #: `{{ path }}` or text: an ISO time, or the next "02:00", "Sun 02:00" (UTC)
    until_event: UntilEvent | None = None
    duration: float | None = None  #: seconds (`for` in YAML)
    duration_from: str = ""  #: `{{ path }}` of a duration (`for` in YAML)
    every: float = 300.0  #: seconds between two looks at `until`
    needs_evidence: bool = False
    mark: str = ""  #: contained, verified
    text: str = ""
    lanes: tuple[Lane, ...] = ()  #: `branches` of a `parallel` step
    items: Any = ""  #: for_each: `{{ path }}` of a list, CEL that gives one, or the list
    name: str = "item"  #: for_each: what an item is called (`as` in YAML)
    limit: int = AT_ONCE  #: for_each: items at work at the same time
    most: int = MOST_ITEMS  #: for_each: more items fail the step
    steps: tuple[StepDef, ...] = ()  #: for_each: done for every item
    join: str = "all"  #: all, any, or how many have to succeed
    playbook: str = ""  #: playbook: the slug of the one to run
    concurrency: Concurrency | None = None
    line: int = 0

    def parts(self) -> dict[str, tuple[StepDef, ...]]:
        """The steps inside this one, by the part's name: a branch's, or "" for those of each item."""
        if self.kind == "parallel":
            return {lane.name: lane.steps for lane in self.lanes}
        return {"": self.steps} if self.kind == "for_each" else {}

    def needed(self, count: int) -> int:
        """How many of `count` branches or items have to succeed."""
        return count if self.join == "all" else 1 if self.join == "any" else int(self.join)


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
    concurrency: Concurrency | None = None
    holds: bool = field(init=False, repr=False, compare=False)  #: whether a run of it may hold a key
    _places: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        held = (self.concurrency, *(step.concurrency for step in _walk(self.steps)))
        object.__setattr__(self, "holds", any(held))
        object.__setattr__(self, "_places", {step.id: at for at, step in enumerate(self.steps)})

    def step(self, id: str) -> StepDef:
        """The step of that id. Raises KeyError."""
        return self.steps[self._places[id]]

    def knows(self, id: str) -> bool:
        return id in self._places

    def every_step(self) -> Iterator[StepDef]:
        """All steps, those inside branches and loops after the step that holds them."""
        return _walk(self.steps)

    def part(self, path: str) -> Definition:
        """What a run of that part does: `P1/left` is the branch “left” of step P1, `F1` the steps for each item
        of F1; empty: all. Raises KeyError."""
        if not path:
            return self
        id, _, name = path.partition("/")
        holder = next((step for step in self.every_step() if step.id == id), None)
        if holder is None:
            raise KeyError(path)
        return replace(self, steps=holder.parts()[name], concurrency=None)

    def after(self, step: StepDef) -> str:
        """Where `step` leads when none of its conditions holds, and when it is skipped or its failure passed over: to
        its branch without condition, else to its `next`, else to the following step; a step id or END."""
        if step.branches and not step.branches[-1].when:
            return step.branches[-1].goto
        if step.next:
            return step.next
        at = self._places[step.id] + 1
        return self.steps[at].id if at < len(self.steps) else END


def _walk(steps: Sequence[StepDef]) -> Iterator[StepDef]:
    for step in steps:
        yield step
        for inside in step.parts().values():
            yield from _walk(inside)


def freeze(definition: Definition) -> dict[str, Any]:
    """The definition as JSON values."""
    frozen = asdict(definition)
    del frozen["_places"], frozen["holds"]
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
    data["concurrency"] = _maybe(Concurrency, data.get("concurrency"))
    return Definition(**data)


def _field(data: Mapping[str, Any]) -> Field:
    return Field(**{**data, "choices": tuple(data["choices"])})


def _maybe(what: type[T], data: Mapping[str, Any] | None) -> T | None:
    """`what` made of its frozen form; lists in it were tuples."""
    if data is None:
        return None
    return what(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})


def _step(data: Mapping[str, Any]) -> StepDef:
    # what this release added may be missing in what an earlier one published
    return StepDef(
        **{
            **data,
            "branches": tuple(Branch(**item) for item in data["branches"]),
            "checks": tuple(Check(**item) for item in data["checks"]),
            "retry": Retry(**{**data["retry"], "on": tuple(data["retry"]["on"])}),
            "on_error": ErrorRule(**data["on_error"]),
            "approve": _maybe(ApproveRule, data["approve"]),
            "form": tuple(_field(item) for item in data["form"]),
            "roles": tuple(data["roles"]),
            "until_event": _maybe(UntilEvent, data.get("until_event")),
            "lanes": tuple(
                Lane(item["name"], tuple(_step(one) for one in item["steps"]))
                for item in data.get("lanes", ())
            ),
            "steps": tuple(_step(item) for item in data.get("steps", ())),
            "concurrency": _maybe(Concurrency, data.get("concurrency")),
        }
    )
