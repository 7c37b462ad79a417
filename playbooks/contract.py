"""The action contract: what a step of a playbook can do, and how it answers.

An action that changes the world declares `verify` and `undo`: success means that the effect was
read back. Outcomes are values; what comes next is decided by `playbooks.conductor`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

Risk = Literal["R0", "R1", "R2", "R3", "R4"]
Verdict = Literal["confirmed", "likely", "inconclusive", "refuted"]


@dataclass(frozen=True, slots=True)
class Param:
    """One input of an action, checked when a playbook is saved and again when the step runs."""

    name: str
    kind: Literal["text", "number", "bool", "list", "map", "any"] = "text"
    required: bool = True
    default: Any = None
    help: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A file or value kept as evidence: bytes as they are, with media type and source."""

    name: str
    content: bytes
    media_type: str = "application/json"
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The step is finished. `outputs` must be JSON values (size-capped by the engine)."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    exhibits: Sequence[Exhibit] = ()
    verdict: Verdict | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: ask again at `until`. `state` is handed back to the next call as `ctx.memory`."""

    until: datetime
    note: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """A person answers: an approval (`role`, `risk`) or a form (`form` lists typed fields)."""

    kind: Literal["approve", "form"]
    prompt: str
    roles: Sequence[str] = ()
    risk: Risk = "R0"
    expires_in: float | None = None  #: seconds
    form: Sequence[Mapping[str, Any]] = ()


class ActionError(Exception):
    """The step failed. The message says what happened and what to do; `retryable` decides.

    `outputs` is what was found out all the same; it is kept with the failed step.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        outputs: Mapping[str, Any] | None = None,
    ):
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.outputs = dict(outputs or {})


class Unverified(ActionError):
    """The effect could not be read back: the step failed, whatever the platform answered."""


Outcome = Done | Wait | Ask


@dataclass(slots=True)
class StepContext:
    """Everything an action may use. Built by the engine; tests build it by hand."""

    params: Mapping[str, Any]
    idempotency_key: str  #: stable across retries and restarts of this step
    now: datetime
    incident: Any  #: incidents.models.Incident (read only for actions)
    system: Any | None  #: incidents.models.AISystem
    run: Any
    step: Any
    memory: Mapping[str, Any] = field(default_factory=dict)  #: what Wait.state left
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: of earlier steps, by id
    dry_run: bool = False
    renew: Callable[[], None] = lambda: None  #: long actions call it: renews the run's lease
    progress: Callable[[float, str], None] = lambda share, text: None


class Action:
    """Base of every action. The file name is the slug (`actions/http_call.py` → `http_call`);
    the shelf takes the single subclass it finds in the file."""

    do_not_call_in_templates: ClassVar[bool] = True

    slug: ClassVar[str] = ""
    title: ClassVar[str]
    summary: ClassVar[str] = ""
    params: ClassVar[Sequence[Param]] = ()
    outputs: ClassVar[Sequence[str]] = ()  #: names later steps may refer to
    risk: ClassVar[Risk] = "R0"
    changes_world: ClassVar[bool] = False  #: then verify() and undo() are mandatory
    destroys_evidence: ClassVar[bool] = False  #: blocked while an evidence hold is open
    timeout: ClassVar[float] = 60.0  #: seconds; a playbook may set its own

    def precheck(self, ctx: StepContext) -> None:
        """Raise ActionError when the step cannot succeed (target missing, settings absent)."""

    def before(self, ctx: StepContext) -> Sequence[Exhibit]:
        """State that the action is about to change, kept as evidence (and for undo)."""
        return ()

    def run(self, ctx: StepContext) -> Outcome:
        raise ActionError(f"{self.title}: this action cannot be run.")

    def verify(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read the effect back. Returns what was read; raises Unverified when it is not so."""
        return {}

    def undo(self, ctx: StepContext, outputs: Mapping[str, Any]) -> Done:
        """Take the effect back, verified as well."""
        raise ActionError(f"{self.title} cannot be undone.")
