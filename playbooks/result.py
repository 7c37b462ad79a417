"""What a step asks of the engine that runs it, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from incidents.models import Incident
from playbooks.conductor import Outcome
from playbooks.contract import Exhibit
from playbooks.definition import Definition, StepDef
from playbooks.models import Run, Step


@dataclass(frozen=True, slots=True)
class Request:
    """A question to a person, kept as an Approval row."""

    kind: str
    prompt: str
    risk: str = "R0"
    roles: Sequence[str] = ()
    quorum: int = 1
    form: Sequence[Mapping[str, Any]] = ()
    until: datetime | None = None
    all_of: Sequence[str] = ()


@dataclass(slots=True)
class Result:
    """What came of a step; the fields after `outcome` are kept with it."""

    outcome: Outcome
    outputs: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""
    summary: str = ""
    exhibits: Sequence[Exhibit] = ()
    verified: dict[str, Any] | None = None
    phase: str | None = None
    memory: dict[str, Any] | None = None
    request: Request | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)
    actor_id: int | None = None
    children: Sequence[Run] = ()  #: runs to start below the step, not saved yet
    adopts: int | None = None  #: the attempt whose runs go on below this one
    ended: int = 0  #: runs below the step that had ended when it was looked at


class Superseded(Exception):
    """Somebody else works on the run, or a person stopped it: nothing more is written."""


class Session(Protocol):
    """What a step may ask of the engine that runs it."""

    run: Run
    incident: Incident

    @property
    def now(self) -> datetime: ...
    @property
    def definition(self) -> Definition: ...
    def scope(self) -> dict[str, Any]: ...
    def look_again(self) -> None: ...
    def inputs_of(self, step: StepDef) -> dict[str, Any]: ...
    def checkpoint(self, row: Step, exhibits: Sequence[Exhibit] = (), **fields: Any) -> None: ...
    def renew(self) -> None: ...
    def take(self, key: str, row: Step) -> str: ...
